package cluster

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"offgrid/builder/internal/strictyaml"
	"offgrid/bundle/signature"
)

// maxHosts bounds what one site may be; beyond it a bundle with a pack for each host stops being the right tool.
const maxHosts = 500

type linter struct {
	*strictyaml.Linter
	file *File
}

func at(path ...any) []any { return path }

func (l *linter) run() {
	l.header()
	l.versions()
	l.hosts()
	l.quorum()
	l.masters()
	l.network()
	l.api()
	l.balancers()
	l.upstreamDNS()
	l.images()
	l.etcd()
	l.snapshots()
	l.host()
	l.kernel()
	l.security()
}

func (l *linter) header() {
	f := l.file
	if f.APIVersion != APIVersion {
		l.Wrong(at("apiVersion"), "the file must begin with \"apiVersion: %s\"; it says %q", APIVersion, f.APIVersion)
	}
	if f.Kind != Kind {
		l.Wrong(at("kind"), "the file must say \"kind: %s\"; it says %q", Kind, f.Kind)
	}
	if !isLabel(f.Metadata.Name) {
		l.Wrong(at("metadata", "name"), "%q is not a usable site name: 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit", f.Metadata.Name)
	}
	l.oneOf(at("network", "proxyMode"), f.Network.ProxyMode, "ipvs", "iptables")
	l.oneOf(at("network", "cni"), f.Network.CNI, CNIFlannel, CNICalico, CNINone)
	l.oneOf(at("nodes", "nameFrom"), f.Nodes.NameFrom, "ip", "hostname")
}

func (l *linter) oneOf(path []any, got string, want ...string) {
	if !slices.Contains(want, got) {
		l.Wrong(path, "%q is not a choice here; choose one of: %s", got, strings.Join(want, ", "))
	}
}

func (l *linter) versions() {
	v := l.file.Versions
	if v.Kubernetes != "" && !hasNumbers(v.Kubernetes, "v1.20.") {
		l.Wrong(at("versions", "kubernetes"), "%q: this release knows Kubernetes v1.20 only, for example v1.20.15", v.Kubernetes)
	}
	if v.Etcd != "" && !hasNumbers(v.Etcd, "v3.4.") {
		l.Wrong(at("versions", "etcd"), "%q: this release knows etcd v3.4 only, for example v3.4.26", v.Etcd)
	}
	if v.Docker == "" {
		return
	}
	first, _, _ := strings.Cut(v.Docker, ".")
	major, err := strconv.Atoi(first)
	switch {
	case err != nil || !hasNumbers(v.Docker, first+"."):
		l.Wrong(at("versions", "docker"), "%q is not a docker version such as 20.10.24", v.Docker)
	case major >= MaxDockerMajor:
		l.Wrong(at("versions", "docker"), "docker %s does not work with Kubernetes v1.20: from 25 on its API lacks what kubelet reads (image sizes); use 20.10 or 19.03", v.Docker)
	}
}

// hasNumbers reports whether s is prefix and then one to three groups of digits and dots.
func hasNumbers(s, prefix string) bool {
	rest, ok := strings.CutPrefix(s, prefix)
	if !ok || len(s) > 20 {
		return false
	}
	for part := range strings.SplitSeq(rest, ".") {
		if part == "" || strings.Trim(part, "0123456789") != "" {
			return false
		}
	}
	return true
}

func (l *linter) quorum() {
	n := len(l.file.Active(RoleEtcd))
	switch {
	case n == 0 && len(l.file.With(RoleEtcd)) > 0:
		l.Wrong(at("hosts"), "all etcd members are spare: the cluster begins with the others, 3 (or 5) of them")
	case n == 0:
		l.Wrong(at("hosts"), "no host has the role etcd; it takes 3 (or 5)")
	case n < 3:
		l.Wrong(at("hosts"), "%d etcd %s: losing one host would lose the cluster; it takes 3 (or 5)", n, plural(n, "member", "members"))
	case n%2 == 0:
		l.Wrong(at("hosts"), "%d etcd members: an even count survives no more failures than %d and fails more often; use %d or %d", n, n-1, n-1, n+1)
	case n > 7:
		l.Warn(at("hosts"), "%d etcd members make every write slow; 3 or 5 are enough", n)
	}
}

func (l *linter) masters() {
	masters, nodes := l.file.Active(RoleMaster), l.file.With(RoleNode)
	switch {
	case len(masters) == 0 && len(l.file.With(RoleMaster)) > 0:
		l.Wrong(at("hosts"), "all masters are spare: the cluster begins with the others, at least 1")
	case len(masters) == 0:
		l.Wrong(at("hosts"), "no host has the role master; it takes at least 1")
	}
	if len(nodes) == 0 {
		l.Warn(at("hosts"), "no host has the role node: the cluster can run nothing")
	}
}

