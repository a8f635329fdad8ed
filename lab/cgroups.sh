# shellcheck shell=bash
# cgroups.sh: a group of cgroup v1 directories per host. All of a host runs in it, so its cgroup namespace begins there,
# and whatever is left of a host can be found and ended.

lab_controllers="cpu cpuacct cpuset memory devices freezer blkio pids name=systemd"

# need_cgroups: says what is wrong with this machine's cgroups, if anything.
need_cgroups() {
	local c missing=()
	for c in $lab_controllers; do
		awk -F: -v c="$c" '{ n = split($2, a, ","); for (i = 1; i <= n; i++) if (a[i] == c) ok = 1 } END { exit !ok }' \
			/proc/self/cgroup && [ -n "$(cgroup_mount "$c")" ] || missing+=("$c")
	done
	[ ${#missing[@]} = 0 ] && return
	cat >&2 <<TEXT
lab: this machine's cgroup layout cannot carry the lab: no cgroup v1 hierarchy for ${missing[*]}.
  Docker 20.10 and kubelet 1.20 as on CentOS 7 need cgroup v1. Boot the machine with the kernel parameters
    systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1
  (in /etc/default/grub, then update-grub and reboot), or, where nothing else uses cgroups, mount what is missing:
    mkdir /sys/fs/cgroup/NAME && mount -t cgroup -o NAME none /sys/fs/cgroup/NAME      (name=systemd: -o none,name=systemd)
TEXT
	exit 1
}

# cgroup_mount CONTROLLER: where its hierarchy is mounted.
cgroup_mount() {
	awk -v c="$1" '{ for (i = 7; i <= NF; i++) if ($i == "-" && $(i+1) == "cgroup") {
		n = split($(i+3), o, ","); for (j = 1; j <= n; j++) if (o[j] == c) { print $5; exit } } }' /proc/self/mountinfo
}

# cgroup_paths NAME: the directory of NAME in every v1 hierarchy and in cgroup2, below the groups that we are in ourselves, so
# that limits put on us hold for the hosts too.
cgroup_paths() {
	local id controllers path mount
	while IFS=: read -r id controllers path; do
		if [ "$id" = 0 ]; then
			mount=$(awk '{ for (i = 7; i <= NF; i++) if ($i == "-" && $(i+1) == "cgroup2") { print $5; exit } }' /proc/self/mountinfo)
		else
			mount=$(cgroup_mount "${controllers%%,*}")
		fi
		# one hierarchy carries its host's group below our own, unless we are already in a lab's group
		path=${path%%/offgrid-*}
		if [ -n "$mount" ] && [ -d "$mount${path%/}" ]; then echo "$mount${path%/}/offgrid-$lab_id-$1"; fi
	done </proc/self/cgroup
}

# cgroup_make LIST: makes the directories that the file LIST names.
cgroup_make() {
	local d f
	while read -r d; do
		mkdir -p "$d"
		for f in cpuset.cpus cpuset.mems; do
			if [ -e "$d/$f" ] && [ -z "$(cat "$d/$f")" ]; then cat "$(dirname "$d")/$f" >"$d/$f"; fi
		done
	done <"$1"
}

# cgroup_enter LIST [SUB]: moves the calling shell there. SUB is for the systemd hierarchy, whose root group in the host
# belongs to the host's own systemd.
cgroup_enter() {
	local d
	while read -r d; do
		if [ -n "${2:-}" ]; then
			case $d in */systemd/* | */unified/*) d=$d/$2 && mkdir -p "$d" ;; esac
		fi
		echo "$BASHPID" >"$d/cgroup.procs" || return
	done <"$1"
}

# cgroup_pids LIST: every process in them, nested groups included.
cgroup_pids() {
	local d
	[ -e "$1" ] || return 0
	while read -r d; do
		if [ -d "$d" ]; then find "$d" -name cgroup.procs -exec cat {} + 2>/dev/null || true; fi
	done <"$1" | sort -nu
}

# cgroup_remove LIST: kills what is in them and removes them.
cgroup_remove() {
	local end=$((SECONDS + 20)) d pids
	[ -e "$1" ] || return 0
	while [ "$SECONDS" -lt "$end" ]; do
		pids=$(cgroup_pids "$1")
		[ -z "$pids" ] && break
		# shellcheck disable=SC2086 # one word per process
		kill -9 $pids 2>/dev/null || true
		sleep 0.05
	done
	while read -r d; do
		[ -d "$d" ] || continue
		find "$d" -depth -type d -exec rmdir {} \; 2>/dev/null || true
		[ ! -d "$d" ] || echo "lab: $d could not be removed" >&2
	done <"$1"
}

# cgroup_leftovers: the directories of this lab that exist, whoever made them.
cgroup_leftovers() { find /sys/fs/cgroup -maxdepth 8 -type d -name "offgrid-$lab_id-*" 2>/dev/null | grep -v "offgrid-$lab_id-.*/offgrid-" || true; }
