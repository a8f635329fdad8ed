package cluster

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
)

// Roles that a host can have in this release.
const (
	RoleEtcd   = "etcd"
	RoleMaster = "master"
	RoleNode   = "node"
)

// Warnings are findings that do not stop a build, in the order of the file's lines.
func (f *File) Warnings() []Problem { return slices.Clone(f.warnings) }

// Has reports whether the host has the role.
func (h Host) Has(role string) bool { return slices.Contains(h.Roles, role) }

// With returns the hosts that have the role, in the file's order.
func (f *File) With(role string) []Host {
	var out []Host
	for _, h := range f.Hosts {
		if h.Has(role) {
			out = append(out, h)
		}
	}
	return out
}

// NodeName is the name of the host's Node object.
func (f *File) NodeName(h Host) string {
	if f.Nodes.NameFrom == "hostname" {
		return h.Name
	}
	return h.IP
}

// Server is the URL that kubeconfigs on nodes name: "https://20.0.0.100:6443".
func (f *File) Server() string { return f.ServerAt(f.API.Endpoint) }

// ServerAt is the URL of the API server at one address.
func (f *File) ServerAt(ip string) string {
	return "https://" + net.JoinHostPort(ip, strconv.Itoa(f.API.Port))
}

// KubernetesIP is the first address of the service network: the API server inside the cluster. The file must have been
// loaded by Load.
func (f *File) KubernetesIP() string {
	return netip.MustParsePrefix(f.Network.ServiceCIDR).Masked().Addr().Next().String()
}

// HostNamed returns the host with that name.
func (f *File) HostNamed(name string) (Host, bool) {
	for _, h := range f.Hosts {
		if h.Name == name {
			return h, true
		}
	}
	return Host{}, false
}
