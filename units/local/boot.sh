#!/bin/bash
# boot: systemd as process 1 of namespaces of its own (processes, mounts, network, control groups), over the folder that `./dev package` has installed the
# packages in, and looks at hongbao's units as it runs them. As root.
#   boot.sh ROOT
set -euo pipefail

ROOT=$1
CLEAN=(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8)

# In the new namespaces: what a container's manager puts in place, and then systemd.
if [ "${2:-}" = inside ]; then
	mount --make-rprivate /
	mount --bind "$ROOT" "$ROOT"
	cd "$ROOT"
	mount -t proc proc proc
	mount --rbind /sys sys
	mount -t cgroup2 cgroup2 sys/fs/cgroup
	mount -t tmpfs tmpfs dev
	for device in null zero full random urandom tty; do
		touch "dev/$device"
		mount --bind "/dev/$device" "dev/$device"
	done
	mkdir dev/shm dev/pts
	ln -s /proc/self/fd dev/fd
	mount -t tmpfs tmpfs run
	mount -t tmpfs tmpfs tmp
	ip link set lo up
	mkdir -p old
	pivot_root . old
	exec chroot . /bin/sh -c 'umount -l /old; exec env -i container=docker PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=basic.target --show-status=no'
fi

unshare --fork --pid --mount --uts --ipc --net --cgroup --kill-child "$0" "$ROOT" inside &
OUTER=$!
# shellcheck disable=SC2064 # this very process, with which all in its namespace ends
trap "kill -KILL $OUTER 2>/dev/null || true" EXIT

# there COMMAND…: in those namespaces.
there() { nsenter -t "$INIT" -m -p -n -u -i -C -r -w "${CLEAN[@]}" "$@"; }

