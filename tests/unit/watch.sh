#!/usr/bin/env bash
# What units/watch says is true of the programs: names of metrics, the runbook's sections, a test for each rule; and Prometheus' own
# checks of the rules, where promtool is installed (./dev test installs it).
set -euo pipefail

source=$(cd "${srcdir:-.}" && pwd)
watch=$source/units/watch
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

# missing FILE WORDS: those of the words that are no line of the file.
missing() { printf '%s\n' "$2" | sort -u | grep -vxF -f "$1" || true; }

names=$(mktemp) anchors=$(mktemp)
trap 'rm -f "$names" "$anchors"' EXIT
./hbctl metrics names >"$names"
# As GitHub makes them: lower case, no marks, - for blanks.
sed -nE 's/^#+ +//p' "$source/docs/runbook.md" | tr '[:upper:]' '[:lower:]' | sed -E 's/[^a-z0-9 _-]//g; s/ /-/g' >"$anchors"

echo 1..8
for file in alerts.yml dashboard.json; do
	used=$(grep -oE '\bhb_[a-z0-9_]+' "$watch/$file")
	tell "the metrics that $file uses exist" "$(missing "$names" "$used")"
done
alerts=$(sed -nE 's/^ *- alert: //p' "$watch/alerts.yml")
sections=$(sed -nE 's/^ *runbook_url: https:\/\/hongbao\.example\/docs\/runbook\.md#//p' "$watch/alerts.yml")
tell "the runbook's section of every alert is there" "$(missing "$anchors" "$sections")"
tell "every alert's link leads there, and can be opened" "$([ "$sections" = "$(printf '%s' "$alerts" | tr '[:upper:]' '[:lower:]')" ] || printf '%s\n' "$sections")"
tell "every alert has a severity, a summary and a runbook" "$(for key in 'labels: {severity: ' 'summary: ' 'runbook_url: '; do
	[ "$(grep -c "^ *$key" "$watch/alerts.yml")" = "$(printf '%s\n' "$alerts" | wc -l)" ] || echo "$key"
done)"
tell "every alert has a test of when it fires and of when it does not" "$(for a in $alerts; do
	grep -qx -- "- name: $a fires" "$watch/alerts.test.yml" && grep -qx -- "- name: $a is silent" "$watch/alerts.test.yml" || echo "$a"
done)"
for check in "check rules:alerts.yml" "test rules:alerts.test.yml"; do
	if command -v promtool >/dev/null; then
		# shellcheck disable=SC2086 # two words
		tell "promtool ${check%%:*}" "$(cd "$watch" && { promtool ${check%%:*} "${check#*:}" 2>&1 >&3 3>&- || echo failed; } 3>/dev/null)"
	else
		count=$((count + 1))
		echo "ok $count - promtool ${check%%:*} # SKIP no promtool"
	fi
done
[ $failures = 0 ]
