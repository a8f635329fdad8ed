# shellcheck shell=bash
# hosts.sh: what a host is made of. Everything about NAME is in $lab_state/hosts/NAME:
#   disk.img, root/   its disk and where that is mounted      ip, cgroups   its address; its cgroup directories
#   supervisor        pid of lab/supervise while it is up     console.log   what its PID 1 says
#   events            when it booted and ended                small-*.img   disks of their own for some directories

host_dir() { echo "$lab_state/hosts/$1"; }
host_exists() { [ -e "$lab_state/hosts/$1/ip" ]; }
hosts_all() { find "$lab_state/hosts" -mindepth 2 -maxdepth 2 -name ip -printf '%h\n' 2>/dev/null | sed 's#.*/##' | sort; }

# host_leader NAME: pid of its PID 1 on the machine.
host_leader() {
	local pid
	pid=$(cat "$(host_dir "$1")/leader" 2>/dev/null) || return 1
	[ -e "/proc/$pid/cgroup" ] && grep -q "offgrid-$lab_id-$1" "/proc/$pid/cgroup" && echo "$pid"
}

# host_new NAME IP: its disk, as an installation would leave it.
host_new() {
	local dir image
	dir=$(host_dir "$1")
	if host_exists "$1"; then die "host $1 exists"; fi
	image=$("$lab_root/lab/base")
	host_remove "$1"
	mkdir -p "$dir/root"
	cp --sparse=always "$image" "$dir/disk.img"
	host_mount "$1"
	tr -d - </proc/sys/kernel/random/uuid >"$dir/root/etc/machine-id"
	install -d -m 700 "$dir/root/root/.ssh"
	ssh_key
	install -m 600 "$lab_state/ssh-key.pub" "$dir/root/root/.ssh/authorized_keys"
	host_key "$1"
	install -m 600 "$lab_state/host-keys/$1" "$dir/root/etc/ssh/ssh_host_ed25519_key"
	install -m 644 "$lab_state/host-keys/$1.pub" "$dir/root/etc/ssh/ssh_host_ed25519_key.pub"
	echo "$2" >"$dir/ip"
	sync -f "$dir/root"
}

# ssh_key makes the key that opens all hosts of this lab, once.
ssh_key() {
	local lock
	exec {lock}>"$lab_state/ssh-key.lock"
	flock "$lock"
	[ -e "$lab_state/ssh-key.pub" ] || ssh-keygen -q -t ed25519 -N '' -C lab -f "$lab_state/ssh-key" </dev/null
	exec {lock}>&-
}

host_mount() {
	local dir
	dir=$(host_dir "$1")
	mountpoint -q "$dir/root" || mount -o loop,noinit_itable "$dir/disk.img" "$dir/root"
}

# host_start NAME: boots it; returns when systemd says that it is up.
host_start() {
	local dir
	dir=$(host_dir "$1")
	host_exists "$1" || die "there is no host $1 (lab/host $1 --new IP)"
	if host_leader "$1" >/dev/null; then return; fi
	host_mount "$1"
	cgroup_paths "$1" >"$dir/cgroups"
	cgroup_make "$dir/cgroups"
	rm -f "$dir/leader"
	setsid "$lab_root/lab/supervise" "$1" </dev/null >>"$dir/events" 2>&1 &
	host_wait "$1"
}

host_up() {
	local pid
	pid=$(host_leader "$1") || return 1
	case $(nsenter -t "$pid" -a systemctl is-system-running 2>/dev/null) in running | degraded) ;; *) return 1 ;; esac
}
# host_waits NAME: it is up but for services that wait for other hosts, as a member of etcd does that is alone.
host_waits() {
	local pid
	pid=$(host_leader "$1") || return 1
	nsenter -t "$pid" -a systemctl is-active --quiet basic.target
}
host_wait() {
	wait_for 45 "host $1 to boot" host_up "$1" 2>/dev/null || wait_for 90 "host $1 to boot" host_waits "$1" || {
		tail -n 20 "$(host_dir "$1")/console.log" >&2
		return 1
	}
}
host_down() { [ ! -e "$(host_dir "$1")/supervisor" ]; }

