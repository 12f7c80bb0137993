# shellcheck shell=bash
# stack: one stack under .hb/<name>: etc and secrets rendered from the templates here, a runit service for each row of
# services.tsv, started stage by stage, each stage when what it needs answers; the stage `later` is left to whoever wants it.
# Nothing waits for a fixed time.
# Everything that runs carries HB_SUPERVISED=<folder> in its environment, by which `down` proves that nothing is left.

# shellcheck disable=SC2153 # NAME is set in dev
STACK=$ROOT/.hb/$NAME
# What runs where: ports, services, topology. The benchmark brings its own.
TABLES=${HB_TABLES:-$LOCAL}
SV=$STACK/sv
# How many nodes of etcd and of RabbitMQ: decided when a stack is made, for their data is of that cluster.
NODES=$(cat "$STACK/nodes" 2>/dev/null || echo "${HB_NODES:-1}")
START_WAIT_S=60
STOP_WAIT_S=20

rows() { grep -v '^#' "$TABLES/$1"; }
# The cells' members, "A east", and the rows of services.tsv, those of members expanded.
cell_members() { rows ports.tsv | sed -nE 's/^([A-Z])-db-([a-z]+)\t.*/\1 \2/p'; }
service_rows() {
	awk 'NR == FNR { cell[NR] = $1; site[NR] = $2; n = NR; next }
		/@node@/ { for (i = 1; i <= split(nodes, node, " "); i++) { row = $0; gsub(/@node@/, node[i] == "." ? "" : node[i], row); print row }; next }
		!/@cell@/ { print; next }
		{ for (i = 1; i <= n; i++) { row = $0; gsub(/@cell@/, cell[i], row); gsub(/@site@/, site[i], row); print row } }
	' <(cell_members) nodes="$(nodes | sed 's/^$/./')" <(rows services.tsv)
}
# How the nodes of etcd and RabbitMQ are called: one without a name, or one at each of three sites.
nodes() { if [ "$NODES" = 3 ]; then printf '%s\n' -east -west -north; else echo; fi; }
port() { awk -F'\t' -v name="$1" -v base="$BASE" '$1 == name { print base + $2 }' "$TABLES/ports.tsv"; }
services() { service_rows | awk -F'\t' -v stages=" $* " 'index(stages, " " $2 " ") { print $1 }'; }
members() { services db; }
running() { [ -s "$STACK/run/runsvdir.pid" ] && grep -qzxF "$SV" "/proc/$(cat "$STACK/run/runsvdir.pid")/cmdline" 2>/dev/null; }

# wait_for SECONDS WHAT COMMAND…: tries until the command succeeds.
wait_for() {
	local until=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $until ] || die "$what did not come up; see ./dev logs and $STACK/log"
		sleep 0.1
	done
}

# The base is kept with the stack, so that every later command finds its ports.
stack_base() {
	if [ -s "$STACK/base" ]; then BASE=$(cat "$STACK/base"); fi
}

# The sed script of all that templates may name: @port.x@, @secret.x@, @stack@.
substitutions() {
	local name offset rest file
	while IFS=$'\t' read -r name offset rest; do
		echo "s|@port\\.$name@|$((BASE + offset))|g"
	done < <(rows ports.tsv)
	for file in "$STACK"/secrets/{db,mq}.*; do echo "s|@secret\\.${file##*/}@|$(cat "$file")|g"; done
	substitutions_nodes
	echo "s|@stack@|$STACK|g"
	echo "s|@root@|$ROOT|g"
	echo "s|@user@|$(id -un)|g"
	netns_substitutions
}

# joined SEPARATOR: the lines of standard input in one.
joined() { paste -s | sed "s|\t|$1|g"; }

# What depends on the nodes: @nodes.x@.
substitutions_nodes() {
	local node i=0
	echo "s|@nodes\\.etcd@|$(nodes | while read -r node; do url "etcd$node"; done | joined ,)|g"
	echo "s|@nodes\\.etcd-cluster@|$(nodes | while read -r node; do echo "local$node=$(url "etcd-peer$node")"; done | joined ,)|g"
	echo "s|@nodes\\.mq@|$(nodes | while read -r node; do echo "{ host = \"127.0.0.1\"; port = $(port "amqp$node"); }"; done | joined ', ')|g"
	# One of three that sees neither of the others pauses, and its clients go to those; a pair goes on.
	echo "s|@nodes\\.rabbitmq@|$(if [ "$NODES" = 3 ]; then
		echo cluster_partition_handling = pause_minority
		nodes | while read -r node; do echo "cluster_formation.classic_config.nodes.$((i += 1)) = hb$BASE$node@localhost"; done
	fi | joined '\\n')|g"
}

