# shellcheck shell=bash
# cluster.sh: what an operator does on the hosts, and asks them.

# hosts_new NAME...: makes and boots them, all at once.
hosts_new() {
	local name pid pids=()
	"$lab_root/lab/base" >/dev/null
	for name in "$@"; do
		"$lab_root/lab/host" "$name" --new &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid" || die "a host did not start"; done
}

roles_of() { awk -v n="$1" '$1 == n { gsub(",", " ", $3); print $3 }' "$lab_root/lab/hosts"; }

# bring NAME --put|--scp DIST: the installer and the bundles of the host's roles, into its /root.
bring() {
	local role files=("$3/install")
	for role in $(roles_of "$1"); do files+=("$3/$role.bundle"); done
	"$lab_root/lab/host" "$1" "$2" "${files[@]}" /root
}

# install_role ROLE NAME...: on each host at the same time exactly what an operator types there: the command, the passphrase where
# the host's SSH key does not open the bundle, and the answer to the question.
install_options=''
install_role() {
	local role=$1 name ip options pids=()
	shift
	for name in "$@"; do
		ip=$(cat "$(host_dir "$name")/ip")
		options=$install_options
		is_keyed "$name" || options="$options --passphrase-fd 0"
		say "$name# ./install --role $role --ip $ip $options"
		{
			# shellcheck disable=SC2086 # a list of words
			{ is_keyed "$name" || cat "$lab_state/passphrase"; echo y; } |
				"$lab_root/lab/host" "$name" ./install --role "$role" --ip "$ip" $options 2>&1 | sed -u "s/^/$name | /"
		} &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid" || die "./install --role $role ended with $?, see above"; done
}

# hosts_of ROLE: as the tutorial names them.
hosts_of() { awk -v r="$1" '("," $3 ",") ~ ("," r ",") { print $1 }' "$lab_root/lab/hosts"; }

vip=20.0.0.110

kubectl() { "$lab_root/lab/host" master01 kubectl "$@"; }
component_status() { [ "$(kubectl get cs --no-headers 2>/dev/null | grep -cw Healthy)" = 5 ]; }
nodes_ready() { [ "$(kubectl get nodes --no-headers 2>/dev/null | awk '$2 == "Ready"' | wc -l)" = "$1" ]; }

# pods_ready: every pod that is there runs with all its containers, and DNS is among them.
pods_ready() {
	kubectl get pods -A --no-headers 2>/dev/null | awk '{ split($3, n, "/"); if ($4 != "Running" || n[1] != n[2]) bad = 1; if ($2 ~ /^coredns/) dns = 1 } END { exit bad || !dns }'
}

# vip_holder: the balancers that have the virtual address.
vip_holder() {
	local name
	for name in $(hosts_of lb); do
		if "$lab_root/lab/host" "$name" ip -4 -o addr show to $vip/32 2>/dev/null | grep -q .; then echo "$name"; fi
	done
}
one_holder() { [ "$(vip_holder | wc -l)" = 1 ]; }

# show HOST COMMAND...: a command as typed there, and its answer.
show() {
	say "$1# ${*:2}"
	"$lab_root/lab/host" "$@" 2>/dev/null
}

show_cluster() {
	show master01 kubectl get cs
	show master01 kubectl get nodes -o wide
	show master01 kubectl get pods -A -o wide
	say "master01# etcdctl endpoint status"
	etcd_table
	say "the virtual address $vip is at $(vip_holder | paste -sd' ')"
}

etcd_table() {
	"$lab_root/lab/host" master01 env ETCDCTL_API=3 /opt/etcd/bin/etcdctl --cacert=/opt/etcd/ssl/ca.pem --cert=/opt/etcd/ssl/admin.pem \
		--key=/opt/etcd/ssl/admin-key.pem --endpoints=https://20.0.0.100:2379,https://20.0.0.103:2379,https://20.0.0.104:2379 endpoint status --write-out=table
}