# host_exec NAME COMMAND...: as root in the host, in its namespaces and cgroups, with a login's environment.
host_exec() {
	local pid name=$1 terminal=dumb
	shift
	pid=$(host_leader "$name") || {
		echo "lab: host $name is down" >&2
		return 255
	}
	if [ -t 1 ]; then terminal=${TERM:-dumb}; fi
	(
		cgroup_enter "$(host_dir "$name")/cgroups" lab-exec.scope
		# Without a fork of nsenter's own: it stops itself when the command is stopped, as every process is while the host shuts down,
		# and then nobody would take note of the command's end, for which the host's PID 1 waits. bash does, from outside of the
		# host's process numbers; the command is its child.
		# shellcheck disable=SC2016 # expanded in the host
		exec nsenter -t "$pid" --no-fork -m -u -i -n -p -C -r -w /bin/bash -c '"$@"; exit $?' bash \
			env -i HOME=/root USER=root LOGNAME=root SHELL=/bin/bash LANG=C TERM="$terminal" \
			PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/root/bin sh -c 'cd /root && exec "$@"' sh "$@"
	)
}

# host_kill NAME: all its processes end at once, as when the power goes, and nothing answers at its address any more; what was
# written stays written.
host_kill() {
	local pid dir
	dir=$(host_dir "$1")
	if pid=$(cat "$dir/supervisor" 2>/dev/null) && grep -q supervise "/proc/$pid/cmdline" 2>/dev/null; then kill -9 "$pid" || true; fi
	if pid=$(host_leader "$1"); then kill -9 "$pid" || true; fi
	cgroup_remove "$dir/cgroups"
	net_down "$1"
	rm -f "$dir/supervisor" "$dir/leader"
}

# host_cut NAME: the power goes; what the file system had not yet brought to the disk is lost, as with a real one.
host_cut() {
	local dir
	dir=$(host_dir "$1")
	# EXT4_IOC_SHUTDOWN without flushing the log: from here on nothing more reaches the disk.
	perl -e 'open(my $d, "<", $ARGV[0]) or die "$!\n"; my $how = pack("L", 2); ioctl($d, 0x8004587d, $how) or die "shutting the file system down: $!\n"' "$dir/root"
	host_kill "$1"
	umount "$dir/root"
	# While a mount namespace still has it (the dead host's for a moment, a host of another lab for as long as that runs), a new
	# mount would be the same file system, shut down as it is. What is on the disk goes on in another file then.
	if ! wait_for 5 "the disk of host $1 to be let go" disk_free "$dir/disk.img"; then
		cp --sparse=always "$dir/disk.img" "$dir/disk.new"
		mv "$dir/disk.new" "$dir/disk.img"
	fi
	host_mount "$1"
}

# disk_free FILE: no loop device has it any more.
disk_free() { [ -z "$(losetup --associated "$1")" ]; }

# host_stop NAME: an orderly shutdown.
host_stop() {
	local pid
	pid=$(host_leader "$1") || return 0
	kill -s RTMIN+4 "$pid"
	wait_for 60 "host $1 to shut down" host_down "$1" || true
	host_kill "$1"
}

host_reboot() {
	local before
	before=$(host_leader "$1") || die "host $1 is down"
	host_exec "$1" systemctl reboot || true
	wait_for 60 "host $1 to go down" eval "[ \"\$(host_leader $1)\" != $before ]"
	host_wait "$1"
}

# host_fill NAME DIR / host_unfill NAME DIR: leaves no room on the file system of DIR, gives it back.
host_fill() {
	# shellcheck disable=SC2016 # expanded in the host
	host_exec "$1" bash -c 'f=$1/.full; free=$(($(stat -f -c "%a*%S" "$1")))
		fallocate -l $((free - 67108864)) "$f"; dd if=/dev/zero of="$f.rest" bs=4k 2>/dev/null; df -h "$1"' bash "$2"
}
host_unfill() { host_exec "$1" rm -f "$2/.full" "$2/.full.rest"; }

# host_small NAME DIR SIZE: DIR gets a disk of its own, of SIZE, with what is in it, from the next start on.
host_small() {
	local dir image
	dir=$(host_dir "$1") image=$dir/small-$(echo "$2" | tr / _).img
	truncate -s "$3" "$image"
	mkfs.ext4 -q -F -m 0 "$image"
	mkdir -p "${image%.img}" "$dir/root$2"
	mount -o loop "$image" "${image%.img}"
	cp -a "$dir/root$2/." "${image%.img}/"
	echo "--bind=${image%.img}:$2" >>"$dir/nspawn"
}

# host_remove NAME: nothing of it is left.
host_remove() {
	local dir target device
	dir=$(host_dir "$1")
	host_kill "$1"
	net_down "$1"
	while read -r target; do
		umount "$target" 2>/dev/null || umount -l "$target"
	done < <(awk -v d="$dir/" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
	if [ -d "$dir" ]; then
		while read -r device; do losetup -d "$device" || true; done < <(losetup -n -O NAME,BACK-FILE | awk -v d="$dir/" 'index($2, d) == 1 { print $1 }')
	fi
	rm -rf --one-file-system "$dir"
}
