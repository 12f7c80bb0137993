#!/usr/bin/env bash
# sql/gen.awk: what it makes of good statements, and that it refuses bad ones with their place.
set -euo pipefail

gen=${srcdir:-.}/sql/gen.awk
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
count=0 failures=0

tell() { # tell ok|"not ok" NAME
	count=$((count + 1))
	[ "$1" = ok ] || failures=$((failures + 1))
	echo "$1 $count - $2"
}

contains() { # contains NAME HEADER TEXT INPUT
	printf '%s' "$4" >"$dir/a.sql"
	if out=$("${AWK:-awk}" -v header="$2" -f "$gen" "$dir/a.sql" 2>&1) && [[ $out == *"$3"* ]]; then
		tell ok "$1"
	else
		tell "not ok" "$1"
		echo "# got: ${out//$'\n'/$'\n'# }"
	fi
}

refused() { # refused NAME MESSAGE INPUT
	printf '%s' "$3" >"$dir/a.sql"
	if out=$("${AWK:-awk}" -v header=1 -f "$gen" "$dir/a.sql" 2>&1); then
		tell "not ok" "$1"
	elif [[ $out == *"$2"* ]]; then
		tell ok "$1"
	else
		tell "not ok" "$1"
		echo "# got: ${out//$'\n'/$'\n'# }"
	fi
}

two=$'-- name: first\nSELECT 1;\n\n-- name: second_one\nSELECT ?;\n'
contains "the enum has the names in order" 1 $'\tSQL_FIRST,\n\tSQL_SECOND_ONE,\n\tSQL_COUNT\n' "$two"
contains "a row has name, text and number of parameters" 0 \
	'{"second_one", "SELECT ?", 1},' "$two"
contains "white space and comments are folded away" 0 '"SELECT a, b FROM t", 0}' \
	$'-- about\n-- name: x\nSELECT a, -- the ? first\n\tb\n   FROM t ;\n'
# shellcheck disable=SC2016 # the backquotes are SQL's
contains "? ; and -- inside quotes are text" 0 \
	'"SELECT '"'?;-- '''"', \"?\", `?`, ?", 1}' \
	$'-- name: x\nSELECT \'?;-- \'\'\', "?", `?`, ?;\n'
contains "backslashes and double quotes are escaped for C" 0 '"SELECT '"'\\\\''"', \"\\\"\"", 0' \
	$'-- name: x\nSELECT \'\\\'\', "\\"";\n'
contains "a minus before a number is no comment" 0 '"SELECT a--1", 0' $'-- name: x\nSELECT a--1;\n'

refused "a name twice names both places" "a.sql:3: \"x\" is defined at $dir/a.sql:1 already" \
	$'-- name: x\nSELECT 1;\n-- name: x\nSELECT 2;\n'
refused "a statement without its end" 'a.sql:1: "x" is not ended' $'-- name: x\nSELECT 1\n'
refused "a name inside of an unended statement" 'a.sql:3: "x" is not ended' \
	$'-- name: x\nSELECT 1\n-- name: y\nSELECT 1;\n'
refused "two statements under one name" 'goes on after its ;' $'-- name: x\nSELECT 1; SELECT 2;\n'
refused "a statement without name" 'outside of any named statement' $'SELECT 1;\n'
refused "an empty statement" '"x" is empty' $'-- name: x\n;\n'
refused "a name in capitals" 'is no name' $'-- name: Xy\nSELECT 1;\n'
refused "an open quote" 'does not end on its line' $'-- name: x\nSELECT \'a;\n'
refused "no statement at all" 'no statements' $'-- nothing\n'

echo "1..$count"
[ "$failures" -eq 0 ]
