#!/usr/bin/env bash
# Every row of tests/mutants.tsv and of the tables of planted bugs changes its file, and its test is there: a defence that
# the code has outgrown would be taken away by nothing and noticed by nobody until the mutants are run.
set -euo pipefail

cd "${srcdir:-$(dirname "$0")/../..}"
bad=0
echo 1..1

wrong() {
	echo "# $1: $2: $3"
	bad=1
}

for table in tests/mutants.tsv tests/chaos/planted.tsv tests/chaos/cells_planted.tsv; do
	while IFS=$'\t' read -r name _ file change test; do
		if [ ! -f "$file" ]; then
			wrong "$table" "$name" "there is no $file"
		elif sed -Ez "$change" "$file" | cmp -s - "$file"; then
			wrong "$table" "$name" "changes nothing in $file"
		fi
		case $test in
		campaign* | cells*) continue ;;
		*.py::*) where=tests/integration/${test%%::*} what="def ${test##*::}(" ;;
		*) where=tests/unit/${test%% *}.c what="${test##* }(" ;;
		esac
		grep -qF "$what" "$where" || wrong "$table" "$name" "its test is not in $where"
	done < <(grep -v '^#' "$table")
done
if [ $bad = 0 ]; then echo 'ok 1 - every mutant changes its file and names a test'; else echo 'not ok 1 - every mutant changes its file and names a test'; fi
