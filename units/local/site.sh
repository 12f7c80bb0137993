#!/bin/bash
# site: what hbctl has done at a site, here for one of a local stack (topology: fence, run). In production the same verbs
# are a script on the site's hosts, called through ssh.
#   site.sh STACK SITE fence CELL               takes the go-live file away, kills the cell's member and programs, keeps the member down;
#                                               0 only when none of them is alive
#   site.sh STACK SITE start CELL               lets them be started (the member asks the control record for its role)
#   site.sh STACK SITE live CELL EPOCH PRIMARY  writes the go-live file, which the cell's programs here watch
#   site.sh STACK SITE flags put|show …         `hbctl flags here`: this site's flags.cfg, and who has applied it
#   site.sh STACK SITE keys list|add|use|drop … `hbctl keys here`: this site's key rings; a new key comes on standard input
#   site.sh STACK SITE nginx                    has the site's nginx, if it has one, run with what the control records say now
#   site.sh STACK SITE backup CELL              writes a copy of the member, as it runs, to stdout
#   site.sh STACK SITE restore CELL             puts a copy from stdin in the place of the member, which is down
set -euo pipefail

S=$1 SITE=$2 VERB=$3 CELL=${4:-}
WAIT_S=10

# What is asked for in a failover starts as few processes as it can: on a busy machine each costs tens of milliseconds.
# The cell's services here, the member first: as soon as it is dead, nobody is told of anything any more.
services() {
	names=("$CELL-db-$SITE")
	local dir
	for dir in "$S/sv/$CELL"-*-"$SITE"; do if [[ $dir != *-db-* ]]; then names+=("${dir##*/}"); fi; done
}
# runsv's own commands: h: SIGHUP; o: started or not, is not started again; k: SIGKILL; u: is kept running. Nobody listens when the
# supervisor has died with all else; opened for both, the pipe makes nobody wait for it.
order() { if [ -p "$S/sv/$1/supervise/control" ]; then printf %s "$2" 1<>"$S/sv/$1/supervise/control"; fi; }
# Sets pid to the process of a service; false, and empty, when there is none, or the number has become a stranger's since.
alive() {
	local env=()
	pid=
	{ read -r pid <"$S/sv/$1/supervise/pid"; } 2>/dev/null || true
	if [ -n "$pid" ]; then { mapfile -d '' -t env <"/proc/$pid/environ"; } 2>/dev/null || true; fi
	[[ " ${env[*]} " == *" HB_SUPERVISED=$S "* ]] || pid=
	[ -n "$pid" ]
}

# Without a go-live file its programs come back as standbys, not at the old epoch: `live` tells them what is true.
fence() {
	local name until=$((SECONDS + WAIT_S)) names pid
	services
	rm -f "$S/live/$SITE/$CELL.cfg"
	# The pid is asked before, so that a supervisor that hangs does not keep its server alive.
	for name in "${names[@]}"; do
		alive "$name" || true
		# The file keeps it down also when its supervisor is started anew.
		if [[ $name == *-db-* ]]; then : >"$S/sv/$name/down" && order "$name" ok; else order "$name" k; fi
		if [ -n "$pid" ]; then kill -KILL "$pid" 2>/dev/null || true; fi
	done
	while alive "${names[0]}"; do
		[ $SECONDS -lt $until ] || exit 1
		sleep 0.01
	done
}

start() {
	local name names
	services
	rm -f "$S/sv/$CELL"-*-"$SITE"/down
	for name in "${names[@]}"; do order "$name" u; done
}

live() {
	local folder=$S/live/$SITE file name names
	file=$folder/$CELL.cfg
	printf 'epoch = %sL;\nprimary = "%s";\n' "$1" "$2" >"$file.new"
	sync "$file.new"
	mv "$file.new" "$file"
	sync "$folder"
	services
	for name in "${names[@]}"; do
		[[ $name == *-db-* || $name == *-cache-* ]] || order "$name" h
	done
}

# A password as options of mariadb-backup, in whose environment or arguments it would be seen for as long as a copy takes.
login() { sed -n '1{s/\\/\\\\/g; s/.*/[mariadb-backup]\npassword = "&"/p}'; }

# The copy is consistent at its end, and its own file says which position that is.
backup() {
	local name=$CELL-db-$SITE work
	work=$(mktemp -d "$S/run/backup.XXXXXX")
	# shellcheck disable=SC2064 # this very folder
	trap "rm -rf '$work'" EXIT
	(umask 077 && login <"$S/secrets/db.hb_ctl" >"$work/login")
	mariadb-backup --defaults-file="$work/login" --backup --stream=xbstream --target-dir="$work/copy" \
		--datadir="$S/data/$name" --user=hb_ctl --host="$(setting bind_address)" --port="$(setting port)" 2>"$S/log/$name.backup"
}
setting() { sed -nE "s/^$1 = (.*)/\1/p" "$S/etc/$CELL-db-$SITE.cnf"; }

restore() {
	local name=$CELL-db-$SITE new position
	new=$S/data/$name.new
	if alive "$name"; then
		echo "site.sh: $name is running" >&2
		exit 1
	fi
	rm -rf "$new"
	mkdir "$new"
	mbstream -x -C "$new"
	mariadb-backup --no-defaults --prepare --target-dir="$new" 2>"$S/log/$name.restore"
	position=$(cut -f3 "$new"/*_binlog_info)
	rm -rf "$S/data/$name"
	mv "$new" "$S/data/$name"
	# A replica's copy has its position in that table, row by row with its data; a primary's ends where its binlog did. What the backup says of a
	# replica lags: mariadb-backup asks for gtid_current_pos, which is set only after the last commits of a group.
	{
		tr ',' '\n' <<<"$position" | sed -nE "s/^([0-9]+)-([0-9]+)-([0-9]+)$/INSERT INTO mysql.gtid_slave_pos SELECT \1, COALESCE(MAX(sub_id), 0) + 1, \2, \3 FROM mysql.gtid_slave_pos WHERE domain_id = \1 HAVING COALESCE(MAX(seq_no), 0) < \3;/p"
	} | PATH=$PATH:/usr/sbin mariadbd --defaults-file="$S/etc/$name.cnf" --skip-log-bin --skip-slave-start --skip-networking \
		--bootstrap 2>>"$S/log/$name.restore"
	rm -f "$S/live/$SITE/$CELL.recovering"
}

in_stack() {
	# shellcheck disable=SC1091 # written by ./dev up
	. "$S/etc/env"
	exec "$@"
}

# A site in a namespace of its own (netns.sh) is reached as ssh would reach it: not at all once its link is down. Its nginx stands outside.
if [ -s "$S/netns" ] && [ "$VERB" != nginx ]; then
	read -r link <"/sys/class/net/$(<"$S/netns")-$SITE/operstate"
	if [ "$link" != up ]; then
		sleep 1
		echo "site.sh: $SITE cannot be reached" >&2
		exit 255
	fi
fi
case $VERB in
fence) fence ;;
start) start ;;
live) live "$5" "$6" ;;
flags) in_stack hbctl flags here "$SITE" "${@:4}" ;;
keys) in_stack hbctl keys here "$SITE" "${@:4}" ;;
nginx) [ ! -e "$S/sv/nginx-$SITE" ] || in_stack hbctl nginx reload --site "$SITE" ;;
backup) backup ;;
restore) restore ;;
*)
	echo "site.sh: no such verb: $VERB" >&2
	exit 2
	;;
esac
