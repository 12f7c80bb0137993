#!/usr/bin/env bash
# hbctl campaign apply says every reason with its line; hbctl audit verify notices what was changed in the log.
set -euo pipefail

source=$(cd "${srcdir:-.}" && pwd)
hbctl=$PWD/hbctl
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
count=0 failures=0

check() { # check NAME COMMAND…
	local name=$1
	shift
	count=$((count + 1))
	if "$@" >"$dir/out" 2>&1; then
		echo "ok $count - $name"
	else
		failures=$((failures + 1))
		echo "not ok $count - $name"
		sed 's/^/# /' "$dir/out" "$dir/said"
	fi
}

awk -F'\t' '!/^#/ { print "s|@port\\." $1 "@|" 42000 + $2 "|g" }' "$source/units/local/ports.tsv" >"$dir/ports.sed"
printf '%s\n' 's|@nodes\.mq@|{ host = "127.0.0.1"; port = 42013; }|' 's|@nodes\.etcd@|http://127.0.0.1:42010|' >>"$dir/ports.sed"
sed -f "$dir/ports.sed" "$source/units/local/topology.cfg.in" >"$dir/topology.cfg"
printf 'paths: { topology = "%s/topology.cfg"; secrets = "%s"; metrics = "%s"; };\n' "$dir" "$dir" "$dir" >"$dir/hongbao.cfg"

hb() {
	status=0
	timeout 30 "$hbctl" --config "$dir/hongbao.cfg" --share "$source" --state "$dir" "$@" >"$dir/said" 2>&1 || status=$?
}
said() { grep -qE -- "$1" "$dir/said"; }

# wrong LINE SED REASON: the demo's file, changed, is refused with this reason at that line.
wrong() {
	sed "$2" "$source/units/local/campaigns.cfg" >"$dir/c.cfg"
	hb campaign apply "$dir/c.cfg" --reason test
	check "line $1: $3" eval "[ $status = 1 ] && said '^$dir/c.cfg:$1: .*$3'"
}
wrong 7 '7s/86400/0/' 'lasts_s must be an integer in 1'
wrong 7 '7s/86400/"x"/' 'lasts_s must be an integer'
wrong 8 '8s/20/101/' 'limit must be an integer in 1..100'
wrong 5 '5s/1/1000000/' 'number must be an integer in 1..999999'
wrong 4 '4s/always/All/' 'name must be 1..32 of a-z'
wrong 9 '9s/expiry_s/expire_s/' 'there is no "expire_s"'
wrong 3 '9d' 'expiry_s is missing'
wrong 11 '12s/250000/990000/' 'odds are 1110000 of a million'
wrong 16 '16s/A =/C =/' 'there is no cell "C"'
wrong 21 '21s/2026-01-01T00:00:00Z/soon/' 'starts_at must be a time'
wrong 18 '23s/20/61/' 'must not last longer'
wrong 18 '20s/2/1/' 'the same name or number'
hb campaign apply "$source/units/local/campaigns.cfg"
check "a change without a reason is a usage error" test "$status" = 2
hb audit verify
check "an empty log is no fault" test "$status" = 0

# A chain of three, made as the header says.
mkdir "$dir/audit"
prev=$(printf '0%.0s' {1..64})
for i in 1 2 3; do
	line="{\"seq\":$i,\"at\":\"2026-01-01T00:00:00.000Z\",\"who\":\"root\",\"verb\":\"x\",\"what\":\"y\",\"why\":\"z\",\"outcome\":\"begun\",\"prev\":\"$prev\""
	prev=$(printf %s "$line" | sha256sum | cut -c1-64)
	echo "$line,\"hash\":\"$prev\"}" >>"$dir/audit/audit.log"
done
cp "$dir/audit/audit.log" "$dir/good"
hb audit verify
check "a whole chain verifies" eval "[ $status = 0 ] && said '^ok: 3 entries, the last hash is $prev'"
hb audit verify --from "$prev"
check "it has the hash that was kept" eval "[ $status = 0 ] && said '^ok: 3 entries, 0 since the kept one, '"
hb audit verify --from "${prev//?/f}"
check "it has not a hash that was never its" eval "[ $status = 10 ] && said '^no entry has the hash'"
hb audit verify --from short
check "what is no hash is a usage error" test "$status" = 2
hb audit tail 1
check "tail shows the last" eval "said '\"seq\":3' && ! said '\"seq\":2'"
sed -i '2s/"why":"z"/"why":"Z"/' "$dir/audit/audit.log"
hb audit verify
check "a changed line is found" eval "[ $status = 10 ] && said '^line 2 '"
sed 2d "$dir/good" >"$dir/audit/audit.log"
hb audit verify
check "a line taken out is found" eval "[ $status = 10 ] && said '^line 2 '"

# Whoever reads the log slowly holds nobody up, and nobody waits for ever for whoever keeps it.
for _ in {1..400}; do cat "$dir/good"; done >"$dir/audit/audit.log"
mkfifo "$dir/slow"
"$hbctl" --config "$dir/hongbao.cfg" --state "$dir" audit tail 100000 >"$dir/slow" &
exec 7<"$dir/slow"
read -r _ <&7
check "the log can be written while its tail waits for a reader" flock --exclusive --nonblock "$dir/audit/audit.log" true
check "its tail is whole all the same" test "$(wc -l <&7)" = 1199
exec 7<&- 8<"$dir/audit/audit.log"
flock --shared 8
hb cells drain east --reason test --confirm east
check "a log that another process keeps is not waited for for ever" eval "[ $status = 1 ] && said 'another process keeps it locked'"
exec 8<&-
echo "1..$count"
[ $failures = 0 ]