# render TEMPLATE TARGET MODE [SED…]
render() {
	local template=$1 target=$2 mode=$3
	shift 3
	rm -f "$target"
	(umask 077 && sed "$@" -f "$STACK/run/substitutions.sed" "$template" >"$target")
	chmod "$mode" "$target"
}

random_hex() { od -An -vtx1 -N"$1" /dev/urandom | tr -d ' \n'; }

make_secrets() {
	local name
	(
		umask 377
		for name in session grant seal finance internal; do
			[ -s "$STACK/secrets/$name.keys" ] || echo "k1 $(random_hex 32)" >"$STACK/secrets/$name.keys"
		done
		[ -s "$STACK/secrets/partner.demo.keys" ] || echo "k1 $(random_hex 32) campaign:*" >"$STACK/secrets/partner.demo.keys"
		for name in db.hb_core db.hb_query db.hb_worker db.hb_rain db.hb_age db.hb_ctl db.hb_repl mq.hongbao; do
			[ -s "$STACK/secrets/$name" ] || random_hex 24 >"$STACK/secrets/$name"
		done
		# By which RabbitMQ's nodes know each other.
		mkdir -p "$STACK/data/rabbitmq"
		[ -s "$STACK/data/rabbitmq/.erlang.cookie" ] || random_hex 24 >"$STACK/data/rabbitmq/.erlang.cookie"
	)
}

