package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"offgrid/builder/internal/strictyaml"
)

// Problem is one finding about a cluster file.
type Problem struct {
	Line   int    // from 1; 0 when it concerns the file as a whole
	Column int    // from 1, in characters
	Path   string // "hosts[2].ip"
	Text   string // what is wrong and what would be right, for an operator
}

// Problems is the error of Load: everything that is wrong with the file, in the order of its lines.
type Problems struct {
	Name  string // of the file, for people
	Items []Problem
}

func (p *Problems) Error() string {
	lines := make([]string, len(p.Items))
	for i, item := range p.Items {
		lines[i] = strictyaml.Problem(item).Format(p.Name)
	}
	return strings.Join(lines, "\n")
}

// Load reads and checks a cluster file and fills in its defaults. The error is a *Problems with all findings at once.
func Load(name string, data []byte) (*File, error) {
	f := defaults()
	source, err := strictyaml.Decode(name, data, f)
	var found []strictyaml.Problem
	var list *strictyaml.Error
	switch {
	case errors.As(err, &list):
		found = list.Problems
	case err != nil:
		return nil, err
	}
	if source == nil {
		return nil, problems(name, found)
	}
	l := &linter{file: f, source: source, silent: map[string]bool{}}
	for _, p := range found {
		l.silent[p.Path] = true // said already; what follows from it is not another finding
	}
	f.derive()
	l.run()
	found = append(found, l.found...)
	if len(found) > 0 {
		return nil, problems(name, found)
	}
	strictyaml.SortProblems(l.warned)
	for _, w := range l.warned {
		f.warnings = append(f.warnings, Problem(w))
	}
	return f, nil
}

func problems(name string, found []strictyaml.Problem) *Problems {
	strictyaml.SortProblems(found)
	p := &Problems{Name: name}
	for _, item := range found {
		p.Items = append(p.Items, Problem(item))
	}
	return p
}

// defaults is the file that says nothing: the values of the tutorial, hardened.
func defaults() *File {
	return &File{
		API: API{Port: 6443, Prefix: 24, VirtualRouterID: 51},
		Network: Network{ServiceCIDR: "10.0.0.0/24", PodCIDR: "10.244.0.0/16", DNSDomain: "cluster.local", NodePorts: "30000-32767",
			ProxyMode: "ipvs", CNI: CNIFlannel},
		Nodes: Nodes{NameFrom: "ip"},
		Etcd:  Etcd{DataDir: "/var/lib/etcd/default.etcd", Snapshots: Snapshots{Dir: "/data/backup", Every: "daily", Keep: 7}},
		OS: OS{Firewall: "disable", SELinux: "disabled", IPv6: "disable", NTP: NTP{MaxSkewSeconds: 2},
			DockerLog: Log{MaxSize: "500m", MaxFile: 3}, Kernel: Kernel{Mode: KernelSkip}},
		Security: Security{BootstrapTTL: "720h", EncryptionAtRest: true, Audit: true, ComponentStatusPorts: "loopback",
			CertCAYears: 10, CertLeafYears: 2},
	}
}

// derive fills in what depends on other values of the file.
func (f *File) derive() {
	taken := map[string]bool{}
	for _, h := range f.Hosts {
		taken[h.EtcdName] = true
	}
	next := 1
	for i := range f.Hosts {
		h := &f.Hosts[i]
		if !h.Has(RoleEtcd) || h.EtcdName != "" {
			continue
		}
		for h.EtcdName == "" || taken[h.EtcdName] {
			h.EtcdName = fmt.Sprintf("etcd%02d", next)
			next++
		}
		taken[h.EtcdName] = true
	}
	if f.API.Endpoint == "" && len(f.With(RoleLB)) > 0 {
		f.API.Endpoint = f.API.VIP
	}
	if masters := f.Active(RoleMaster); len(masters) > 0 {
		if f.API.Endpoint == "" && f.API.VIP == "" && len(masters) == 1 && len(f.With(RoleLB)) == 0 {
			f.API.Endpoint = masters[0].IP
		}
		if f.OS.NTP.FallbackHost == "" {
			f.OS.NTP.FallbackHost = masters[0].Name
		}
	}
	if service, err := netip.ParsePrefix(f.Network.ServiceCIDR); err == nil && f.Network.DNSIP == "" {
		f.Network.DNSIP = service.Masked().Addr().Next().Next().String()
	}
}
