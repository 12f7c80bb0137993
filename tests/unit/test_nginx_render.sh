#!/usr/bin/env bash
# hbctl nginx render: nginx accepts what it makes of the local topology, and the rules that matter hold in it.
set -euo pipefail

source=$(cd "${srcdir:-.}" && pwd)
hbctl=$PWD/hbctl
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
PATH=$PATH:/usr/sbin
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
		sed 's/^/# /' "$dir/out"
	fi
}

# config EXTRA: hongbao.cfg with these further lines.
config() {
	printf 'paths: { topology = "%s/topology.cfg"; secrets = "%s"; metrics = "%s"; };\n%s\n' "$dir" "$dir" "$dir" "$1" >"$dir/hongbao.cfg"
}

render() {
	"$hbctl" --config "$dir/hongbao.cfg" --share "$source" --state "$dir" nginx render --out "$dir/nginx.conf" "$@"
}

has() { grep -qE -- "$1" "$dir/nginx.conf"; }
has_not() { ! has "$1"; }

# Every upstream of programs that keep connections keeps as many.
all_keep() { # all_keep CONNECTIONS
	awk -v keep="$1" '
		/^\tupstream hb_/ { name = $2; kept = 0; wanted = name !~ /hb_ops/ }
		/^\t\tkeepalive / { kept = $2 + 0 }
		/^\t}/ && name { if (wanted) { n++; if (kept != keep) { print name, kept; bad = 1 } } name = "" }
		END { exit bad || !n }' "$dir/nginx.conf"
}

# Twice what all upstreams together may have under way.
connections_suffice() {
	awk '/worker_connections/ { have = $2 + 0 } /max_conns=/ { split($3, max, "="); need += 2 * max[2] }
		END { exit !(need > 0 && have >= need) }' "$dir/nginx.conf"
}

# In one location, that of claims.
only_claims_are_repeated() {
	awk '/^\t\tlocation/ { at = $0 } /non_idempotent/ { n++; if (at !~ /claim\$/) bad = 1 } END { exit bad || n != 1 }' "$dir/nginx.conf"
}

# ops_asks PORT…: behind the operations listener are these programs and no other.
ops_asks() {
	local asked
	asked=$(awk '/^\tupstream hb_ops / { on = 1 } on && $1 == "server" { sub(/.*:/, "", $2); print $2 } on && /^\t}/ { exit }' "$dir/nginx.conf" | sort | xargs)
	[ "$asked" = "$*" ] || { echo "it asks $asked" && return 1; }
}

refused() {
	local status=0
	"$@" || status=$?
	[ $status = 2 ]
}

slots_are_whole() {
	awk '/map \$hb_slot \$hb_cell/ { on = 1; next } on && /^\t}/ { exit } on && $1 ~ /^[0-9]+$/ { total++ }
		END { exit total != 1100 }' "$dir/nginx.conf" &&
		has '^\s+499 A;' && has '^\s+500 B;' && has '^\s+7 A;' && has '^\s+007 A;'
}

every_route_has_a_location() {
	local pattern
	sed -nE 's/^ROUTE\([^"]*"[A-Z]+", *"([^"]+)".*/\1/p' "$source/lib/domain/routes.def" | sort -u | while read -r pattern; do
		pattern=${pattern/'{campaign}'/'[a-z0-9-]{1,32}'}
		pattern=${pattern/'{number}'/'(?<hb_number>[0-9]{0,16}?(?<hb_tail>[0-9]{1,3}))'}
		grep -qF -- "$pattern" "$dir/nginx.conf" || { echo "no location for $pattern" && exit 1; }
	done
}

awk -F'\t' '!/^#/ { print "s|@port\\." $1 "@|" 42000 + $2 "|g" }' "$source/units/local/ports.tsv" >"$dir/ports.sed"
printf '%s\n' 's|@nodes\.mq@|{ host = "127.0.0.1"; port = 42013; }|' 's|@nodes\.etcd@|http://127.0.0.1:42010|' >>"$dir/ports.sed"
sed -f "$dir/ports.sed" "$source/units/local/topology.cfg.in" >"$dir/topology.cfg"
mkdir -p "$dir"/{run,log}/nginx-{east,west}

config 'demo: { login = true; };'
check "the local topology renders" render --offline
check "nothing of the template is left" has_not '@[a-z_]+@'
if command -v nginx >/dev/null; then
	check "nginx accepts it" nginx -t -q -e stderr -c "$dir/nginx.conf"
else
	count=$((count + 1))
	echo "ok $count - nginx accepts it # SKIP no nginx"
fi
# Runs with sockets in place of ports, so that it meets no other test, and nobody behind it.
cashier_is_not_said() {
	local pid status=0
	sed -E "s|listen 127\.0\.0\.1:([0-9]+)[^;]*;|listen unix:$dir/\1.sock;|" "$dir/nginx.conf" >"$dir/run.conf"
	nginx -e stderr -c "$dir/run.conf" 2>"$dir/said" &
	pid=$!
	for ((i = 0; i < 100; i++)); do if [ -s "$dir/run/nginx-east.pid" ]; then break; else sleep 0.1; fi; done
	curl -s --max-time 60 --unix-socket "$dir/42002.sock" -o "$dir/answer" 'http://finance/v1/cashier?token=opens-it' || status=$?
	kill -QUIT $pid
	wait $pid || true
	cat "$dir/answer" "$dir/said"
	[ $status = 0 ] && grep -q CELL_UNAVAILABLE "$dir/answer" && ! grep -q opens-it "$dir/said"
}
if command -v nginx >/dev/null && command -v curl >/dev/null; then
	check "what opens a cashier is in no error of nginx's" cashier_is_not_said
