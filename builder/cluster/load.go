package cluster

import (
	"errors"
	"fmt"
	"net/netip"

	"offgrid/builder/internal/strictyaml"
)

// Problem is one finding about a cluster file.
type Problem = strictyaml.Problem

// Problems is the error of Load: everything that is wrong with the file, in the order of its lines.
type Problems struct{ *strictyaml.Problems }

func problems(err error) error {
	var list *strictyaml.Problems
	if errors.As(err, &list) {
		return &Problems{list}
	}
	return err
}

// Load reads and checks a cluster file and fills in its defaults. The error is a *Problems with all findings at once.
func Load(name string, data []byte) (*File, error) {
	f := defaults()
	warnings, err := strictyaml.Lint(name, data, f, func(l *strictyaml.Linter) {
		f.derive()
		(&linter{Linter: l, file: f}).run()
	})
	if err != nil {
		return nil, problems(err)
	}
	f.warnings = warnings
	return f, nil
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
		Security: Security{Profile: ProfileHardened, BootstrapTTL: "720h", EncryptionAtRest: true, Audit: true, ComponentStatusPorts: "loopback",
			CertCAYears: 10, CertLeafYears: 2, Packs: PacksSealed, TrustedKeys: []string{}},
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
