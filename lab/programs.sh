# shellcheck shell=bash
# programs.sh: real programs for what the lab's upstream serves: from Debian's packages, and built from their Go modules. Each
# function makes one directory of the cache.

cni=v0.8.7 coredns=v1.7.0 flannel=v0.15.1
debs="etcd-server etcd-client docker.io containerd runc tini chrony conntrack socat ipvsadm slirp4netns fuse-overlayfs"
debs="$debs nginx libnginx-mod-stream keepalived libsnmp40 libsensors5"
# what flannel's image has of a system: iptables and ip with their libraries; and the test pods' busybox
debs="$debs busybox-static ca-certificates iptables libxtables12 libip4tc2 libip6tc2 iproute2 libbpf1 libelf1 libmnl0 libbsd0 libmd0 libcap2 zlib1g libc6"

# from_debian DIR: the programs of Debian's packages, unpacked but not installed.
from_debian() {
	mkdir "$1/deb" "$1/root"
	# shellcheck disable=SC2086 # one word per package
	(cd "$1/deb" && { apt-get download -qq $debs || { apt_quiet update && apt-get download -qq $debs; }; } 2> >(grep -v unsandboxed >&2))
	for deb in "$1"/deb/*.deb; do dpkg -x "$deb" "$1/root"; done
	rm -r "$1/deb"
}

# plugins DIR: the real CNI plugins, from their Go modules.
plugins() {
	local at=github.com/containernetworking/plugins
	printf 'module lab.invalid/cni\n\ngo 1.15\n\nrequire %s %s\n' $at $cni >"$1/go.mod"
	mkdir "$1/bin"
	(
		cd "$1" || exit
		export GOFLAGS=-mod=mod CGO_ENABLED=0
		# a version range of a module has to be written down before it is built
		printf '//go:build tools\n\npackage tools\n\nimport (\n' >tools.go
		for p in main/bridge main/loopback ipam/host-local meta/portmap meta/flannel meta/bandwidth meta/tuning; do printf '\t_ "%s/plugins/%s"\n' $at $p; done >>tools.go
		echo ')' >>tools.go
		go build -trimpath -buildvcs=false -ldflags '-s -w' -o bin/ $at/plugins/main/{bridge,loopback} $at/plugins/ipam/host-local $at/plugins/meta/{portmap,flannel,bandwidth,tuning}
	)
	rm "$1"/{go.mod,go.sum,tools.go}
}

# old_module DIR GO MODULE VERSION BUILD-OPTION...: a program of a module, with the Go of its time, into DIR. What a newer Go's
# environment file says is left out, but for where modules come from.
old_module() {
	local dir=$1 version=$2 module=$3 at=$4 proxy sumdb go
	shift 4
	proxy=$(go env GOPROXY) sumdb=$(go env GOSUMDB)
	export GOENV=off GOFLAGS=-mod=mod GOPROXY=$proxy GOSUMDB=$sumdb
	go=$(GOFLAGS='' GOTOOLCHAIN=$version go env GOROOT)/bin/go
	cd "$dir"
	printf 'module lab.invalid/program\n\ngo 1.15\n\nrequire %s %s\n' "$module" "$at" >go.mod
	printf '// +build tools\n\npackage tools\n\nimport _ "%s"\n' "$module" >tools.go
	"$go" build -trimpath "$@" "$module"
	rm go.mod go.sum tools.go
}

# coredns DIR: CoreDNS with all its plugins.
coredns() {
	CGO_ENABLED=0 old_module "$1" go1.15.15 github.com/coredns/coredns $coredns -ldflags '-s -w' -o coredns
	./coredns -version | grep -qF "CoreDNS-${coredns#v}"
}

# flannel DIR: flanneld. Its udp backend is C, so that upstream links it statically, too.
flannel() {
	CGO_ENABLED=1 old_module "$1" go1.17.13 github.com/flannel-io/flannel $flannel -tags 'netgo osusergo' \
		-ldflags "-s -w -X github.com/flannel-io/flannel/version.Version=$flannel -extldflags -static" -o flanneld
	./flanneld -version 2>&1 | grep -qF $flannel
}

# a_kernel RELEASE NTH DIR: a kernel of Debian's for virtual machines, the newest (1) or the one before it (2) that is to be had, as
# boot/ and lib/modules/ of one that calls itself RELEASE.
a_kernel() {
	local release=$1 nth=$2 dir=$3 package was
	apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1 || apt_quiet update
	package=$(apt-cache search --names-only '^linux-image-6\.1\.[0-9.]*-[0-9]*-cloud-amd64$' | cut -d' ' -f1 | sort -rV | sed -n "${nth}p")
	[ -n "$package" ] || die "Debian has no kernel number $nth for virtual machines"
	was=${package#linux-image-}
	mkdir "$dir/deb" "$dir/tree" "$dir/boot"
	(cd "$dir/deb" && { apt-get download -qq "$package" || { apt_quiet update && apt-get download -qq "$package"; }; } 2> >(grep -v unsandboxed >&2))
	dpkg -x "$dir"/deb/*.deb "$dir/tree"
	(cd "$lab_root" && go run ./lab/kernel "$dir/tree/boot/vmlinuz-$was" "$was" "$release" "$dir/boot/vmlinuz-$release")
	cp "$dir/tree/boot/config-$was" "$dir/boot/config-$release"
	mkdir -p "$dir/lib/modules"
	mv "$dir/tree/lib/modules/$was" "$dir/lib/modules/$release"
	rm -rf "$dir/lib/modules/$release"/{build,source} "$dir/deb" "$dir/tree"
}

# kernels_for LIST DIR: DIR/RELEASE for each kernel among the packages of LIST (lab/catalogue packages): links into the cache.
kernels_for() {
	local release
	while read -r release; do
		ln -s "$(a_kernel_of "$release" 1)" "$2/$release"
	done < <(awk -F'\t' '$2 == "kernel-lt" { print $4 "-" $5 "." $6 }' "$1")
}

# a_kernel_of RELEASE NTH: where it is in the cache.
a_kernel_of() { cached linux "$1-$(key_of "$lab_root/lab/kernel/main.go" <(sed -n '/^a_kernel()/,/^}/p' "$lab_root/lab/programs.sh"))" a_kernel "$1" "$2"; }

# image_trees DIR: what the layers of the images hold (lab/images/recipes.go).
image_trees() {
	local root=$debian/root applet library
	mkdir -p "$1"/{busybox/{bin,etc,root,tmp,usr/sbin},tools/{sbin,usr/{sbin,lib/x86_64-linux-gnu,lib64}},flannel/opt/bin,certificates/etc/ssl/certs,coredns}
	install -m 755 "$root/bin/busybox" "$1/busybox/bin/busybox"
	for applet in $("$root/bin/busybox" --list); do ln -s busybox "$1/busybox/bin/$applet" 2>/dev/null || true; done
	echo 'root:x:0:0:root:/root:/bin/sh' >"$1/busybox/etc/passwd"
	echo 'root:x:0:' >"$1/busybox/etc/group"
	chmod 1777 "$1/busybox/tmp"

	cp -a "$root"/usr/sbin/{xtables-legacy-multi,ip*tables-legacy*} "$1/tools/usr/sbin/"
	for applet in iptables ip6tables; do
		ln -s xtables-legacy-multi "$1/tools/usr/sbin/$applet"
		for library in save restore; do ln -s xtables-legacy-multi "$1/tools/usr/sbin/$applet-$library"; done
	done
	install -m 755 "$root/bin/ip" "$1/tools/sbin/ip"
	cp -a "$root/usr/lib/x86_64-linux-gnu/xtables" "$1/tools/usr/lib/x86_64-linux-gnu/"
	ln -s usr/lib "$1/tools/lib"
	ln -s usr/lib64 "$1/tools/lib64"
	for library in ld-linux-x86-64.so.2 libc.so.6 libxtables.so.12 libip4tc.so.2 libip6tc.so.2 libbpf.so.1 libelf.so.1 libmnl.so.0 libbsd.so.0 libmd.so.0 libcap.so.2 libz.so.1; do
		find "$root"/{,usr/}lib/x86_64-linux-gnu -name $library -exec cp -L {} "$1/tools/usr/lib/x86_64-linux-gnu/" \; -quit
		[ -e "$1/tools/usr/lib/x86_64-linux-gnu/$library" ] || die "no library $library in Debian's packages"
	done
	ln -s ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$1/tools/usr/lib64/"

	ln "$flanneld/flanneld" "$1/flannel/opt/bin/"
	ln "$dns/coredns" "$1/coredns/coredns"
	cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$1/certificates/etc/ssl/certs/ca-certificates.crt"
	for arch in amd64 arm64; do
		(cd "$lab_root" && CGO_ENABLED=0 GOARCH=$arch go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$1/program-$arch" ./lab/images/program)
	done
}
