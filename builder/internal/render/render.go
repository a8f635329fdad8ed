// Package render makes everything that a role places on hosts and that was not downloaded: units, settings, certificates
// and kubeconfigs, from the cluster file, the site's certificates and the templates in manifests/templates. The same input
// gives the same bytes.
package render

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"time"

	"offgrid/builder/cluster"
	"offgrid/builder/internal/pki"
	"offgrid/bundle"
	"offgrid/bundle/hostpack"
)

// Versions are the releases that the lock decided on.
type Versions struct {
	Kubernetes string // "v1.20.15"
	Etcd       string // "v3.4.26"
	Docker     string // "20.10.24"
}

// Request says what to render.
type Request struct {
	Cluster  *cluster.File
	PKI      *pki.Set
	Role     string // bundle.RoleEtcd, RoleMaster, RoleNode or RoleLB
	Versions Versions
	Images   []string // names of the images that the role's hosts run, aboard its bundle or in the site's registry
	Addons   []Addon  // what masters apply, in this order
	// CheckImage is the image of the pods that the health check makes; "" when there is none.
	CheckImage string
	// RegistryCA is the authority, in PEM, that signed the certificate of the site's registry; nil when docker knows it.
	RegistryCA []byte
}

// Text is a rendered file that is equal on all hosts of the role and holds no secret. It becomes one artifact of the bundle.
type Text struct {
	Artifact string // "unit/etcd.service", "file/etc/sysctl.d/k8s.conf"
	Path     string // on the host
	Mode     uint32 // permission bits
	Owner    string
	Group    string
	Data     []byte
}

// Role is what one role's bundle holds besides programs, packages and images.
type Role struct {
	Name    string
	Cluster bundle.Cluster // all but Serial and Lock
	Modules []string
	Sysctls []bundle.Setting
	Dirs    []bundle.Dir // parents before children
	Links   []bundle.Link
	Units   []bundle.Unit // in the order in which they are started
	Checks  []bundle.Check
	Hosts   []bundle.Host // of the whole cluster, in the cluster file's order
	Texts   []Text        // sorted by path
	Packs   []hostpack.Pack
	Addons  []bundle.Addon // in the order in which they are applied
}

// Render renders one role for every host that has it.
func Render(req Request) (*Role, error) {
	r, err := newRenderer(req)
	if err != nil {
		return nil, err
	}
	role := &Role{Name: req.Role, Hosts: hosts(req.Cluster)}
	if role.Cluster, err = clusterOf(req); err != nil {
		return nil, err
	}
	r.common(role)
	switch req.Role {
	case bundle.RoleEtcd:
		r.etcd(role)
	case bundle.RoleMaster:
		r.master(role)
	case bundle.RoleNode:
		r.node(role)
	case bundle.RoleLB:
		r.lb(role)
	default:
		return nil, fmt.Errorf("rendering role %q: known are etcd, lb, master, node", req.Role)
	}
	hosts := req.Cluster.With(req.Role)
	if req.Role == bundle.RoleNode && len(req.Cluster.Nodes.JoinCIDRs) > 0 {
		hosts = append(hosts, joinHost())
	}
	for _, h := range hosts {
		pack, err := r.pack(h)
		if err != nil {
			return nil, fmt.Errorf("rendering role %q for host %q: %w", req.Role, h.Name, err)
		}
		role.Packs = append(role.Packs, *pack)
	}
	if r.err != nil {
		return nil, fmt.Errorf("rendering role %q: %w", req.Role, r.err)
	}
	role.sort()
	restarts(role)
	return role, nil
}

func (role *Role) sort() {
	slices.Sort(role.Modules)
	slices.SortFunc(role.Sysctls, func(a, b bundle.Setting) int { return cmp.Compare(a.Key, b.Key) })
	slices.SortFunc(role.Dirs, func(a, b bundle.Dir) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortFunc(role.Links, func(a, b bundle.Link) int { return cmp.Compare(a.Path, b.Path) })
	role.Addons = slices.Concat([]bundle.Addon{}, role.Addons)
	slices.SortFunc(role.Texts, func(a, b Text) int { return cmp.Compare(a.Path, b.Path) })
}

// restarts adds each unit's own file to the files whose change restarts it.
func restarts(role *Role) {
	for i := range role.Units {
		u := &role.Units[i]
		if u.Package == "" {
			u.Restarts = append(u.Restarts, unitPath(u.Name))
		}
		slices.Sort(u.Restarts)
	}
}

func unitPath(name string) string { return path.Join("/usr/lib/systemd/system", name) }

func hosts(f *cluster.File) []bundle.Host {
	var out []bundle.Host
	for _, h := range f.Hosts {
		host := bundle.Host{Name: h.Name, IP: h.IP, Roles: slices.Sorted(slices.Values(h.Roles)), EtcdName: h.EtcdName, Spare: h.Spare}
		if h.Has(cluster.RoleNode) {
			host.NodeName = f.NodeName(h)
		}
		out = append(out, host)
	}
	return out
}

func checkImage(req Request) string {
	if req.CheckImage == "" {
		return ""
	}
	return req.Cluster.ImageAt(req.CheckImage)
}

func clusterOf(req Request) (bundle.Cluster, error) {
	f := req.Cluster
	fallback, ok := f.HostNamed(f.OS.NTP.FallbackHost)
	if !ok {
		return bundle.Cluster{}, fmt.Errorf("rendering role %q: no host is named %q, which is to keep the time", req.Role, f.OS.NTP.FallbackHost)
	}
	return bundle.Cluster{
		ID:          req.PKI.ClusterID,
		Name:        f.Metadata.Name,
		NotBefore:   req.PKI.NotBefore.UTC().Truncate(time.Second),
		APIServer:   f.Server(),
		VIP:         f.API.VIP,
		ServiceCIDR: f.Network.ServiceCIDR,
		PodCIDR:     f.Network.PodCIDR,
		DNSIP:       f.Network.DNSIP,
		DNSDomain:   f.Network.DNSDomain,
		JoinCIDRs:   slices.Concat([]string{}, f.Nodes.JoinCIDRs),
		Policy: bundle.Policy{
			Firewall:       f.OS.Firewall,
			SELinux:        f.OS.SELinux,
			DisableIPv6:    f.OS.IPv6 == "disable",
			NTPServers:     slices.Concat([]string{}, f.OS.NTP.Servers),
			NTPFallback:    fallback.IP,
			MaxSkewSeconds: f.OS.NTP.MaxSkewSeconds,
			EtcdDataDir:    f.Etcd.DataDir,
			SnapshotDir:    f.Etcd.Snapshots.Dir,
			SnapshotKeep:   f.Etcd.Snapshots.Keep,
			CNI:            f.Network.CNI,
			KernelMode:     f.OS.Kernel.Mode,
			KernelRemove:   f.OS.Kernel.RemoveOld,
			CheckImage:     checkImage(req),
			ProxyMode:      f.Network.ProxyMode,
			KubeVersion:    req.Versions.Kubernetes,
			EtcdVersion:    req.Versions.Etcd,
			DockerVersion:  req.Versions.Docker,
		},
	}, nil
}
