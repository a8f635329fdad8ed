package cluster

import (
	"net/netip"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// endpoint checks where nodes reach the API: the VIP, an active master, or, with several masters and no load balancers of
// ours, any address that somebody else keeps.
func (l *linter) endpoint() {
	a := l.file.API
	place := at("api", "endpoint")
	ip, err := netip.ParseAddr(a.Endpoint)
	masters := l.file.Active(RoleMaster)
	isMaster := slices.ContainsFunc(masters, func(h Host) bool { return h.IP == a.Endpoint })
	i := slices.IndexFunc(l.file.Hosts, func(h Host) bool { return h.IP == a.Endpoint })
	switch {
	case a.Endpoint == "" || a.Endpoint == a.VIP:
		return // what is wrong with the VIP is said there
	case err != nil || !ip.Is4():
		l.Wrong(place, "%q is not an IPv4 address", a.Endpoint)
	case i >= 0 && !isMaster:
		l.Wrong(place, "%s is %q, which is no master from the start", a.Endpoint, l.file.Hosts[i].Name)
	case isMaster && len(masters) > 1:
		l.Warn(place, "nodes reach the API at %s alone, although there are %d masters: they stand still when that host is down; two hosts with the role lb and api.vip help", a.Endpoint, len(masters))
	}
}

// balancers checks the load balancers and their address.
func (l *linter) balancers() {
	a, lbs := l.file.API, l.file.With(RoleLB)
	l.between(at("api", "prefix"), a.Prefix, 8, 30)
	l.between(at("api", "virtualRouterId"), a.VirtualRouterID, 1, 255)
	if len(lbs) == 1 {
		l.Warn(at("hosts"), "there is one load balancer: when %s is down nobody reaches the API; two of them help each other", lbs[0].Name)
	}
	place := at("api", "vip")
	if len(lbs) > 0 && l.file.OS.SELinux == "keep" {
		l.Warn(at("host", "selinux"), "where SELinux is enforcing, nginx may not use port %d; on each load balancer, once: semanage port -a -t http_port_t -p tcp %d; setsebool -P httpd_can_network_connect 1", a.Port, a.Port)
	}
	if a.VIP == "" {
		switch masters := len(l.file.Active(RoleMaster)); {
		case len(lbs) > 0:
			l.Wrong(place, "the load balancers need an address that is nobody's: the VIP, in their network")
		case masters > 1 && a.Endpoint == "":
			l.Wrong(at("hosts"), "%d masters and nothing in front of them: give two hosts the role lb and set api.vip, or say in api.endpoint where nodes reach the API", masters)
		}
		return
	}
	ip, err := netip.ParseAddr(a.VIP)
	switch i := slices.IndexFunc(l.file.Hosts, func(h Host) bool { return h.IP == a.VIP }); {
	case err != nil || !ip.Is4() || !ordinary(ip):
		l.Wrong(place, "%q is not an IPv4 address such as 20.0.0.110", a.VIP)
	case i >= 0:
		l.Wrong(place, "%s is the address of %q; the VIP must be nobody's", a.VIP, l.file.Hosts[i].Name)
	case len(lbs) == 0:
		l.Wrong(place, "no host has the role lb, so nobody would hold %s; give two hosts the role", a.VIP)
	default:
		l.besideBalancers(ip, lbs)
	}
}

// besideBalancers insists that the VIP is in the network of every load balancer and in none of the cluster's own.
func (l *linter) besideBalancers(vip netip.Addr, lbs []Host) {
	a := l.file.API
	place := at("api", "vip")
	subnet := netip.PrefixFrom(vip, a.Prefix).Masked()
	for _, h := range lbs {
		if ip, err := netip.ParseAddr(h.IP); err == nil && subnet.IsValid() && !subnet.Contains(ip) {
			l.Wrong(place, "%s/%d is not in the network of the load balancer %s (%s)", a.VIP, a.Prefix, h.Name, h.IP)
		}
	}
	if subnet.IsValid() && (vip == subnet.Addr() || !subnet.Contains(vip.Next())) {
		l.Wrong(place, "%s is the first or last address of the network %s and cannot be used", a.VIP, subnet)
	}
	for _, s := range []struct{ what, cidr string }{
		{"the service network", l.file.Network.ServiceCIDR}, {"the pod network", l.file.Network.PodCIDR}, {"docker's own network", dockerNetwork},
	} {
		if p, err := netip.ParsePrefix(s.cidr); err == nil && p.Contains(vip) {
			l.Wrong(place, "%s lies in %s %s", a.VIP, s.what, s.cidr)
		}
	}
	if a.Endpoint != a.VIP && a.Endpoint != "" {
		l.Warn(at("api", "endpoint"), "nodes are sent to %s and not to the load balancers' %s", a.Endpoint, a.VIP)
	}
}

func (l *linter) upstreamDNS() {
	servers := l.file.Network.UpstreamDNS
	for i, s := range servers {
		place := at("network", "upstreamDNS", i)
		ip, err := netip.ParseAddr(s)
		if port, perr := netip.ParseAddrPort(s); perr == nil && port.Port() > 0 {
			ip, err = port.Addr(), nil
		}
		switch {
		case err != nil || !ip.Is4():
			l.Wrong(place, "%q is not the IPv4 address of a DNS server, such as 20.0.0.53 or 20.0.0.53:5353", s)
		case ip.IsLoopback() || ip.IsUnspecified() || ip.String() == l.file.Network.DNSIP:
			l.Wrong(place, "%s leads back to the cluster's own DNS: questions would go round for ever", s)
		case slices.Index(servers, s) < i:
			l.Wrong(place, "%q is listed twice", s)
		}
	}
	if len(servers) > 15 {
		l.Wrong(at("network", "upstreamDNS"), "%d servers; CoreDNS takes 15 at most", len(servers))
	}
}

// imageRef is registry/repository:tag. The registry has a dot or a port, so that it is never taken for a directory of Docker Hub.
func imageRef(s string) bool {
	return len(s) < 256 && regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*(\.[a-z0-9-]+|:[0-9]{1,5})(/[a-z0-9]+([._-]+[a-z0-9]+)*)+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`).MatchString(s)
}

func (l *linter) images() {
	place := at("images", "registry")
	if r := l.file.Images.Registry; r != "" && !regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`).MatchString(r) {
		l.Wrong(place, "%q is not a registry such as registry.site.example:5000 or 20.0.0.50:5000/mirror", r)
	} else if host, _, _ := strings.Cut(r, "/"); r != "" && !strings.ContainsAny(host, ".:") {
		l.Wrong(place, "%q: the registry's name needs a dot or a port, or docker takes it for a directory of Docker Hub", r)
	}
	if ca := l.file.Images.RegistryCA; ca != "" {
		switch {
		case !filepath.IsLocal(ca) || strings.Contains(ca, "\\"):
			l.Wrong(at("images", "registryCA"), "%q is not a file inside the site directory; copy the authority's certificate there", ca)
		case l.file.Images.Registry == "":
			l.Wrong(at("images", "registryCA"), "there is no registry to trust: say images.registry, too")
		}
	}
	seen := map[string]int{}
	for i, ref := range l.file.Extras.Images {
		place := at("extras", "images", i)
		switch {
		case !imageRef(ref):
			l.Wrong(place, "%q: write the image in full, registry/repository:tag, for example docker.io/library/nginx:1.21.4", ref)
		case strings.HasSuffix(ref, ":latest"):
			l.Wrong(place, "%q: the tag latest is pulled at every start of a pod, and nothing can be pulled on the site; name a version", ref)
		case seen[ref] > 0:
			l.Wrong(place, "%q is listed twice", ref)
		}
		seen[ref]++
	}
	names := map[string]int{}
	for i, file := range l.file.Extras.Manifests {
		place := at("extras", "manifests", i)
		base := strings.TrimSuffix(path.Base(file), path.Ext(file))
		switch {
		case path.Clean(file) != file || !filepath.IsLocal(file) || file == ".":
			l.Wrong(place, "%q: want a plain path inside the site, such as manifests/ingress.yaml", file)
		case path.Ext(file) != ".yaml" && path.Ext(file) != ".yml" || !isLabel(base):
			l.Wrong(place, "%q: want a name of a-z, 0-9 and - that ends in .yaml: it becomes the add-on's name", file)
		case names[base] > 0:
			l.Wrong(place, "%q: there is a manifest named %s already (line %d)", file, base, names[base])
		default:
			names[base] = l.Line(place...)
		}
	}
}
