#!/usr/bin/env bash
# What docs/security.md says of the code itself: that each test it names is there, and what may stand nowhere.
set -euo pipefail

cd "${srcdir:-$(dirname "$0")/../..}"
count=0 failed=0

check() { # check NAME FINDINGS: good when nothing was found
	count=$((count + 1))
	if [ -z "$2" ]; then
		echo "ok $count - $1"
	else
		echo "not ok $count - $1"
		while IFS= read -r line; do echo "# $line"; done <<<"$2"
		failed=1
	fi
}

# code FOLDER…: the lines of C without comments of a whole line, file:line:text.
code() { grep -rn --include='*.[ch]' '' "$@" | grep -vE '^[^:]+:[0-9]+:[[:space:]]*(/?\*|//)'; }

# The folders in which text for the server may be put together, by whom, and why: sql/README.md, units/README.md.
builders='^(lib/domain/(claim_batch|age)|units/(schema|verify|role)|lib/store/db)\.[ch]:'
check "text for the database is put together in five files only" \
	"$(code lib fcgi workers units | grep -E '\b(db_script|db_begin_script|mysql_query|mysql_real_query|mysql_send_query)\(' | grep -vE "$builders" || true)"
check "those that users' requests reach put only integers into it" \
	"$(grep -nE '(text_add|snprintf)\(.*%[0-9.*-]*s' lib/domain/claim_batch.c || true)"
check "pages make no HTML of text and carry no script or style of their own" \
	"$(grep -rnE 'innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setTimeout\(["'\''`]|srcdoc' web --include='*.js' --include='*.html' || true
	grep -nE '<script[^>]*>[^<]|<script(>| [^>]*>)$|[[:space:]]on[a-z]+="|style="|javascript:' web/*.html | grep -vE '<script[^>]* src=' || true)"
check "macs are compared by keys_equal" \
	"$(code lib/base/keys.c lib/base/signature.c lib/domain/session.c lib/domain/token.c fcgi/cursor.c | grep -E '(memcmp|strcmp)\([^)]*(mac|tag|ours)' | grep -v sodium_memcmp || true)"
check "the public listener passes on no header by a program's own name, and no other one as it comes" \
	"$(grep -n fastcgi_pass_request_headers nginx/hongbao.conf.in | grep -v 'fastcgi_pass_request_headers off;' || true
	grep -q 'fastcgi_pass_request_headers off;' nginx/hongbao.conf.in || echo 'fastcgi_pass_request_headers is not off')"

# | … | `file` … `test name`, `file`: `test name` |: the last column of the table of threats.
named=$(awk -F'|' '/^\| [0-9]+ \|/ { print $2 "|" $(NF - 1) }' docs/security.md)
missing=
while IFS='|' read -r row tests; do
	# shellcheck disable=SC2016 # backticks of Markdown
	pairs=$(grep -oE '`[^`]+`: `[^`]+`' <<<"$tests" || true)
	if [ -z "$pairs" ]; then missing+="row $row names no test"$'\n'; fi
	while read -r pair; do
		[ -n "$pair" ] || continue
		file=$(cut -d'`' -f2 <<<"$pair") name=$(cut -d'`' -f4 <<<"$pair")
		if ! [ -f "tests/$file" ]; then
			missing+="row $row: there is no tests/$file"$'\n'
		elif ! grep -qF -- "$name" "tests/$file"; then
			missing+="row $row: tests/$file has no $name"$'\n'
		fi
	done <<<"$pairs"
done <<<"$named"
check "every threat of docs/security.md names tests that are there" "${missing%$'\n'}"
check "docs/security.md has its table" "$([ "$(grep -c . <<<"$named")" -ge 20 ] || echo "only $(grep -c . <<<"$named") rows")"

echo "1..$count"
exit "$failed"
