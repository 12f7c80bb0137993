#!/usr/bin/env bash
# What `make install` puts in place: systemd takes the units, what stands twice agrees, and the scripts do what they say.
set -euo pipefail

source=$(cd "${srcdir:-.}" && pwd)
build=$PWD
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
PATH=$PATH:/usr/sbin:/sbin
root=$dir/root
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

# check_with PROGRAM NAME COMMAND…: only where the program is.
check_with() {
	local program=$1
	shift
	if command -v "$program" >/dev/null; then
		check "$@"
	else
		count=$((count + 1))
		echo "ok $count - $1 # SKIP no $program"
	fi
}

# As in life, but for where the topology is.
hbctl() {
	"$build/hbctl" --config "$dir/hongbao.cfg" --share "$root/usr/share/hongbao" --state "$root/var/lib/hongbao" "$@"
}

install_all() {
	make -s install DESTDIR="$root" prefix=/usr sysconfdir=/etc || return 1
	sed "s|/etc/hongbao/topology.cfg|$root/etc/hongbao/topology.cfg|" "$root/etc/hongbao/hongbao.cfg" >"$dir/hongbao.cfg"
}

# What is installed is all that these folders have, and what the programs look for is there.
shared_is_whole() {
	diff -r -x README.md "$source/nginx" "$root/usr/share/hongbao/nginx" && diff -r "$source/sql/migrations" "$root/usr/share/hongbao/sql/migrations" &&
		diff -r -x README.md "$source/web" "$root/usr/share/hongbao/web"
}

every_option_is_there() {
	local options lines
	options=$(grep -cE '^OPT_[IBS]\(' "$source/lib/base/options.def")
	lines=$(grep -cE '^  (# )?[a-z0-9_]+ = .*;$' "$root/etc/hongbao/hongbao.cfg")
	[ "$options" = "$lines" ] || { echo "$options options, $lines lines" && return 1; }
	# Each line that is taken back from its comment is right, too.
	sed -E 's/^  # ([a-z0-9_]+ = )/  \1/' "$dir/hongbao.cfg" >"$dir/all.cfg"
	"$build/hbctl" --config "$dir/all.cfg" config check
}

# What site create makes of it, but for the passwords.
users_are_given_connections() {
	hbctl capacity users | sed -f - "$root/usr/share/hongbao/users.sql.in" >"$dir/users.sql" && [ "$(grep -cE 'MAX_USER_CONNECTIONS [0-9]+;' "$dir/users.sql")" = 5 ]
}

render_units() { mkdir -p "$root/etc/systemd/system" "$root/var/lib/hongbao" && hbctl units render --site west --out "$root/etc/systemd/system"; }

