# shellcheck shell=bash
# netns: with HB_NETNS=1 each site of a stack is a network namespace of its own, in which the members of cells and their programs run.
# What all sites share (nginx, etcd, RabbitMQ, finance) and hbctl stay outside, at the bridge's address. So a site can be
# cut off from all others while everything in it lives on, and whoever enters its namespace still reaches it.
# Needs root. In the templates 127.0.0.1 means the address of the place where the service runs.

# What the stack was made with; empty: no namespaces.
NETNS=$(cat "$STACK/netns" 2>/dev/null || true)

cell_sites() { cell_members | cut -d' ' -f2 | sort -u; }
# The site of a service that runs in a site's namespace; nothing for the others.
netns_site() {
	local site
	if [ -z "$NETNS" ]; then return; fi
	for site in $(cell_sites); do if [[ $1 == [A-Z]-*-"$site" ]]; then echo "$site"; fi; done
}
# netns_address [SITE]: 10.x.y.1 is outside, the sites follow in the order of their names.
netns_address() {
	local at=1
	if [ -z "$NETNS" ]; then
		echo 127.0.0.1
		return
	fi
	if [ -n "${1:-}" ]; then at=$((10 + $(cell_sites | grep -nx "$1" | cut -d: -f1))); fi
	echo "10.$((64 + BASE / 1000)).$((BASE % 1000 / 4)).$at"
}
# The sed script that puts addresses in: a member's are those of its site.
netns_substitutions() {
	local site
	if [ -z "$NETNS" ]; then return; fi
	for site in $(cell_sites); do
		echo "/site = \"$site\".*mysql_port/s/127\\.0\\.0\\.1/$(netns_address "$site")/g"
	done
	echo "s/127\\.0\\.0\\.1/$(netns_address)/g"
}
# What a service's command begins with.
netns_enter() {
	local site
	site=$(netns_site "$1")
	if [ -n "$site" ]; then echo "nsenter --net=/run/netns/$NETNS-$site "; fi
}

# Decided when a stack is made, for its addresses are in its topology.
netns_choose() {
	if [ -n "$NETNS" ] || [ -z "${HB_NETNS:-}" ]; then return; fi
	[ ! -e "$STACK/etc/topology.cfg" ] || die "this stack was made without namespaces: ./dev down --wipe first"
	[ "$(id -u)" = 0 ] || die "HB_NETNS needs root"
	NETNS=hb$BASE
	echo "$NETNS" >"$STACK/netns"
}

netns_up() {
	local site
	if [ -z "$NETNS" ]; then return; fi
	netns_down
	ip link add "$NETNS" type bridge
	ip addr add "$(netns_address)/24" dev "$NETNS"
	ip link set "$NETNS" up
	for site in $(cell_sites); do
		ip netns add "$NETNS-$site"
		ip link add "$NETNS-$site" type veth peer name eth0 netns "$NETNS-$site"
		ip link set "$NETNS-$site" master "$NETNS" up
		ip -n "$NETNS-$site" addr add "$(netns_address "$site")/24" dev eth0
		ip -n "$NETNS-$site" link set eth0 up
		ip -n "$NETNS-$site" link set lo up
	done
}

netns_down() {
	local site
	if [ -z "$NETNS" ]; then return; fi
	for site in $(cell_sites); do ip netns del "$NETNS-$site" 2>/dev/null || true; done
	ip link del "$NETNS" 2>/dev/null || true
}
