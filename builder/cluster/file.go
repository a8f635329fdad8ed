package cluster

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Roles that a host can have.
const (
	RoleEtcd   = "etcd"
	RoleMaster = "master"
	RoleNode   = "node"
	RoleLB     = "lb"
)

// knownRoles is what messages list.
const knownRoles = "etcd, lb, master, node"

// Warnings are findings that do not stop a build, in the order of the file's lines.
func (f *File) Warnings() []Problem { return slices.Clone(f.warnings) }

// Has reports whether the host has the role.
func (h Host) Has(role string) bool { return slices.Contains(h.Roles, role) }

// With returns the hosts that have the role, spare ones too, in the file's order.
func (f *File) With(role string) []Host {
	var out []Host
	for _, h := range f.Hosts {
		if h.Has(role) {
			out = append(out, h)
		}
	}
	return out
}

// Active returns the hosts that have the role from the start: those that are not spare.
func (f *File) Active(role string) []Host {
	return slices.DeleteFunc(f.With(role), func(h Host) bool { return h.Spare })
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

// ImageAt is the name by which nodes take an image: its own, or the one in the site's registry.
func (f *File) ImageAt(ref string) string {
	if f.Images.Registry == "" {
		return ref
	}
	_, repository, _ := strings.Cut(ref, "/")
	return f.Images.Registry + "/" + repository
}

// RegistryHost is the host, and the port when one is named, of the site's registry; "" when there is none.
func (f *File) RegistryHost() string {
	host, _, _ := strings.Cut(f.Images.Registry, "/")
	return host
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
