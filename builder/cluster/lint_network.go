package cluster

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// dockerNetwork is docker0's default: it stays on every node, also when pods have a network of their own.
const dockerNetwork = "172.17.0.0/16"

// Linux gives outgoing connections ports of this range (net.ipv4.ip_local_port_range).
const localPortsLow, localPortsHigh = 32768, 60999

// span is one address range of the plan and where the file says so.
type span struct {
	what   string
	path   []any
	prefix netip.Prefix
}

func (l *linter) network() {
	n := l.file.Network
	var spans []span
	service, ok := l.prefix(at("network", "serviceCIDR"), n.ServiceCIDR, 12, 28)
	if ok {
		spans = append(spans, span{"the service network", at("network", "serviceCIDR"), service})
		l.dns(service)
	}
	pods, ok := l.prefix(at("network", "podCIDR"), n.PodCIDR, 8, 24)
	if ok {
		spans = append(spans, span{"the pod network", at("network", "podCIDR"), pods})
		// Every node gets a /24 of its own.
		if have, want := 1<<(24-pods.Bits()), len(l.file.With(RoleNode)); have < want {
			l.Wrong(at("network", "podCIDR"), "%s has room for %d nodes (a /24 for each), the file lists %d", n.PodCIDR, have, want)
		}
	}
	spans = append([]span{{"docker's own network", nil, netip.MustParsePrefix(dockerNetwork)}}, spans...)
	l.overlaps(spans)
	if !isName(n.DNSDomain) {
		l.Wrong(at("network", "dnsDomain"), "%q is not a DNS domain such as cluster.local", n.DNSDomain)
	}
	for i, text := range l.file.Nodes.JoinCIDRs {
		path := at("nodes", "joinCIDRs", i)
		join, ok := l.prefix(path, text, 8, 32)
		for _, s := range spans {
			if ok && join.Overlaps(s.prefix) {
				l.Wrong(path, "%s overlaps %s (%s): no host can have such an address", text, s.what, s.prefix)
			}
		}
	}
	l.nodePorts()
}

// prefix reads a CIDR whose length must be from low to high.
func (l *linter) prefix(path []any, text string, low, high int) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil || !p.Addr().Is4():
		l.Wrong(path, "%q is not an IPv4 network such as 10.0.0.0/24", text)
	case p.Masked() != p:
		l.Wrong(path, "%q is an address inside a network; the network itself is %s", text, p.Masked())
	case p.Bits() < low || p.Bits() > high:
		l.Wrong(path, "%q: the part after / must be from %d to %d", text, low, high)
	case slices.ContainsFunc(special(), p.Overlaps):
		l.Wrong(path, "%s is not for a network of hosts or pods: it is reserved, as 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16 and all from 224.0.0.0 on are", text)
	default:
		return p, true
	}
	return netip.Prefix{}, false
}

// special are the networks whose addresses no host can have among others (RFC 6890): this network, the host itself, a link, and
// from 224.0.0.0 on those for many and those that are reserved.
func special() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
		netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("240.0.0.0/4")}
}

func (l *linter) dns(service netip.Prefix) {
	text := l.file.Network.DNSIP
	ip, err := netip.ParseAddr(text)
	path := at("network", "dnsIP")
	switch {
	case err != nil || !ip.Is4():
		l.Wrong(path, "%q is not an IPv4 address", text)
	case !service.Contains(ip):
		l.Wrong(path, "%s is not in the service network %s", text, service)
	case ip == service.Addr() || !service.Contains(ip.Next()):
		l.Wrong(path, "%s is the first or last address of the service network and cannot be used", text)
	case ip == service.Addr().Next():
		l.Wrong(path, "%s is the API server's own service address; use another, for example %s", text, ip.Next())
	}
}

func (l *linter) overlaps(spans []span) {
	for i, a := range spans {
		for _, b := range spans[:i] {
			if a.prefix.Overlaps(b.prefix) {
				l.Wrong(a.path, "%s %s overlaps %s %s", a.what, a.prefix, b.what, b.prefix)
			}
		}
	}
	for i, h := range l.file.Hosts {
		ip, err := netip.ParseAddr(h.IP)
		for _, s := range spans {
			if err == nil && s.prefix.Contains(ip) {
				l.Wrong(at("hosts", i, "ip"), "host address %s lies in %s %s", h.IP, s.what, s.prefix)
			}
		}
	}
}

// listeners are the ports of the hosts that no node port and no API port may take.
func listeners() map[int]string {
	return map[int]string{22: "ssh", 2379: "etcd", 2380: "etcd", 2381: "etcd", 10248: "kubelet", 10249: "kube-proxy", 10250: "kubelet",
		10251: "kube-scheduler", 10252: "kube-controller-manager", 10256: "kube-proxy", 10257: "kube-controller-manager", 10259: "kube-scheduler"}
}

func (l *linter) nodePorts() {
	path := at("network", "nodePorts")
	low, high, err := l.file.portRange()
	if err != nil {
		l.Wrong(path, "%s", err)
		return
	}
	var taken []int
	for port := range listeners() {
		if port >= low && port <= high {
			taken = append(taken, port)
		}
	}
	slices.Sort(taken)
	for _, port := range taken {
		l.Wrong(path, "%s contains port %d, where %s listens", l.file.Network.NodePorts, port, listeners()[port])
	}
	if port := l.file.API.Port; port >= low && port <= high {
		l.Wrong(path, "%s contains port %d, where the API server listens", l.file.Network.NodePorts, port)
	}
	if high >= localPortsLow && low <= localPortsHigh {
		l.Warn(path, "%s shares ports with outgoing connections (%d-%d): a service may find its port taken; 30000-32767 does not", l.file.Network.NodePorts, localPortsLow, localPortsHigh)
	}
}

// portRange reads network.nodePorts.
func (f *File) portRange() (low, high int, err error) {
	a, b, ok := strings.Cut(f.Network.NodePorts, "-")
	low, errLow := strconv.Atoi(a)
	high, errHigh := strconv.Atoi(b)
	if !ok || errLow != nil || errHigh != nil || low < 1 || high > 65535 || low > high || fmt.Sprintf("%d-%d", low, high) != f.Network.NodePorts {
		return 0, 0, fmt.Errorf("%q is not a range of ports such as 30000-32767", f.Network.NodePorts)
	}
	return low, high, nil
}

func (l *linter) api() {
	a := l.file.API
	l.between(at("api", "port"), a.Port, 1, 65535)
	if who := listeners()[a.Port]; who != "" {
		l.Wrong(at("api", "port"), "port %d is where %s listens; 6443 is usual", a.Port, who)
	}
	l.endpoint()
	for i, s := range a.ExtraSANs {
		if ip, err := netip.ParseAddr(s); (err != nil || ip.Zone() != "" || ip.String() != s) && !isName(s) {
			l.Wrong(at("api", "extraSANs", i), "%q is neither an IP address nor a host name", s)
		}
		if slices.Index(a.ExtraSANs, s) < i {
			l.Wrong(at("api", "extraSANs", i), "%q is listed twice", s)
		}
	}
}
