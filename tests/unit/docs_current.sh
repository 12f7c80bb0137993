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
		echo "not ok $count - $file is stale: hbctl $*"
		head -n 10 "diff.$$" | sed 's/^/# /'
	fi
	rm -f "diff.$$"
}

# The part of a page that stands between these lines; the rest of it is written by hand.
part() { sed -n '/^<!-- hbctl capacity markdown -->$/,/^<!-- end -->$/p' "$source/docs/capacity.md" | sed '1d;$d'; }

echo 1..4
same docs/config.md config markdown
same docs/metrics.md metrics markdown
same docs/states.md states --markdown
count=$((count + 1))
if ./hbctl capacity markdown | diff - <(part) >"diff.$$"; then
	echo "ok $count - the tables of docs/capacity.md are current"
else
	failures=$((failures + 1))
	echo "not ok $count - docs/capacity.md is stale: hbctl capacity markdown"
	head -n 10 "diff.$$" | sed 's/^/# /'
fi
rm -f "diff.$$"
[ $failures = 0 ]