fi

check "every route has its location" every_route_has_a_location
check "every slot has its cell, short forms too" slots_are_whole
check "claims are hashed by packet" has 'fastcgi_pass hb_\$\{hb_cell\}_claim;'
check "errors carry the user's text in Chinese" has '"code":"BODY_TOO_LARGE".*内容过长'
for connections in 1 256 4096; do
	config "http: { keepalive = $connections; };"
	render --offline
	check "each worker keeps $connections idle connections to an upstream" all_keep "$connections"
done
config 'http: { upstream_max = 64; };'
render --offline
check "a cell's programs are always tried, and have so much under way" has '^\s+server 127.0.0.1:42023 max_conns=64 max_fails=0;'
check "of an upstream of all cells a program that hangs takes less" has '^\s+server 127.0.0.1:42023 max_conns=8 max_fails=1 fail_timeout=10s;'
check "there are connections for all that" connections_suffice
check "a claim that a program does not answer goes to the next" has '^\s+fastcgi_next_upstream error timeout non_idempotent;'
check "nothing else that was sent is sent again" only_claims_are_repeated
render --offline --site west
check "the other nginx has its own ports and files" has 'listen 127.0.0.1:42005 '
check "and no other's" has_not 'nginx-east|:4200[0124]\b'
check "its operations listener asks hb-query of its own site, standbys too" ops_asks 42035 42065
render --offline --site east
check "and so does the first" ops_asks 42025 42055
sed 's/{ site = "east"; host = "127.0.0.1"; front_port/{ site = "yonder"; host = "127.0.0.1"; front_port/; s/^sites = (/&{ name = "yonder"; },/' "$dir/topology.cfg" >"$dir/yonder.cfg"
sed "s|/topology.cfg|/yonder.cfg|" "$dir/hongbao.cfg" >"$dir/yonder-hongbao.cfg"
"$hbctl" --config "$dir/yonder-hongbao.cfg" --share "$source" --state "$dir" nginx render --offline --site yonder --out "$dir/nginx.conf"
check "where there is none, it asks nobody" has '^\s+server 127\.0\.0\.1:1 down;'
mkdir -p "$dir"/{run,log}/nginx-yonder
command -v nginx >/dev/null && check "which nginx accepts" nginx -t -q -e stderr -c "$dir/nginx.conf"
check "a site without nginx is refused" refused render --offline --site north
# limited LOCATION ZONE: the location of this path has its own limits.
limited() {
	awk -v path="$1" -v zone="$2" 'index($0, "location") && index($0, path " {") || index($0, path "$\" {") { on = 1 }
		on && $1 == "limit_req" && $2 == "zone=address_" zone { address = 1 }
		on && $1 == "limit_req" && $2 == "zone=cell_" zone { cell = 1 }
		on && /^\t\t}/ { exit } END { exit !(address && cell) }' "$dir/nginx.conf"
}

# Every public location has a limit; internal ones have none, for our own programs ask there.
all_are_limited() {
	awk '/^\t\tlocation .*\/v1\// { name = $0; kept = 0; inner = /internal/ }
		/^\t\t\tlimit_req zone=cell_/ { kept = 1 }
		/^\t\t\tfastcgi_pass/ && name { n++; if (kept == inner) { print name; bad = 1 } name = "" }
		END { exit bad || n < 20 }' "$dir/nginx.conf"
}

config 'capacity: { c2c_per_s = 20; b2c_per_s = 0; }; limits: { headroom_percent = 200; least_per_s = 1; burst_ms = 500; address_users = 77; };'
render --offline
check "a cell's limit of claims follows from the expected packets" has 'limit_req_zone [$]hb_cell zone=cell_packet_claim:64k rate=600r/s;'
check "so does an address's" has 'limit_req_zone [$]hb_address zone=address_packet_claim:2m rate=300r/s;'
check "as many may come at once as the time says" has 'limit_req zone=cell_packet_claim burst=300 nodelay;'
check "and as many from an address as users stand behind it" has 'limit_req zone=address_packet_claim burst=77 nodelay;'
check "two methods of a path share its limit" has 'zone=cell_withdraw:64k rate=40r/s;'
check "a claim's location has both" limited '/claim' packet_claim
check "all public interfaces are limited, internal ones are not" all_are_limited
check "a refusal says when to come again" has 'add_header Retry-After 1 always;'
check "in the body too" has '"code":"RATE_LIMITED".*"retry_after_ms":1000'
config 'limits: { address_percent = 0; gateways = "10.1.0.0/16,192.0.2.7"; };'
render --offline
check "no limits of addresses when they are off" has_not 'limit_req(_zone)? .*zone=address_'
check "gateways speak for others" has '^\s+10\.1\.0\.0/16 1;'
command -v nginx >/dev/null && check "nginx accepts that too" nginx -t -q -e stderr -c "$dir/nginx.conf"
config 'limits: { gateways = "10.0.0.1; } evil"; };'
unrendered() { ! render --offline; }
check "gateways that are no addresses are refused" unrendered
config 'claim: { hash = false; };'
render --offline
check "claims are spread when hashing is off" has_not '(upstream|fastcgi_pass) .*_claim'
check "the demo login is not there when it is off" has_not '/v1/demo'
rm -f "$dir/nginx.conf"
status=0
render 2>/dev/null || status=$?
check "without the control store it says so (exit 6)" test $status = 6
check "and writes nothing" test ! -e "$dir/nginx.conf"
echo "1..$count"
[ $failures = 0 ]