until_true() { # until_true SECONDS WHAT COMMAND…
	local until=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $until ]; then
			echo "not ok - $what"
			there systemctl --no-pager list-units 'hongbao*' || true
			there journalctl --no-pager -n 40 -o cat || true
			exit 1
		fi
		sleep 0.2
	done
	echo "ok - $what"
}
up() { INIT=$(pgrep -P $OUTER) && there systemctl is-system-running; }
is() { [ "$(there systemctl show -P "$2" "$1")" = "$3" ]; }
running() { there systemctl is-active -q "$@"; }
answers() { nsenter -t "$INIT" -n curl -s --noproxy '*' -o /dev/null http://127.0.0.1:18000/; }
# The namespace of a service's files, entered as the user that it has.
inside() { # inside SERVICE COMMAND…
	local unit=$1 pid user
	shift
	pid=$(there systemctl show -P MainPID "$unit.service") user=$(there systemctl show -P User "$unit.service")
	there nsenter -t "$pid" -m setpriv --reuid="$user" --regid="$user" --clear-groups "$@"
}

until_true 30 "systemd runs" up
# The namespaces of a container have no devices to make; all else is denied as in life.
there mkdir -p /etc/systemd/system/hongbao-.service.d
printf '[Service]\nPrivateDevices=no\n' | there tee /etc/systemd/system/hongbao-.service.d/99-nested.conf >/dev/null
there sh -c 'sed "s/192.0.2.1/127.0.0.1/; s/[14]G/64M/" /usr/share/hongbao/examples/member.cnf | install -D -m 644 /dev/stdin /etc/hongbao/mariadb/A.cnf'
there /usr/lib/hongbao/site create A >/dev/null 2>&1
there systemctl daemon-reload
# All is down, so it finds much; what it and its nginx -t leave behind must not keep nginx from its own files.
there hbctl doctor >/dev/null 2>&1 || true
there systemctl start --no-block hongbao-cell@A.target hongbao-nginx.service
until_true 30 "all programs of the cell say that they are ready" running hongbao-{core@A-1,core@A-2,query@A-1,rain@A-1,cache@A,worker@A-relay,worker@A-age}.service hongbao-core@A-1.socket
until_true 30 "so does nginx, from what it had: etcd is not there" answers
until_true 1 "at its first start, though root's doctor had been there before it" is hongbao-nginx.service NRestarts 0
until_true 5 "the member waits for its control record" is hongbao-member@A.service SubState start

# What each may read of the secrets, whoever has taken it over: as docs/security.md has it.
RINGS="finance.keys grant.keys internal.keys seal.keys session.keys"
while read -r unit may; do
	# shellcheck disable=SC2016 # of that shell
	has=$(inside "$unit" sh -c 'cd /etc/hongbao/secrets && for f in *; do cat "$f" >/dev/null && printf "%s " "$f"; done' 2>/dev/null </dev/null || true)
	# shellcheck disable=SC2086 # words
	until_true 1 "$unit reads of the secrets: ${may:-none}" test "$(printf '%s\n' $has | sort)" = "$(printf '%s\n' $may | sort)"
done <<-UNITS
	hongbao-core@A-1 $RINGS db.hb_core
	hongbao-query@A-1 $RINGS db.hb_query
	hongbao-rain@A-1 $RINGS db.hb_rain mq.hongbao
	hongbao-worker@A-relay $RINGS db.hb_worker db.hb_age mq.hongbao
	hongbao-member@A db.hb_ctl db.hb_repl
	hongbao-cache@A
	hongbao-nginx
UNITS
# Those who have the passwords are looked into by nobody else's process, though it is of the same user.
secret=/proc/$(there systemctl show -P MainPID hongbao-member@A.service)/root/etc/hongbao/secrets/db.hb_ctl
there test -s "$secret"
for unit in nginx core@A-1 query@A-1 rain@A-1 worker@A-relay; do
	if inside "hongbao-$unit" cat "$secret" >/dev/null 2>&1; then
		echo "not ok - hongbao-$unit has db.hb_ctl out of /proc"
		exit 1
	fi
done
echo "ok - nobody has db.hb_ctl out of the member's /proc"

pid=$(there systemctl show -P MainPID hongbao-core@A-1.service)
there /usr/lib/hongbao/site live A 3 west
until_true 20 "a standby that remains one knows the epoch" there sh -c 'journalctl -u hongbao-core@A-1 -o cat | grep -q "\"epoch\":3,\"event\":\"live.still_standby\""'
there sh -c 'rm /var/lib/hongbao/live/*/A.cfg'
# shellcheck disable=SC2016 # of that shell
until_true 20 "without its file hb-core has run itself anew" there sh -c '[ $(journalctl -u hongbao-core@A-1 -o cat | grep -c "\"program.start\"") -ge 2 ]'
until_true 20 "and said so" is hongbao-core@A-1.service ActiveState active
until_true 1 "in the same process, which nobody started again" is hongbao-core@A-1.service MainPID "$pid"

there /usr/lib/hongbao/site fence A
until_true 5 "a fence kills the member" is hongbao-member@A.service MainPID 0
until_true 20 "the programs are started again" running hongbao-{core@A-1,query@A-1,worker@A-relay}.service
until_true 5 "and the member is not" is hongbao-member@A.service ActiveState inactive

cp "$(command -v etcd)" "$ROOT/usr/local/bin/etcd"
cp "$(command -v etcdctl)" "$ROOT/usr/local/bin/etcdctl"
there sh -c '/usr/local/bin/etcd --data-dir /var/tmp/etcd --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 --log-level error >/dev/null 2>&1 &'
# The go-live files cannot be written, for there is no ssh; the record can.
until_true 20 "a control record" there sh -c 'hbctl cells init >/dev/null 2>&1; hbctl cells status 2>/dev/null | grep -q "^A *east *1"'
there /usr/lib/hongbao/site start A
until_true 60 "a start lets it be: mariadbd says that it is ready" running hongbao-member@A.service
until_true 60 "and with it the cell's target" running hongbao-cell@A.target

# record CELL PRIMARY IN-SYNC: a control record as another hbctl would have left it.
record() { there /usr/local/bin/etcdctl put "/hongbao/cells/$1" "{\"epoch\":1,\"protection\":\"unprotected\",\"primary\":\"$2\",\"in_sync\":[$3]}" >/dev/null; }
sql() { there runuser -u hongbao -- mariadb --no-defaults -S /var/lib/hongbao/run/db-A/sock -NBe "$1"; }
writable() { [ "$(sql "SELECT @@read_only")" = 0 ]; }
follows() { sql "SHOW SLAVE STATUS" | grep -q '198\.51\.100\.2'; }
# routed HOST: nginx's file is the programs' and leads A's users there.
routed() { there sh -c "[ \$(stat -c %U /var/lib/hongbao/etc/nginx-east.conf) = hongbao ] && grep -q 'server $1:18023 max_conns.*max_fails=0' /var/lib/hongbao/etc/nginx-east.conf"; }

record B west '"west"'
there rm /var/lib/hongbao/etc/nginx-east.conf
there hbctl nginx reload --site east
until_true 1 "nginx's file that root's hbctl has made anew is the programs' and leads to east" routed 127.0.0.1
record A west '"west"'
there systemctl restart hongbao-nginx.service
until_true 30 "an nginx that starts follows the record" answers
until_true 1 "to west" routed 198.51.100.2

# Killed, for the record that named west had it start anew, and a mariadbd that starts does not hear SIGTERM.
there /usr/lib/hongbao/site fence A
record A east '"east"'
there /usr/lib/hongbao/site start A
until_true 60 "a primary that the record leaves alone takes writes" writable
sql "CREATE DATABASE in_copy"
has=$(sql "SELECT @@gtid_binlog_pos")
there sh -c '/usr/lib/hongbao/site backup A >/var/tmp/A'
sql "CREATE DATABASE too_late"
there /usr/lib/hongbao/site fence A
record A west '"west","east"'
there sh -c '/usr/lib/hongbao/site restore A </var/tmp/A'
there /usr/lib/hongbao/site start A
until_true 60 "a member restored from its own copy starts as the record says" running hongbao-member@A.service
until_true 60 "as a replica of west" follows
until_true 1 "with what the copy has, and nothing later" test "$(sql "SHOW DATABASES WHERE \`Database\` IN ('in_copy', 'too_late')")" = in_copy
until_true 1 "and from its position on" test "${has:?}" = "$(sql "SELECT @@gtid_slave_pos")"

there systemctl stop hongbao-cell@A.target
none() { ! there systemctl is-active -q 'hongbao-*@A*.service' 'hongbao-*@A*.socket'; }
until_true 60 "stopping the target stops all of the cell" none
