#!/usr/bin/env bash
# The pages of docs/ that are written by the programs are as the programs write them now.
set -euo pipefail

source=$(cd "${srcdir:-.}" && pwd)
count=0 failures=0

same() { # same FILE HBCTL-ARGUMENTS…
	local file=$1
	shift
	count=$((count + 1))
	if ./hbctl "$@" | diff - "$source/$file" >"diff.$$"; then
		echo "ok $count - $file is current"
	else
		failures=$((failures + 1))
		echo "not ok $count - $file is stale: hbctl $* > $file"
		head -n 10 "diff.$$" | sed 's/^/# /'
	fi
	rm -f "diff.$$"
}

echo 1..3
same docs/config.md config markdown
same docs/metrics.md metrics markdown
same docs/states.md states --markdown
[ $failures = 0 ]