# A unix socket's path has room for 107 bytes; in a deeper folder the members do without one.
socket_path() {
	local path=$STACK/run/$1/sock
	if [ ${#path} -le 107 ]; then echo "$path"; fi
}

make_config() {
	local member nginx_user=
	substitutions >"$STACK/run/substitutions.sed"
	chmod 600 "$STACK/run/substitutions.sed"
	render "$TABLES/topology.cfg.in" "$STACK/etc/topology.cfg" 644
	render "${HB_CONFIG_TEMPLATE:-$LOCAL/hongbao.cfg.in}" "$STACK/etc/hongbao.cfg" 644
	render "$LOCAL/rabbitmq.conf.in" "$STACK/etc/rabbitmq.conf" 400
	hbctl --config "$STACK/etc/hongbao.cfg" capacity users >>"$STACK/run/substitutions.sed" || die "hbctl capacity users failed"
	render "$LOCAL/users.sql.in" "$STACK/etc/users.sql" 400
	echo '[].' >"$STACK/etc/rabbitmq.plugins"
	for member in $(members); do
		render "$LOCAL/mariadb.cnf.in" "$STACK/etc/$member.cnf" 644 -e "s|@name@|$member|g" \
			-e "s|@host@|$(netns_address "$(netns_site "$member")")|" \
			-e "s|@socket@|$(socket_path "$member")|" -e "s|@port@|$(port "$member")|g" \
			-e "s|@extra_port@|$(port "${member/-db-/-dbx-}")|"
	done
	# A root's nginx would give its workers to Debian's user, who cannot read a clone in root's home.
	if [ "$(id -u)" = 0 ]; then nginx_user=root; fi
	cat >"$STACK/etc/env" <<-ENV
		S='$STACK' R='$ROOT' USER='$(id -un)'
		export S R USER PATH='$PATH' LC_ALL=C.UTF-8
		export HB_CONFIG="\$S/etc/hongbao.cfg" HB_STATE="\$S" HB_SHARE="\$R" HB_NGINX_USER=$nginx_user
		export HB_RABBITMQCTL="\${HB_RABBITMQCTL:-'$LOCAL/rabbitmq.sh' ctl rabbitmqctl}"
		export HB_BASE=$BASE ERL_EPMD_PORT=$(port epmd) RABBITMQ_NODENAME=hb$BASE$(nodes | head -n 1)@localhost
	ENV
}

# New members start as copies of one empty database with the users in it.
make_data() {
	local member new=() template=$STACK/data/template
	for member in $(members); do
		[ -d "$STACK/data/$member" ] || new+=("$member")
	done
	[ ${#new[@]} -gt 0 ] || return 0
	rm -rf "$template"
	# Not /tmp, as in mariadb.cnf.in: a neighbour that starts meanwhile would remove what is in it.
	TMPDIR=$STACK/run mariadb-install-db --no-defaults --user="$(id -un)" --datadir="$template" --skip-test-db --skip-name-resolve \
		--auth-root-authentication-method=socket --auth-root-socket-user="$(id -un)" --innodb-log-file-size=64M \
		--extra-file="$STACK/etc/users.sql" >"$STACK/log/mariadb-install-db" 2>&1 ||
		die "mariadb-install-db failed: $STACK/log/mariadb-install-db"
	for member in "${new[@]}"; do
		rm -rf "$STACK/data/$member.new"
		cp -a --sparse=always "$template" "$STACK/data/$member.new"
		mv "$STACK/data/$member.new" "$STACK/data/$member"
	done
	rm -rf "$template"
}

# fenced_wait SERVICE: a worker that a fence has killed (its cell has no go-live file) comes back within two seconds, each at another moment:
# all of a site at once would take the machine from those whose requests it has, and nobody waits for a standby. A SIGHUP meanwhile is harmless.
fenced_wait() {
	local cell=${1%%-*} site=${1##*-}
	if [[ $1 == *-worker-* ]]; then
		echo "[ -e \"\$S/live/$site/$cell.cfg\" ] || { trap : HUP; sleep 1.\$((\$\$ % 10)); }"
	fi
}

# A service's `down` file keeps runsvdir from starting it before its stage; stage_start takes it away.
make_services() {
	local name command dir
	rm -rf "$SV"
	while IFS=$'\t' read -r name _ command; do
		dir=$SV/$name
		mkdir -p "$dir/log" "$STACK/log/$name" "$STACK/run/$name"
		touch "$dir/down"
		command=$(sed -e "s/127\.0\.0\.1/$(netns_address "$(netns_site "$name")")/g" -f "$STACK/run/substitutions.sed" <<<"$command")
		cat >"$dir/run" <<-RUN
			#!/bin/sh
			exec 2>&1 </dev/null
			. '$STACK/etc/env'
			cd "\$S/run/$name" || exit 1
			$(fenced_wait "$name")
			exec $(netns_enter "$name")$command
		RUN
		printf '#!/bin/sh\nexec svlogd "%s"\n' "$STACK/log/$name" >"$dir/log/run"
		printf 's10000000\nn4\n' >"$STACK/log/$name/config"
		chmod 755 "$dir/run" "$dir/log/run"
	done < <(service_rows)
}

# The listening ports of ours that somebody else has, with who it is.
ports_taken() {
	ss -Hltnp | awk -v base="$BASE" '
		NR == FNR { if ($0 !~ /^#/) { split($0, f, "\t"); name[base + f[2]] = f[1] } next }
		{ port = $4; sub(/.*:/, "", port); if (port in name) print "port " port " (" name[port] ") is in use: " $6 }
	' "$TABLES/ports.tsv" -
}

supervise() {
	local name
	HB_SUPERVISED=$STACK setsid runsvdir -P "$SV" >"$STACK/log/runsvdir" 2>&1 </dev/null 9>&- &
	echo $! >"$STACK/run/runsvdir.pid"
	for name in $(services base db program front later); do
		wait_for 15 "the supervisor of $name" test -p "$SV/$name/supervise/ok"
	done
}

stage_start() {
	local name
	for name in $(services "$1"); do
		rm -f "$SV/$name/down"
		sv up "$SV/$name" >/dev/null || die "$name could not be started"
	done
}

etcd_healthy() {
	local node
	for node in $(nodes | sed 's/^$/./'); do curl -fsS -m 2 "$(url "etcd${node#.}")/health" | grep -q true || return 1; done
}
# All nodes have found each other: a queue that is declared earlier would be on fewer.
rabbitmq_ready() {
	if [ "$NODES" = 3 ]; then
		in_stack "$LOCAL/rabbitmq.sh" ctl rabbitmqctl -q await_online_nodes 3 -t 10
	else
		listening amqp
	fi
}
listening() { [ -n "$(ss -Hltn "sport = :$(port "$1")")" ]; }
in_stack() {
	(
		# shellcheck disable=SC1091 # written by make_config
		. "$STACK/etc/env"
		"$@"
	)
}
# The sites that have an nginx; its ports are those of the first without a name, "front", of the others "front-west".
doors() { services front | sed -n 's/^nginx-//p'; }
door_ports() { doors | sed -n "1s/.*/$1/; 1!s/^/$1-/; p"; }
# A front door answers when a page comes, and when both cells tell a stranger to sign in.
door_answers() {
	local slot
	curl -fsS -m 5 -o /dev/null "$(url "$1")/" || return 1
	for slot in 001 501; do
		[ "$(curl -sS -m 5 -o /dev/null -w '%{http_code}' "$(url "$1")/v1/packets/1000$slot")" = 401 ] || return 1
	done
}
front_answers() {
	local name
	for name in $(door_ports front); do door_answers "$name" || return 1; done
	for name in $(door_ports ops); do curl -fsS -m 5 -o /dev/null "$(url "$name")/healthz" || return 1; done
}

stack_up() {
	local began=$SECONDS site
	mkdir -p "$STACK"/{etc,data/finance,data/wins,run,log,live,metrics}
	for site in $(cell_members | sed 's/.* //' | sort -u); do
		mkdir -p "$STACK/live/$site"
		[ -e "$STACK/live/$site/flags.cfg" ] || cp "$LOCAL/flags.cfg" "$STACK/live/$site/flags.cfg"
	done
	(umask 077 && mkdir -p "$STACK/secrets")
	exec 9>"$STACK/lock"
	flock -n 9 || die "another ./dev is at work on this stack ($STACK)"
	if ! running; then
		if [ -z "${HB_BASE:-}" ]; then stack_base; fi
		prepare
		supervise
	else
		stack_base
		say "The stack '$NAME' is running already."
	fi
	stage_start base
	wait_for $START_WAIT_S etcd etcd_healthy
	in_stack hbctl cells init >/dev/null || die "hbctl cells init failed"
	stage_start db
	wait_for $START_WAIT_S "a writable primary in each cell" in_stack hbctl cells status --ready
	in_stack hbctl schema apply >/dev/null || die "hbctl schema apply failed"
	if [ -s "$TABLES/campaigns.cfg" ]; then
		in_stack hbctl campaign apply "$TABLES/campaigns.cfg" --reason "the demo" >/dev/null || die "hbctl campaign apply failed"
	fi
	if services base | grep -q ^rabbitmq; then wait_for $START_WAIT_S RabbitMQ rabbitmq_ready; fi
	stage_start program
	for site in $(doors); do
		in_stack hbctl nginx render --site "$site" --out "$STACK/etc/nginx-$site.conf" || die "hbctl nginx render failed"
	done
	stage_start front
	wait_for $START_WAIT_S "the front door" front_answers
	say "Up in $((SECONDS - began)) s."
	stack_addresses
}

prepare() {
	local taken
	[ "$NODES" = "${HB_NODES:-$NODES}" ] || die "this stack has $NODES nodes of etcd and RabbitMQ: ./dev down --wipe first"
	taken=$(ports_taken)
	[ -z "$taken" ] || die "nothing was started:"$'\n'"$taken"$'\n'"Choose other ports with HB_BASE."
	echo "$BASE" >"$STACK/base"
	netns_choose
	netns_up
	echo "$NODES" >"$STACK/nodes"
	make_secrets
	make_config
	make_data
	make_services
}

url() { echo "http://$(netns_address):$(port "$1")"; }

# stack_url [ops|finance] [SITE]: of the first nginx, or of the one at SITE.
stack_url() {
	local what=front site=${2:-} name
	case ${1:-} in
	'') ;;
	front | ops | finance) what=$1 ;;
	*) wrong "url: front, ops or finance, and a site" ;;
	esac
	running || die "the stack '$NAME' is not running: ./dev up"
	stack_base
	name=$(paste <(doors) <(door_ports "$what") | awk -v site="$site" 'site == "" || $1 == site { print $2; exit }')
	[ -n "$name" ] || wrong "there is no nginx at '$site'"
	url "$name"
}

stack_addresses() {
	local name
	cat <<-TEXT

		  front door   $(door_ports front | while read -r name; do url "$name"; done | joined ' and ')
		  finance      $(url finance)
		  operations   $(url ops): a console; /healthz, /metrics, /ops/v1/status, /ops/v1/flags

		Demo users: 1001, 1002, 1003 … live in cell A (slots 000-499), 1501, 1502, 1503 … in cell B (500-999);
		any uid of digits is one. Open the front door on a narrow window, log in as 1001, send an envelope, pay at
		the cashier, and open it as 1002 and 1501.

		Next: ./dev status, ./dev logs A-core-1-east, ./dev hbctl cells status, ./dev test, ./dev down
	TEXT
}

# Our processes, by the mark that the supervisor gave them.
ours() { grep -lzxF "HB_SUPERVISED=$STACK" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3 || true; }
none_left() { [ -z "$(ours)" ]; }

# The members that the newest go-live files name.
primaries() {
	local cell
	for cell in $(cell_members | cut -d' ' -f1 | sort -u); do
		sed -nE 's/^epoch = ([0-9]+)L;$/\1/; t keep; s/^primary = "(.*)";$/\1/; t tell; b
			:keep; h; b; :tell; H; x; s/\n/ /p' "$STACK"/live/*/"$cell.cfg" 2>/dev/null |
			sort -n | tail -n 1 | sed "s/.* /$cell-db-/"
	done
}

# Programs first, then what they write to: primaries before replicas, whose acknowledgement a last commit may await.
stop_order() {
	services front program later
	echo --
	primaries
	echo --
	services db
	echo --
	services base
}

stack_down() {
	local name wipe=${1:-} batch=()
	case $wipe in '' | --wipe) ;; *) wrong "down: --wipe or nothing" ;; esac
	[ -d "$STACK" ] || { say "There is no stack '$NAME'." && return 0; }
	exec 9>"$STACK/lock"
	flock -w 60 9 || die "another ./dev is at work on this stack ($STACK)"
	if running; then
		for name in $(stop_order) --; do
			if [ "$name" != -- ]; then
				batch+=("$SV/$name")
			else
				sv -w $STOP_WAIT_S force-stop "${batch[@]}" >/dev/null || true
				batch=()
			fi
		done
		kill -HUP "$(cat "$STACK/run/runsvdir.pid")"
	fi
	until_gone
	rm -f "$STACK/run/runsvdir.pid"
	if [ "$wipe" = --wipe ]; then rm -rf "$STACK"; fi
	say "The stack '$NAME' is down."
}

until_gone() {
	local until=$((SECONDS + STOP_WAIT_S)) pids name
	until none_left; do
		if [ $SECONDS -ge $until ]; then
			mapfile -t pids < <(ours)
			say "Killing what did not end: ${pids[*]}"
			kill -KILL "${pids[@]}" 2>/dev/null || true
		fi
		sleep 0.1
	done
	for name in $(doors); do "$LOCAL/nginx.sh" --stray "$STACK/run/nginx-$name"; done
	netns_down
}

stack_status() {
	running || die "the stack '$NAME' is not running"
	local name
	printf '%-20s %-8s %8s  %s\n' SERVICE STATE PID SINCE
	for name in $(services base db program front later); do
		sv status "$SV/$name" | sed -nE \
			-e "s|^(run): [^:]*: \\(pid ([0-9]+)\\) ([0-9]+)s.*|$name \\1 \\2 \\3s|p" \
			-e "s|^(down): [^:]*: ([0-9]+)s.*|$name \\1 - \\2s|p"
	done | awk '{ printf "%-20s %-8s %8s  %s\n", $1, $2, $3, $4 }'
}

stack_logs() {
	local follow=() files=()
	[ -d "$SV" ] || die "there is no stack '$NAME': ./dev up"
	if [ "${1:-}" = -f ]; then
		follow=(-F)
		shift
	fi
	if [ $# -gt 0 ]; then
		[ -d "$STACK/log/$1" ] || wrong "no service '$1'; there are: $(services base db program front later | tr '\n' ' ')"
		files=("$STACK/log/$1/current")
	else
		files=("$STACK"/log/*/current)
	fi
	tail -n 20 "${follow[@]}" "${files[@]}"
}

stack_hbctl() {
	[ -f "$STACK/etc/env" ] || die "there is no stack '$NAME': ./dev up"
	in_stack hbctl "$@"
}
