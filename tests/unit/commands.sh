#!/usr/bin/env bash
# What the pages have people type is there: every hbctl of docs/ and README.md has a row of hbctl's table and only options of that row, every
# unit of the runbook is one of units/production.
set -euo pipefail

source=$(cd "${srcdir:-.}" && pwd)
count=0 failures=0

tell() { # tell NAME WHAT-IS-WRONG: nothing wrong is good
	count=$((count + 1))
	if [ -z "$2" ]; then
		echo "ok $count - $1"
	else
		failures=$((failures + 1))
		echo "not ok $count - $1"
		printf '%s\n' "$2" | sed 's/^/# /'
	fi
}

# page FILE: the commands of a page, one a line: lines of examples, and what stands in backquotes. A comment, a pipe or a prompt is none of it.
page() {
	{
		sed -nE 's/^    (\$ )?(.*[ (])?hbctl ([^#|;>)]*).*/\3/p' "$1"
		# shellcheck disable=SC2016 # the page's backquotes
		grep -oE '`[^`]*`' "$1" | sed -nE 's/^`(\.\/dev |[A-Z_]+=[^ ]+ )*hbctl ([^#|;>`]*).*/\2/p'
	} | sed -E 's/ (-o (json|table)|--(config|share|state) [^ ]+)//g; s/^(-o (json|table)|--(config|share|state) [^ ]+) //'
}

# Against the table as `hbctl help` shows it: "noun verb arguments", or "noun arguments" of those that do one thing.
wrong() {
	awk 'NR == FNR {
			if ($0 !~ /^  [a-z]/) next
			verb = $2 ~ /^[a-z]+$/ ? $2 : ""
			row[$1, verb] = row[$1, verb] " " $0 " "
			noun[$1] = 1
			next
		}
		NF == 0 || $1 == "help" || $1 ~ /^(--version|…|NOUN)$/ { next }
		{
			key = (($1, "") in row) ? $1 SUBSEP "" : $1 SUBSEP $2
			if (!(key in row) && !(NF == 1 && $1 in noun)) { print "there is no hbctl " $0; next }
			for (i = 2; i <= NF; i++)
				if (match($i, /^\[?--[a-z-]+/)) {
					option = $i
					gsub(/[^a-z-]/, "", option)
					if (row[key] !~ "[^a-z-]" option "[^a-z-]") print "no option " option ": hbctl " $0
				}
		}' <(./hbctl help) - | sort -u
}

for page in README.md docs/{runbook,cells,install,flags,security,rain,reconciliation,ageing,capacity,isolation,tracing,fairness,partner-protocol,resharding,metrics}.md; do
	commands=$(page "$source/$page")
	tell "every hbctl of $page is there" "$(wrong <<<"$commands")"
done
tell "and the runbook has some" "$([ "$(page "$source/docs/runbook.md" | wc -l)" -gt 40 ] || echo "found: $(page "$source/docs/runbook.md" | wc -l)")"

# units: the names of units that the runbook has, their instances taken away: hongbao-worker@.
units=$(grep -oE 'hongbao-[a-z]+(@|\.service|\b)' "$source/docs/runbook.md" | sed 's/\.service$//' | sort -u)
tell "every unit of the runbook is there" "$(for unit in $units; do compgen -G "$source/units/production/systemd/$unit.*" >/dev/null || echo "$unit"; done)"
echo "1..$count"
[ $failures = 0 ]
