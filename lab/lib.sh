# shellcheck shell=bash
# lib.sh: what every script of the lab starts with: where things are, the id, packages, the cache.
#
# lab_state  what this lab has on the machine (hosts, mirror, site); OFFGRID_LAB names another one, so that tests have
#            their own beside the demo's
# lab_cache  what took long to make and any lab may use again
# lab_id     stands in the name of every namespace and cgroup, and comes from lab_state: two labs never meet
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C
umask 022

lab_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
lab_state=${OFFGRID_LAB:-$lab_root/.lab}
mkdir -p "$lab_state"
lab_state=$(cd "$lab_state" && pwd -P)
lab_cache=${XDG_CACHE_HOME:-$HOME/.cache}/offgrid-lab
lab_id=$(printf %s "$lab_state" | sha256sum | cut -c1-6)
export OFFGRID_LAB=$lab_state

say() { printf '[%4ds] %s\n' "$SECONDS" "$*" >&2; }
die() {
	printf 'lab: %s\n' "$*" >&2
	exit 1
}

# need_root: hosts are made of mounts, namespaces and cgroups.
need_root() { [ "$(id -u)" = 0 ] || die "needs root: it makes mounts, network namespaces and cgroups (try: sudo $0)"; }

# need_packages PACKAGE...: installs those Debian packages that are missing.
need_packages() {
	local p missing=()
	command -v apt-get >/dev/null || die "needs a Debian 12 machine: apt-get is missing"
	for p in "$@"; do
		dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
	done
	[ ${#missing[@]} = 0 ] && return
	need_root
	say "installing Debian packages: ${missing[*]}"
	apt_quiet install "${missing[@]}" || {
		apt_quiet update
		apt_quiet install "${missing[@]}"
	} || die "installing ${missing[*]}: apt-get failed, see above"
}
apt_quiet() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 --no-install-recommends -y "$@" >/dev/null; }

# key_of FILE-OR-DIRECTORY...: a name for their contents (and file names within directories).
key_of() {
	local f
	for f in "$@"; do
		if [ -d "$f" ]; then
			(cd "$f" && find . -type f | sort | xargs -d '\n' -r sha256sum)
		else
			sha256sum <"$f"
		fi
	done | sha256sum | cut -c1-12
}

# cached NAME KEY COMMAND...: prints the cache's directory NAME-KEY, made by COMMAND... DIR when it is not there. A directory
# in the cache is complete: it gets its name last. What was not used for two weeks makes room.
cached() {
	local name=$1 dir=$lab_cache/$1-$2
	shift 2
	mkdir -p "$lab_cache"
	if [ ! -d "$dir" ]; then
		exec {lock}>"$lab_cache/$name.lock"
		flock "$lock"
		if [ ! -d "$dir" ]; then
			find "$lab_cache" -mindepth 1 -maxdepth 1 -name "$name-*" -mtime +14 -exec rm -rf {} +
			rm -rf "$dir.work"
			mkdir "$dir.work"
			# in the background, where an error in the middle of a function still ends it
			"$@" "$dir.work" >&2 &
			wait $! || die "making $name failed, see above"
			sync -f "$dir.work"
			mv -T "$dir.work" "$dir"
		fi
		exec {lock}>&-
	fi
	touch "$dir"
	echo "$dir"
}

# wait_for SECONDS WHAT COMMAND...: until COMMAND succeeds. It is asked every $poll seconds.
poll=0.1
wait_for() {
	local end=$((SECONDS + $1)) limit=$1 what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || {
			printf 'lab: waited %s s in vain for %s\n' "$limit" "$what" >&2
			return 1
		}
		sleep "$poll"
	done
}

# keyed_hosts have their SSH keys in cluster.yaml.
keyed_hosts='node02 lb01'
is_keyed() { case " $keyed_hosts " in *" $1 "*) return 0 ;; *) return 1 ;; esac }

# once NAME COMMAND...: makes a file in the lab's state directory, whoever comes first.
once() {
	local lock
	mkdir -p "$lab_state/host-keys"
	exec {lock}>"$lab_state/once.lock"
	flock "$lock"
	[ -e "$lab_state/$1" ] || "${@:2}"
	exec {lock}>&-
}

# host_key NAME: the SSH key that the host of that name has, also before it is made: it stands in cluster.yaml.
host_key() { once "host-keys/$1.pub" ssh-keygen -q -t ed25519 -N '' -C '' -f "$lab_state/host-keys/$1" </dev/null >&2; }

# site_words: the passphrase of the site's bundles, as an operator has it on a paper.
site_words() { once passphrase write_words; }
write_words() { (umask 077 && head -c 15 /dev/urandom | base64 >"$lab_state/passphrase"); }
