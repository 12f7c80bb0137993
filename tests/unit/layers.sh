#!/usr/bin/env bash
# The one direction in which the folders may depend, held by what they include.
set -euo pipefail

cd "${srcdir:-$(dirname "$0")/../..}"

# folder | the folders it may include from, besides itself
layers=(
	'lib/base|'
	'lib/store|base'
	'lib/http|base'
	'lib/domain|base store'
	'fcgi|base store domain http'
	'workers|base store domain'
	'units|base store domain'
	'sim|base store http'
)

# "folder/file" of every include below $1 that is quoted or names a folder of ours, but for
# config.h, the generated table and the folder's own .def files.
foreign_includes() {
	grep -rHnoE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include[[:space:]]*("[^"]+"|<(base|store|http|domain|fcgi|workers|units|sim)/[^>]+>)' "$1" |
		sed -E 's/[[:space:]]*#[[:space:]]*include[[:space:]]*//; s/["<>]//g' |
		grep -vE ':(config\.h|sql_table\.h|[a-z_]+\.def)$' || true
}

echo "1..${#layers[@]}"
n=0
failed=0
for row in "${layers[@]}"; do
	n=$((n + 1))
	folder=${row%%|*}
	allowed="${folder##*/} ${row#*|}"
	bad=
	while IFS=: read -r file line path; do
		[ -n "$file" ] || continue
		case " $allowed " in
		*" ${path%%/*} "*) ;;
		*) bad+="# $file:$line includes $path"$'\n' ;;
		esac
	done < <(foreign_includes "$folder")
	if [ -z "$bad" ]; then
		echo "ok $n - $folder includes only ${allowed% }"
	else
		echo "not ok $n - $folder includes only ${allowed% }"
		printf '%s' "$bad"
		failed=1
	fi
done
exit "$failed"
