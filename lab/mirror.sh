# shellcheck shell=bash
# mirror.sh: the lab's upstream mirror as a process of this lab: $lab_state/mirror has its pid, port, log and faults, and
# $lab_state/catalogue.yaml names what it serves.

mirror_dir=$lab_state/mirror

mirror_running() {
	local pid
	pid=$(cat "$mirror_dir/pid" 2>/dev/null) && grep -qs "offgrid-$lab_id-mirror" "/proc/$pid/cgroup"
}

# mirror_start UPSTREAM: serves it on a port that stays the same for this lab, because addresses stand in locks.
mirror_start() {
	local upstream=$1 port try
	mkdir -p "$mirror_dir" "$lab_state/bin"
	if mirror_running && [ "$(cat "$mirror_dir/upstream")" = "$upstream" ]; then return; fi
	mirror_stop
	(cd "$lab_root" && go build -o "$lab_state/bin/" ./lab/mirror ./lab/catalogue)
	port=$(cat "$mirror_dir/port" 2>/dev/null || echo $((20000 + 16#$lab_id % 10000)))
	: >"$mirror_dir/faults"
	for try in $(seq 0 9); do
		mirror_run "$upstream" $((port + try)) && break
		[ "$try" -lt 9 ] || die "the mirror does not start: $(tail -n 1 "$mirror_dir/output")"
	done
	echo $((port + try)) >"$mirror_dir/port"
	echo "$upstream" >"$mirror_dir/upstream"
	"$lab_state/bin/catalogue" derive "$lab_root/manifests/catalogue.yaml" "$(mirror_address)" "$upstream/digests" "$lab_state/catalogue.yaml"
}

mirror_address() { echo "127.0.0.1:$(cat "$mirror_dir/port")"; }

mirror_run() {
	cgroup_paths mirror >"$mirror_dir/cgroups"
	cgroup_make "$mirror_dir/cgroups"
	(
		cgroup_enter "$mirror_dir/cgroups"
		exec setsid "$lab_state/bin/mirror" -listen "127.0.0.1:$2" -upstream "$1" -log "$mirror_dir/access.log" -faults "$mirror_dir/faults"
	) </dev/null >"$mirror_dir/output" 2>&1 &
	echo $! >"$mirror_dir/pid"
	for _ in $(seq 100); do
		kill -0 "$(cat "$mirror_dir/pid")" 2>/dev/null || return 1
		if grep -q ^listening "$mirror_dir/output"; then return 0; fi
		sleep 0.05
	done
	return 1
}

mirror_stop() {
	cgroup_remove "$mirror_dir/cgroups"
	rm -f "$mirror_dir/pid"
}