func (l *linter) host() {
	o := l.file.OS
	l.oneOf(at("host", "firewall"), o.Firewall, "disable", "keep")
	l.oneOf(at("host", "selinux"), o.SELinux, "disabled", "permissive", "keep")
	l.oneOf(at("host", "ipv6"), o.IPv6, "disable", "keep")
	for i, s := range o.NTP.Servers {
		if _, err := netip.ParseAddr(s); err != nil && !isName(s) {
			l.Wrong(at("host", "ntp", "servers", i), "%q is neither an IP address nor a host name", s)
		}
		if slices.Index(o.NTP.Servers, s) < i {
			l.Wrong(at("host", "ntp", "servers", i), "%q is listed twice", s)
		}
	}
	if _, ok := l.file.HostNamed(o.NTP.FallbackHost); !ok && o.NTP.FallbackHost != "" {
		l.Wrong(at("host", "ntp", "fallbackHost"), "%q is not the name of a host in this file", o.NTP.FallbackHost)
	}
	l.between(at("host", "ntp", "maxSkewSeconds"), o.NTP.MaxSkewSeconds, 1, 60)
	size := o.DockerLog.MaxSize
	if digits := strings.TrimRight(size, "kmg"); len(size)-len(digits) != 1 || len(digits) > 6 || strings.Trim(digits, "0123456789") != "" || strings.TrimLeft(digits, "0") != digits || digits == "" {
		l.Wrong(at("host", "dockerLog", "maxSize"), "%q is not a size: a number and k, m or g, for example 500m", size)
	}
	l.between(at("host", "dockerLog", "maxFile"), o.DockerLog.MaxFile, 1, 100)
}

// kernel checks which kernel the hosts are to run, and the name of the file that says what they have.
func (l *linter) kernel() {
	o := l.file.OS
	l.oneOf(at("host", "kernel", "mode"), o.Kernel.Mode, KernelUpgrade, KernelRequire, KernelSkip)
	if o.Kernel.RemoveOld && o.Kernel.Mode != KernelUpgrade {
		l.Wrong(at("host", "kernel", "removeOld"), "kernels are removed only after an upgrade: say mode: upgrade, or leave this out")
	}
	if v := l.file.Versions.Kernel; v != "" {
		version, release, ok := strings.Cut(v, "-")
		if !ok || version == "" || release == "" || strings.ContainsAny(v, " :/") || len(v) > 64 {
			l.Wrong(at("versions", "kernel"), "%q is not a kernel's version and release such as 5.4.278-1.el7.elrepo", v)
		}
	}
	if b := o.Baseline; b != "" && (!filepath.IsLocal(b) || strings.Contains(b, "\\")) {
		l.Wrong(at("host", "baseline"), "%q is not a file inside the site directory; copy what ./install baseline has written there", b)
	}
}

func (l *linter) security() {
	s := l.file.Security
	ttl, err := time.ParseDuration(s.BootstrapTTL)
	if err != nil || ttl < time.Hour || ttl > 8760*time.Hour || ttl%time.Second != 0 {
		l.Wrong(at("security", "bootstrapTTL"), "%q is not usable: from 1h to 8760h (a year), for example 720h", s.BootstrapTTL)
	}
	l.oneOf(at("security", "profile"), s.Profile, ProfileHardened, ProfileSeed)
	if s.Profile == ProfileSeed && s.ComponentStatusPorts == "off" {
		l.Wrong(at("security", "componentStatusPorts"), "the profile seed is the tutorial's way, where `kubectl get cs` works: say loopback, or profile: hardened")
	}
	l.oneOf(at("security", "componentStatusPorts"), s.ComponentStatusPorts, "loopback", "off")
	l.oneOf(at("security", "packs"), s.Packs, PacksSealed, PacksPlain)
	if s.Packs == PacksPlain {
		l.Warn(at("security", "packs"), "the host packs are not sealed: whoever finds the stick has the private keys of its hosts")
	}
	l.between(at("security", "certCAYears"), s.CertCAYears, 1, 30)
	l.between(at("security", "certLeafYears"), s.CertLeafYears, 1, 30)
	if s.CertLeafYears > s.CertCAYears {
		l.Wrong(at("security", "certLeafYears"), "certificates of %d years would outlive their CA of %d", s.CertLeafYears, s.CertCAYears)
	}
	seen := map[signature.PublicKey]bool{}
	for i, text := range s.TrustedKeys {
		key, err := signature.ParsePublicKey(text)
		switch {
		case err != nil || key.String() != text:
			l.Wrong(at("security", "trustedKeys", i), "%q is not a minisign public key: want its 56 characters, which begin with RW (the last line of the .pub file)", text)
		case seen[key]:
			l.Wrong(at("security", "trustedKeys", i), "the key %s stands here twice", key.ID())
		}
		seen[key] = true
	}
	if n := signature.MaxTrusted - 1; len(s.TrustedKeys) > n { // one is left for the key that signs
		l.Wrong(at("security", "trustedKeys"), "%d keys are more than the limit of %d", len(s.TrustedKeys), n)
	}
}

func (l *linter) between(path []any, got, low, high int) {
	if got < low || got > high {
		l.Wrong(path, "%d is out of range: from %d to %d", got, low, high)
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
