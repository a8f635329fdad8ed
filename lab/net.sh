# shellcheck shell=bash
# net.sh: a switch (a bridge in a network namespace of its own) and a network namespace per host. Nothing appears in the
# machine's own network: the hosts cannot reach the world, as on a real site, and addresses of two labs never meet.

net_switch=offgrid-$lab_id-switch
net_gateway=20.0.0.2

net_name() { echo "offgrid-$lab_id-$1"; }
net_exists() { [ -e "/run/netns/$1" ] && ip netns exec "$1" true 2>/dev/null; }

# net_switch_up makes the switch, once, however many hosts boot at the same time.
net_switch_up() {
	local lock
	exec {lock}>"$lab_state/switch.lock"
	flock "$lock"
	if ! net_exists "$net_switch"; then
		ip netns del "$net_switch" 2>/dev/null || true
		ip netns add "$net_switch"
		ip -n "$net_switch" link set lo up
		ip -n "$net_switch" link add br0 type bridge
		ip -n "$net_switch" addr add $net_gateway/24 dev br0
		ip -n "$net_switch" link set br0 up
	fi
	exec {lock}>&-
}

# net_up NAME IP: the host's namespace with its cable to the switch.
net_up() {
	local ns
	ns=$(net_name "$1")
	net_switch_up
	if net_exists "$ns"; then return; fi
	ip netns del "$ns" 2>/dev/null || true
	ip netns add "$ns"
	cable_remove "$1"
	ip -n "$ns" link add eth0 type veth peer name "p-$1" netns "$net_switch"
	ip -n "$net_switch" link set "p-$1" master br0 up
	ip -n "$ns" link set lo up
	ip -n "$ns" addr add "$2/24" dev eth0
	ip -n "$ns" link set eth0 up
	ip -n "$ns" route add default via $net_gateway
}

# net_down NAME: forgets the host's network. All that a host changed in it (rules, routes, sysctls) goes with it.
net_down() {
	cable_remove "$1"
	ip netns del "$(net_name "$1")" 2>/dev/null || true
}

# cable_remove NAME: a deleted namespace lives on until the last process in it has ended, and its cable with it.
cable_remove() { ip -n "$net_switch" link del "p-$1" 2>/dev/null || true; }

# net_cable NAME up|down: plugs or pulls the host's cable.
net_cable() { ip -n "$net_switch" link set "p-$1" "$2"; }

# net_leftovers: names of this lab's namespaces.
net_leftovers() { find /run/netns -maxdepth 1 -name "offgrid-$lab_id-*" -printf '%f\n' 2>/dev/null || true; }
