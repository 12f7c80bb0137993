#!/bin/bash
# site: what hbctl has done at a site of a production installation, through ssh (topology: fence, run). units/local/site.sh says the same for
# the local stack, with its words on why; here systemd does it.
#   site fence CELL               takes the go-live file away, kills the cell's member and programs with SIGKILL, and keeps the member down, over a restart of the host too
#   site start CELL               lets them be started
#   site live CELL EPOCH PRIMARY  writes the go-live file and tells the programs
#   site flags put|show …         hbctl flags here
#   site keys list|add|use|drop … hbctl keys here; a new key comes on standard input
#   site nginx                    has this host's nginx run with what the control records say now
#   site backup CELL              a copy of the member, as it runs, to stdout
#   site restore CELL             puts a copy from stdin in the place of the member, which is down
# And once, by a person, as root:
#   site init                     the folders of this site, and a flags.cfg in which nothing is switched down
#   site secrets                  makes the secrets that are missing, at the first host; then they are copied to the others
#   site create CELL              the data of a new member, empty but for its users
# Without arguments it is the command= of a key in authorized_keys, and does what hbctl asked ssh for, nothing of the second kind.
set -euo pipefail
# What root writes here the programs must read, whatever root's own umask is.
umask 022

# The words that ssh was given, of which no shell makes anything. No name has a slash, the text of a flag may.
asked_by_ssh='^/usr/lib/hongbao/site ((fence|start|live|keys|nginx|backup|restore)( [A-Za-z0-9][A-Za-z0-9.-]*)*|flags( [A-Za-z0-9_./+=-]+)*)$'
if [ $# = 0 ]; then
	asked=${SSH_ORIGINAL_COMMAND:-}
	if [[ ! $asked =~ $asked_by_ssh ]]; then
		echo "site: no verb, and no command of hbctl's through ssh: ${asked@Q}" >&2
		exit 2
	fi
	read -ra words <<<"$asked"
	set -- "${words[@]:1}"
fi

STATE=/var/lib/hongbao ETC=/etc/hongbao SHARE=/usr/share/hongbao
WAIT_S=10
# shellcheck source=/dev/null
. $ETC/site.env
: "${HB_SITE:?is not set: $ETC/site.env}"
VERB=${1:-} CELL=${2:-}
LIVE=$STATE/live/$HB_SITE
MEMBER=hongbao-member@$CELL.service
PROGRAMS=("hongbao-core@$CELL-*.service" "hongbao-query@$CELL-*.service" "hongbao-rain@$CELL-*.service" "hongbao-worker@$CELL-*.service")

as_hongbao() { if [ "$(id -un)" = hongbao ]; then "$@"; else runuser -u hongbao -- "$@"; fi; }
member_pid() { systemctl show -P MainPID "$MEMBER"; }
setting() { sed -nE "s/^$1 *= *(.*)/\1/p" "$ETC/mariadb/$CELL.cnf"; }

# The member first: as soon as it is dead, nobody is told of anything any more. Without a go-live file its programs come back as standbys, not at
# the old epoch: `live` tells them what is true.
fence() {
	local until=$((SECONDS + WAIT_S))
	: >"$STATE/fenced/$CELL"
	rm -f "$LIVE/$CELL.cfg"
	systemctl kill --kill-whom=all --signal=KILL "$MEMBER" 2>/dev/null || true
	systemctl kill --kill-whom=all --signal=KILL "${PROGRAMS[@]}" 2>/dev/null || true
	while [ "$(member_pid)" != 0 ]; do
		[ $SECONDS -lt $until ] || exit 1
		sleep 0.02
	done
}

start() {
	rm -f "$STATE/fenced/$CELL"
	systemctl reset-failed "$MEMBER" "${PROGRAMS[@]}" 2>/dev/null || true
	systemctl start --no-block "hongbao-cell@$CELL.target" "$MEMBER"
}

live() {
	local file=$LIVE/$CELL.cfg
	printf 'epoch = %sL;\nprimary = "%s";\n' "$1" "$2" >"$file.new"
	sync "$file.new"
	mv "$file.new" "$file"
	sync "$LIVE"
	systemctl kill --kill-whom=main --signal=HUP "${PROGRAMS[@]}" 2>/dev/null || true
}

# A password as options of mariadb-backup, in whose environment or arguments it would be seen for as long as a copy takes.
login() { sed -n '1{s/\\/\\\\/g; s/.*/[mariadb-backup]\npassword = "&"/p}'; }

# The copy is consistent at its end, and its own file says which position that is.
backup() {
	local work
	work=$(as_hongbao mktemp -d "$STATE/run/backup.XXXXXX")
	# shellcheck disable=SC2064 # this very folder
	trap "rm -rf '$work'" EXIT
	as_hongbao install -m 600 /dev/null "$work/login"
	login <"$ETC/secrets/db.hb_ctl" >"$work/login"
	as_hongbao mariadb-backup --defaults-file="$work/login" --backup --stream=xbstream --target-dir="$work/copy" \
		--datadir="$STATE/data/$CELL" --user=hb_ctl --host="$(setting bind_address)" --port="$(setting port)" 2>"$STATE/log/$CELL.backup"
}

restore() {
	local new=$STATE/data/$CELL.new position
	if [ "$(member_pid)" != 0 ]; then
		echo "site: $MEMBER is running" >&2
		exit 1
	fi
	rm -rf "$new"
	as_hongbao mkdir "$new"
	as_hongbao mbstream -x -C "$new"
	as_hongbao mariadb-backup --no-defaults --prepare --target-dir="$new" 2>"$STATE/log/$CELL.restore"
	position=$(cut -f3 "$new"/*_binlog_info)
	rm -rf "$STATE/data/$CELL"
	mv "$new" "$STATE/data/$CELL"
	# A replica's copy has its position in that table, row by row with its data; a primary's ends where its binlog did. What the backup says of a
	# replica lags: mariadb-backup asks for gtid_current_pos, which is set only after the last commits of a group.
	{
		tr ',' '\n' <<<"$position" | sed -nE "s/^([0-9]+)-([0-9]+)-([0-9]+)$/INSERT INTO mysql.gtid_slave_pos SELECT \1, COALESCE(MAX(sub_id), 0) + 1, \2, \3 FROM mysql.gtid_slave_pos WHERE domain_id = \1 HAVING COALESCE(MAX(seq_no), 0) < \3;/p"
	} | as_hongbao /usr/sbin/mariadbd --defaults-file="$ETC/mariadb/$CELL.cnf" --skip-log-bin --skip-slave-start --skip-networking \
		--bootstrap 2>>"$STATE/log/$CELL.restore"
	rm -f "$LIVE/$CELL.recovering"
}

init() {
	local folder file
	for folder in "$LIVE" "$STATE/log/nginx-$HB_SITE" "$STATE/run/nginx-$HB_SITE"; do install -d -m 755 -o hongbao -g hongbao "$folder"; done
	# Whoever runs nginx -t as root would make them root's.
	for file in access internal finance; do
		[ -e "$STATE/log/nginx-$HB_SITE/$file.json" ] || install -m 640 -o hongbao -g hongbao /dev/null "$STATE/log/nginx-$HB_SITE/$file.json"
	done
	[ -e "$LIVE/flags.cfg" ] || install -m 644 -o hongbao -g hongbao $SHARE/flags.cfg "$LIVE/flags.cfg"
}

random_hex() { od -An -vtx1 -N"$1" /dev/urandom | tr -d ' \n'; }

# put_secret FILE TEXT
put_secret() {
	[ ! -s "$ETC/secrets/$1" ] || return 0
	(umask 377 && printf '%s\n' "$2" >"$ETC/secrets/$1")
	chown hongbao:hongbao "$ETC/secrets/$1"
	echo "$ETC/secrets/$1"
}

secrets() {
	local name
	for name in session grant seal finance internal; do put_secret "$name.keys" "k1 $(random_hex 32)"; done
	for name in db.hb_core db.hb_query db.hb_worker db.hb_rain db.hb_age db.hb_ctl db.hb_repl mq.hongbao; do put_secret "$name" "$(random_hex 24)"; done
}

create() {
	local data=$STATE/data/$CELL users file
	[ ! -e "$data" ] || { echo "site: $data is there already" >&2 && exit 1; }
	users=$(as_hongbao mktemp "$STATE/run/users.XXXXXX")
	# shellcheck disable=SC2064 # this very file
	trap "rm -f '$users'" EXIT
	{
		for file in "$ETC"/secrets/db.*; do echo "s|@secret\\.${file##*/}@|$(head -n 1 "$file")|g"; done
		hbctl capacity users
	} | sed -f - $SHARE/users.sql.in >"$users"
	as_hongbao mkdir -p "$STATE/run/db-$CELL"
	as_hongbao mariadb-install-db --no-defaults --datadir="$data" --skip-test-db --skip-name-resolve \
		--auth-root-authentication-method=socket --auth-root-socket-user=hongbao --extra-file="$users" >"$STATE/log/$CELL.create"
}

case $VERB in
fence) fence ;;
start) start ;;
live) live "$3" "$4" ;;
flags | keys) as_hongbao hbctl "$VERB" here "$HB_SITE" "${@:2}" ;;
nginx) if systemctl is-active -q hongbao-nginx; then exec systemctl reload hongbao-nginx; fi ;;
backup) backup ;;
restore) restore ;;
init) init ;;
secrets) secrets ;;
create) create ;;
*)
	echo "site: no such verb: $VERB" >&2
	exit 2
	;;
esac