sockets_are_the_topologys() {
	[ "$(cat "$root/etc/systemd/system/hongbao-core@B-2.socket.d/topology.conf")" = "# Written by \`hbctl units render\` from the topology. Never edited.
[Socket]
ListenStream=192.0.2.2:18054" ] && grep -q 'HB_CACHE_HOST=192.0.2.2 HB_CACHE_PORT=18022' "$root/etc/systemd/system/hongbao-cache@A.service.d/topology.conf" &&
		[ "$(find "$root/etc/systemd/system" -name 'hongbao-*.socket.d' | wc -l)" = 8 ] && [ ! -e "$root/etc/systemd/system/hongbao-core@A-3.socket.d" ]
}

roles_agree() {
	./hb-worker 2>&1 | sed -nE 's/^  ([a-z]+) .*/\1/p' | sort >"$dir/roles"
	[ -s "$dir/roles" ]
	diff "$dir/roles" <(sed -nE 's/^Wants=hongbao-worker@%i-([a-z]+)\.service/\1/p' "$source/units/production/systemd/hongbao-cell@.target" | sort) &&
		diff "$dir/roles" <(sed -nE 's/^PropagatesStopTo=hongbao-worker@%i-([a-z]+)\.service/\1/p' "$source/units/production/systemd/hongbao-cell@.target" | sort) &&
		diff "$dir/roles" <(sed -nE 's/.*\thb-worker ([a-z]+) .*/\1/p' "$source/units/local/services.tsv" | sort)
}

# The command lines that run.sh makes are those of the local stack.
command_lines_agree() {
	local what instance
	sed 's|exec |exec echo |; s|/usr/bin/||' "$source/units/production/run.sh" >"$dir/run"
	while read -r what instance; do
		HB_SITE=east sh "$dir/run" "$what" "$instance"
	done >"$dir/ours" <<-'WORDS'
		hb-core A-1
		hb-core A-2
		hb-query A-1
		hb-rain A-1
		hb-worker A-relay
		hb-worker A-age
	WORDS
	# shellcheck disable=SC2016 # the table's own
	sed -nE 's/^@cell@-(core|query|rain|worker-relay|worker-age)[^\t]*\tprogram\t//p' "$source/units/local/services.tsv" |
		sed -E 's|"\$HB_CONFIG"|/etc/hongbao/hongbao.cfg|; s|"\$S/live/@site@/@cell@.cfg"|/var/lib/hongbao/live/@site@/@cell@.cfg|; s|@cell@|A|g; s|@site@|east|g' >"$dir/theirs"
	# One word a line: run.sh has --instance last.
	diff <(tr ' ' '\n' <"$dir/ours" | sort) <(tr ' ' '\n' <"$dir/theirs" | sort) && [ "$(wc -l <"$dir/ours")" = 6 ]
}

# systemd-analyze wants to see what units run, and what they are ordered by.
verify() {
	mkdir -p "$root"/{bin,usr/sbin}
	for program in /bin/sh /bin/kill /usr/bin/memcached /usr/sbin/nginx; do [ -e "$root$program" ] || install -m 755 /dev/null "$root$program"; done
	for unit in network-online multi-user sysinit basic shutdown sockets; do printf '[Unit]\nDescription=stand-in\n' >"$root/etc/systemd/system/$unit.target"; done
	systemd-analyze --root="$root" --man=no --recursive-errors=no verify "hongbao-cell@A.target" "hongbao-nginx.service" "hongbao-member@A.service" \
		"hongbao-cache@A.service" "hongbao-worker@A-relay.service" "hongbao-core@A-1.socket" "hongbao-core@A-1.service" "hongbao-query@A-1.service" \
		"hongbao-rain@A-1.service"
}

# What the hardening leaves open, in tenths: the most that each kind may have.
exposure_is_low() { # UNIT TENTHS
	systemd-analyze --root="$root" --offline=yes --threshold="$2" --no-pager security "$1"
}

user_is_made() { systemd-sysusers --root="$root" hongbao.conf && grep -q '^hongbao:.*:/var/lib/hongbao:/usr/sbin/nologin$' "$root/etc/passwd"; }

folders_are_made() {
	systemd-tmpfiles --root="$root" --create hongbao.conf || return 1
	[ "$(stat -c '%a %U' "$root/etc/hongbao/secrets" | cut -d' ' -f1)" = 700 ] && [ -d "$root/var/lib/hongbao/fenced" ]
}

tls_is_taken() {
	mkdir -p "$dir"/nginx-{front,http}.d "$root"/var/lib/hongbao/{run,log}/nginx-east
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=hongbao.example -days 2 -keyout "$dir/key.pem" -out "$dir/fullchain.pem" 2>/dev/null
	sed "s|/etc/hongbao/tls|$dir|; s|listen 443|listen 127.0.0.1:42443|" "$root/usr/share/hongbao/examples/tls.conf" >"$dir/nginx-front.d/tls.conf"
	sed 's|listen 80|listen 127.0.0.1:42080|' "$root/usr/share/hongbao/examples/redirect.conf" >"$dir/nginx-http.d/redirect.conf"
	hbctl nginx render --offline --out "$dir/nginx.conf"
	sed -i "s|192\\.0\\.2\\.[0-9]*:|127.0.0.1:|" "$dir/nginx.conf"
	nginx -t -q -e stderr -c "$dir/nginx.conf" || return 1
	nginx -T -q -e stderr -c "$dir/nginx.conf" 2>/dev/null | grep -c '^listen 127.0.0.1:42443 ssl http2;\|return 308 https' | grep -qx 2
}

# Neither what hbctl writes nor what nginx -t makes may be root's: nginx is another user and opens it later.
root_leaves_nothing_of_its_own() {
	local state=$dir/here/state
	mkdir -p "$state"/{etc,run/nginx-east,log/nginx-east}
	chmod 755 "$dir"
	chown -R nobody "$state"
	sed 's/192\.0\.2\./127.77.0./g' "$root/etc/hongbao/topology.cfg" >"$dir/here/topology.cfg"
	sed "s|$root/etc/hongbao|$dir/here|" "$dir/hongbao.cfg" >"$dir/here/hongbao.cfg"
	set -- "$build/hbctl" --config "$dir/here/hongbao.cfg" --share "$root/usr/share/hongbao" --state "$state"
	"$@" nginx render --offline --site east --out "$state/etc/nginx-east.conf" || return 1
	"$@" doctor || true
	[ -e "$state/run/nginx-east.pid" ] || return 1
	find "$state" ! -user nobody -print | diff /dev/null -
}

logrotate_takes_it() {
	sed "s/hongbao hongbao/$(id -un) $(id -gn)/" "$root/etc/logrotate.d/hongbao" >"$dir/logrotate.cfg"
	chmod 644 "$dir/logrotate.cfg"
	logrotate -d --state "$dir/logrotate.state" "$dir/logrotate.cfg" >"$dir/logrotate.out" 2>&1
	! grep error: "$dir/logrotate.out"
}

put_program() { printf '#!/bin/sh\n%s\n' "$2" >"$dir/bin/$1" && chmod 755 "$dir/bin/$1"; }

# site: its copy runs with folders and a systemctl of the test's, which notes what it is asked. Nobody becomes another user.
site() {
	mkdir -p "$dir"/{bin,state/{live/east,fenced,run,log},etc}
	echo HB_SITE=east >"$dir/etc/site.env"
	# shellcheck disable=SC2016 # the scripts' own
	{
		put_program systemctl 'echo "$*" >>'"$dir"'/asked; case $1 in show) echo 0 ;; esac'
		put_program runuser 'shift 3; exec "$@"'
	}
	sed "s|^STATE=.*|STATE=$dir/state ETC=$dir/etc SHARE=$root/usr/share/hongbao|" "$source/units/production/site.sh" >"$dir/site"
	: >"$dir/asked"
	PATH=$dir/bin:$PATH bash "$dir/site" "$@"
}

site_live() {
	site live A 7 west
	[ "$(cat "$dir/state/live/east/A.cfg")" = 'epoch = 7L;
primary = "west";' ] && grep -qx 'kill --kill-whom=main --signal=HUP hongbao-core@A-\*.service hongbao-query@A-\*.service hongbao-rain@A-\*.service hongbao-worker@A-\*.service' "$dir/asked"
}

site_fence() {
	site fence A
	[ -e "$dir/state/fenced/A" ] && [ "$(head -n 1 "$dir/asked")" = 'kill --kill-whom=all --signal=KILL hongbao-member@A.service' ] &&
		grep -qxF 'ConditionPathExists=!/var/lib/hongbao/fenced/%i' "$source/units/production/systemd/hongbao-member@.service"
	site start A
	[ ! -e "$dir/state/fenced/A" ] && grep -qx 'start --no-block hongbao-cell@A.target hongbao-member@A.service' "$dir/asked"
}

# Whatever umask root has: the programs are somebody else, and take a file that they cannot read for none.
site_live_is_read_by_all() {
	(umask 077 && site live A 8 west)
	[ "$(stat -c %a "$dir/state/live/east/A.cfg")" = 644 ]
}

refused() { # refused site WORDS…
	local status=0
	"$@" || status=$?
	[ $status = 2 ] && [ ! -s "$dir/asked" ]
}

site_by_ssh() {
	SSH_ORIGINAL_COMMAND='/usr/lib/hongbao/site live A 9 west' site && grep -qxF 'epoch = 9L;' "$dir/state/live/east/A.cfg" &&
		SSH_ORIGINAL_COMMAND='/usr/lib/hongbao/site fence A' site && [ -e "$dir/state/fenced/A" ]
}

site_by_ssh_refuses() {
	local asked
	while read -r asked; do
		SSH_ORIGINAL_COMMAND=$asked refused site || { echo "taken: $asked" && return 1; }
	done <<-'COMMANDS'
		/usr/lib/hongbao/site live A 9 west; touch x
		/usr/lib/hongbao/site live A 9 $(touch${IFS}x)
		/usr/lib/hongbao/site live A 9 `id`
		/usr/lib/hongbao/site live A 9 *
		/usr/lib/hongbao/site fence ../../A
		/usr/lib/hongbao/site fence ..
		/usr/lib/hongbao/site secrets
		/usr/lib/hongbao/site
		/usr/lib/hongbao/siteX fence A
		/bin/sh -c id
		fence A

	COMMANDS
	SSH_ORIGINAL_COMMAND=$'/usr/lib/hongbao/site fence A\nid' refused site
}

# A copy takes hours: the password is in no argument and no environment of it, and gone with it.
password_is_not_seen() { # COMMAND…
	# shellcheck disable=SC2016 # the script's own
	put_program mariadb-backup 'tr "\0" "\n" </proc/self/environ; echo "$*"; file=${1#--defaults-file=}; echo; stat -c %a "$file"; cat "$file"'
	"$@" >"$dir/seen" || return 1
	if sed '/^$/,$d' "$dir/seen" | grep -F one-that; then return 1; fi
	diff <(sed '1,/^$/d' "$dir/seen") - <<-'FILE' && [ -z "$(ls "$dir/state/run")" ]
		600
		[mariadb-backup]
		password = "one-that-is\\secret"
	FILE
}

site_backup() {
	mkdir -p "$dir"/etc/{secrets,mariadb}
	echo 'one-that-is\secret' >"$dir/etc/secrets/db.hb_ctl"
	printf 'bind_address = 192.0.2.1\nport = 18020\n' >"$dir/etc/mariadb/A.cnf"
	site start A
	password_is_not_seen site backup A
}

local_site_backup() {
	ln -sf "$dir/etc/secrets" "$dir/state/secrets"
	mkdir -p "$dir/state/etc"
	cp "$dir/etc/mariadb/A.cnf" "$dir/state/etc/A-db-east.cnf"
	PATH=$dir/bin:$PATH password_is_not_seen bash "$source/units/local/site.sh" "$dir/state" east backup A
}

check "make install" install_all
check "nginx's templates, migrations and pages are installed whole" shared_is_whole
check "the installed configuration has every option, and reads back" every_option_is_there
check "the installed configuration and topology are right" hbctl config check
check "the database's users are given connections" users_are_given_connections
check "what the topology says of a site becomes drop-ins" render_units
check "sockets and memcached are where the topology has them" sockets_are_the_topologys
check "a cell's target has every role of hb-worker, and so has the local stack" roles_agree
check "programs are started as in the local stack" command_lines_agree
check_with systemd-analyze "systemd takes the units" verify
check_with systemd-analyze "hb-core is exposed to little" exposure_is_low hongbao-core@A-1.service 15
check_with systemd-analyze "so is hb-worker" exposure_is_low hongbao-worker@A-relay.service 15
check_with systemd-analyze "so is mariadbd" exposure_is_low hongbao-member@A.service 17
check_with systemd-analyze "so is nginx" exposure_is_low hongbao-nginx.service 20
check_with systemd-sysusers "the user is made" user_is_made
if [ "$(id -u)" = 0 ]; then check_with systemd-tmpfiles "the folders are made" folders_are_made; fi
check_with nginx "nginx takes the examples of TLS" tls_is_taken
if [ "$(id -u)" = 0 ]; then check_with nginx "what root's hbctl leaves behind is the programs' user's" root_leaves_nothing_of_its_own; fi
check_with logrotate "logrotate takes its file" logrotate_takes_it
check "site live writes the go-live file and tells the programs" site_live
check "site fence kills the member first and keeps it down, start lets it be" site_fence
check "what it writes is read by all, whatever root's umask" site_live_is_read_by_all
check "site refuses what it does not know" refused site dance A
check "bound to a key of ssh it does what hbctl asks for" site_by_ssh
check "and nothing else" site_by_ssh_refuses
check "a backup shows its password to nobody" site_backup
check "nor does one of the local stack" local_site_backup
echo "1..$count"
[ $failures = 0 ]
