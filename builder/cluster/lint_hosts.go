package cluster

import (
	"net/netip"
	"path"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/bundle/seal"
)

// joinName is bundle.JoinPack: the name of the pack for hosts that are not listed.
const joinName = bundle.JoinPack

func (l *linter) hosts() {
	if len(l.file.Hosts) == 0 {
		l.Wrong(at("hosts"), "the file lists no hosts")
		return
	}
	if len(l.file.Hosts) > maxHosts {
		l.Wrong(at("hosts"), "%d hosts; the limit is %d", len(l.file.Hosts), maxHosts)
		return
	}
	names, ips, members, keys := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	for i, h := range l.file.Hosts {
		if l.hostName(i, h) {
			l.unique(names, h.Name, i, "name", "host name")
		}
		if l.hostIP(i, h) {
			l.unique(ips, h.IP, i, "ip", "address")
		}
		l.hostRoles(i, h)
		l.hostKey(i, h, keys)
		if h.EtcdName == "" {
			continue
		}
		if l.memberName(i, h) {
			l.unique(members, h.EtcdName, i, "etcdName", "etcd member name")
		}
	}
}

// unique finds a value that an earlier host has already. first maps values to 1 + the index of the host.
func (l *linter) unique(first map[string]int, value string, i int, key, what string) {
	if n := first[value]; n > 0 {
		l.Wrong(at("hosts", i, key), "%s %s belongs to %q already (line %d)", what, value, l.file.Hosts[n-1].Name, l.Line("hosts", n-1, key))
		return
	}
	first[value] = i + 1
}

func (l *linter) hostName(i int, h Host) bool {
	switch {
	case h.Name == "":
		l.Wrong(at("hosts", i, "name"), "the host has no name")
	case h.Name == joinName:
		l.Wrong(at("hosts", i, "name"), "%q is what nodes that are not in this file are called inside the bundle; choose another name", h.Name)
	case h.Name == "localhost" || !isLabel(h.Name):
		l.Wrong(at("hosts", i, "name"), "%q is not a usable host name: 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit, lower case", h.Name)
	default:
		return true
	}
	return false
}

func (l *linter) hostIP(i int, h Host) bool {
	if h.IP == "" {
		l.Wrong(at("hosts", i, "ip"), "the host has no ip")
		return false
	}
	ip, err := netip.ParseAddr(h.IP)
	switch {
	case err != nil || !ip.Is4():
		l.Wrong(at("hosts", i, "ip"), "%q is not an IPv4 address such as 20.0.0.100", h.IP)
	case !ordinary(ip):
		l.Wrong(at("hosts", i, "ip"), "%s is not an address that a host can have on a network", h.IP)
	default:
		return true
	}
	return false
}

// ordinary reports whether an IPv4 address is one that a host can have.
func ordinary(ip netip.Addr) bool {
	return !slices.ContainsFunc(special(), func(p netip.Prefix) bool { return p.Contains(ip) })
}

// hostKey checks the host's SSH key. Two hosts with one key are copies of one disk, and either would open the other's pack.
func (l *linter) hostKey(i int, h Host, keys map[string]int) {
	if h.SSHHostKey == "" {
		return
	}
	key, err := seal.ParseHostKey(h.SSHHostKey)
	switch {
	case err != nil:
		l.Wrong(at("hosts", i, "sshHostKey"), "%v", err)
	case l.file.Security.Packs == PacksPlain:
		l.Warn(at("hosts", i, "sshHostKey"), "it is of no use: security.packs is plain")
	default:
		l.unique(keys, key.Line, i, "sshHostKey", "SSH host key")
	}
}

func (l *linter) hostRoles(i int, h Host) {
	if len(h.Roles) == 0 {
		l.Wrong(at("hosts", i, "roles"), "the host has no roles; known are %s", knownRoles)
	}
	for n, role := range h.Roles {
		path := at("hosts", i, "roles", n)
		switch {
		case !slices.Contains([]string{RoleEtcd, RoleLB, RoleMaster, RoleNode}, role):
			l.Wrong(path, "unknown role %q; known are %s", role, knownRoles)
		case slices.Index(h.Roles, role) < n:
			l.Wrong(path, "role %q is listed twice", role)
		}
	}
	if h.EtcdName != "" && !h.Has(RoleEtcd) {
		l.Wrong(at("hosts", i, "etcdName"), "the host has an etcdName but not the role etcd")
	}
	if h.Has(RoleLB) && h.Has(RoleMaster) {
		l.Wrong(at("hosts", i, "roles"), "a load balancer in front of the masters cannot be on a master: both listen on port %d", l.file.API.Port)
	}
	if h.Spare && (h.Has(RoleNode) || h.Has(RoleLB)) {
		l.Wrong(at("hosts", i, "spare"), "only masters and etcd members can be spare; a node joins at any time (nodes.joinCIDRs)")
	}
}

func (l *linter) memberName(i int, h Host) bool {
	if !isLabel(h.EtcdName) {
		l.Wrong(at("hosts", i, "etcdName"), "%q is not a usable member name: 1 to 63 of a-z, 0-9 and -", h.EtcdName)
		return false
	}
	return true
}

// isLabel reports whether s is a lower-case DNS label (RFC 1123).
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, b := range []byte(s) {
		if (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '-' {
			return false
		}
	}
	return true
}

// isName reports whether s is a DNS name of lower-case labels.
func isName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

// isCleanPath reports whether s is an absolute path that needs no quoting anywhere.
func isCleanPath(s string) bool {
	for _, b := range []byte(s) {
		if (b < 'a' || b > 'z') && (b < 'A' || b > 'Z') && (b < '0' || b > '9') && !strings.ContainsRune("/._-", rune(b)) {
			return false
		}
	}
	return strings.HasPrefix(s, "/") && path.Clean(s) == s && len(s) < 200
}
