#!/bin/bash
# site: what hbctl has done at a site, here for one of a local stack (topology: fence, run). In production the same verbs
# are a script on the site's hosts, called through ssh.
#   site.sh STACK SITE fence CELL               kills the cell's member and programs with SIGKILL, and keeps the member down;
#                                               0 only when none of them is alive
#   site.sh STACK SITE start CELL               lets them be started (the member asks the control record for its role)
#   site.sh STACK SITE live CELL EPOCH PRIMARY  writes the go-live file, which the cell's programs here watch
#   site.sh STACK SITE flags put|show …         `hbctl flags here`: this site's flags.cfg, and who has applied it
#   site.sh STACK SITE nginx                    has the site's nginx, if it has one, run with what the control records say now
set -euo pipefail

S=$1 SITE=$2 VERB=$3 CELL=${4:-}
WAIT_S=10

services() { find "$S/sv" -mindepth 1 -maxdepth 1 -name "$CELL-*-$SITE" -printf '%f\n'; }
# runsv's own commands: h: SIGHUP; o: started or not, is not started again; k: SIGKILL; u: is kept running. Nobody listens when the
# supervisor has died with all else; opened for both, the pipe makes nobody wait for it.
order() { if [ -p "$S/sv/$1/supervise/control" ]; then printf %s "$2" 1<>"$S/sv/$1/supervise/control"; fi; }
# The process of a service; none when the number has become a stranger's since.
pid_of() {
	local pid
	pid=$(cat "$S/sv/$1/supervise/pid" 2>/dev/null || true)
	if [ -n "$pid" ] && grep -qzxF "HB_SUPERVISED=$S" "/proc/$pid/environ" 2>/dev/null; then echo "$pid"; fi
}
alive() { [ -n "$(pid_of "$1")" ]; }

fence() {
	local name pid until=$((SECONDS + WAIT_S)) names
	mapfile -t names < <(services)
	# The pid is asked before, so that a supervisor that hangs does not keep its server alive.
	for name in "${names[@]}"; do
		pid=$(pid_of "$name")
		# The file keeps it down also when its supervisor is started anew.
		if [[ $name == *-db-* ]]; then touch "$S/sv/$name/down" && order "$name" ok; else order "$name" k; fi
		if [ -n "$pid" ]; then kill -KILL "$pid" 2>/dev/null || true; fi
	done
	for name in "${names[@]}"; do
		[[ $name == *-db-* ]] || continue
		while alive "$name"; do
			[ $SECONDS -lt $until ] || exit 1
			sleep 0.01
		done
	done
}

start() {
	local name
	for name in $(services); do
		rm -f "$S/sv/$name/down"
		order "$name" u
	done
}

live() {
	local folder=$S/live/$SITE file name
	file=$folder/$CELL.cfg
	printf 'epoch = %sL;\nprimary = "%s";\n' "$1" "$2" >"$file.new"
	sync "$file.new"
	mv "$file.new" "$file"
	sync "$folder"
	for name in $(services); do
		[[ $name == *-db-* || $name == *-cache-* ]] || order "$name" h
	done
}

in_stack() {
	# shellcheck disable=SC1091 # written by ./dev up
	. "$S/etc/env"
	exec "$@"
}

# A site in a namespace of its own (netns.sh) is reached as ssh would reach it: a host that is there refuses port 9 at once.
reached() {
	local address
	[ -s "$S/netns" ] || return 0
	address=$(ip -n "$(cat "$S/netns")-$SITE" -4 -br addr show eth0 2>/dev/null | grep -oE '10\.[0-9.]+' | head -n 1)
	[[ -n $address && $(timeout 1 bash -c "exec 3<>/dev/tcp/$address/9" 2>&1) == *refused* ]]
}

if ! reached; then
	echo "site.sh: $SITE cannot be reached" >&2
	exit 255
fi
case $VERB in
fence) fence ;;
start) start ;;
live) live "$5" "$6" ;;
flags) in_stack hbctl flags here "$SITE" "${@:4}" ;;
nginx) [ ! -e "$S/sv/nginx-$SITE" ] || in_stack hbctl nginx reload --site "$SITE" ;;
*)
	echo "site.sh: no such verb: $VERB" >&2
	exit 2
	;;
esac
