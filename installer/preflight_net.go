package installer

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"offgrid/bundle"
)

// checkPlanned insists that the cluster file gives this address this role.
func checkPlanned(in *PreflightInput, r *RoleInput) []Finding {
	role := r.Index.Role
	if !slices.Contains(in.Want.Roles, role) {
		return usage("wrong-bundle", "the bundle is for the role "+role+", not for "+strings.Join(in.Want.Roles, ","), r.Path,
			"a bundle holds one role", command(in, []string{role}, in.Want.IP))
	}
	if in.Want.IP != "" && in.Want.IP == r.Index.Cluster.VIP {
		return nil // said by checkVIP
	}
	if _, err := netip.ParseAddr(in.Want.IP); err != nil {
		return nil // said by checkAddress
	}
	h, ok := hostByIP(r.Index, in.Want.IP)
	if !ok && r.Pack != nil && r.Pack.IP == in.Want.IP && role == bundle.RoleNode && inAny(in.Want.IP, r.Index.Cluster.JoinCIDRs) {
		return joinFindings(in, r)
	}
	if !ok {
		return notInFile(in, r)
	}
	if slices.Contains(h.Roles, role) {
		return nil
	}
	return usage("other-role", fmt.Sprintf("%s (%s) is planned as %s, not as %s", h.IP, h.Name, strings.Join(h.Roles, " and "), role),
		"hosts of the role "+role+": "+hostNames(hostsWith(r.Index, role)),
		"certificates and membership were made for the planned role", command(in, h.Roles, h.IP))
}

func notInFile(in *PreflightInput, r *RoleInput) []Finding {
	where := "hosts of the role " + r.Index.Role + ": " + hostNames(hostsWith(r.Index, r.Index.Role))
	if r.Index.Role == bundle.RoleNode && inAny(in.Want.IP, r.Index.Cluster.JoinCIDRs) {
		return usage("no-join-pack", in.Want.IP+" may join as a node, but this bundle has no pack for hosts that are not in the cluster file",
			where, "a node needs its bootstrap token and its certificates", "add "+in.Want.IP+" to cluster.yaml, then: bundle build")
	}
	return usage("not-planned", in.Want.IP+" is not in the cluster file that the bundle was built from", where,
		"certificates and membership do not cover it", "add "+in.Want.IP+" to cluster.yaml, then: bundle build")
}

func inAny(ip string, cidrs []string) bool {
	address, err := netip.ParseAddr(ip)
	return err == nil && slices.ContainsFunc(cidrs, func(c string) bool {
		prefix, err := netip.ParsePrefix(c)
		return err == nil && prefix.Contains(address)
	})
}

// port is a TCP port that a role's program listens on.
type port struct {
	number int
	what   string
}

func rolePorts(index *bundle.RoleIndex) []port {
	switch index.Role {
	case bundle.RoleEtcd:
		return []port{{2379, "etcd's clients connect there"}, {2380, "etcd's members connect there"}, {2381, "etcd answers health checks there"}}
	case bundle.RoleMaster:
		return []port{{apiPort(index), "kube-apiserver listens there"}, {10251, "kube-scheduler listens there"}, {10252, "kube-controller-manager listens there"},
			{10257, "kube-controller-manager listens there"}, {10259, "kube-scheduler listens there"}}
	case bundle.RoleNode:
		return []port{{10248, "kubelet answers health checks there"}, {10249, "kube-proxy shows its metrics there"}, {10250, "kubelet listens there"},
			{10256, "kube-proxy answers health checks there"}}
	case bundle.RoleLB:
		return []port{{apiPort(index), "nginx listens there for the API servers"}}
	}
	return nil
}

// apiPort is the port of the API servers; 6443 when the index does not say.
func apiPort(index *bundle.RoleIndex) int {
	_, digits, _ := strings.Cut(strings.TrimPrefix(index.Cluster.APIServer, "https://"), ":")
	if n, err := parseInt(strings.TrimSuffix(digits, "/")); err == nil {
		return n
	}
	return 6443
}

// checkPorts finds listeners that are not the role's own programs: those run already when the installer is run again.
func checkPorts(in *PreflightInput, r *RoleInput) []Finding {
	var found []Finding
	for _, p := range rolePorts(r.Index) {
		for _, l := range in.Facts.Listeners {
			ours := r.Index.Role == bundle.RoleLB && l.Process == "nginx" && in.Previous.Clusters[bundle.RoleLB] == r.Index.Cluster.ID
			if l.Port != p.number || ours || ownProgram(r.Index, l) {
				continue
			}
			where, fix := "an unknown process", fmt.Sprintf("ss -l -t -n -p 'sport = :%d'", l.Port)
			if l.PID != 0 {
				where, fix = fmt.Sprintf("process %s, pid %d, %s", l.Process, l.PID, l.Program), fmt.Sprintf("systemctl status %d", l.PID)
			}
			found = append(found, conflict("port-busy", fmt.Sprintf("port %d is in use", l.Port), where, p.what,
				fix+"   (shows the service; stop it with: systemctl disable --now SERVICE)")...)
			break
		}
	}
	return found
}

func ownProgram(index *bundle.RoleIndex, l Listener) bool {
	return slices.ContainsFunc(index.Files, func(f bundle.File) bool {
		if f.Mode&0o111 == 0 {
			return false
		}
		return f.Path == l.Program || l.Program == "" && l.Process != "" && strings.HasPrefix(path.Base(f.Path), l.Process)
	})
}

// checkOverlap finds networks of this host that the cluster's own addresses would hide.
func checkOverlap(in *PreflightInput, r *RoleInput) []Finding {
	for _, role := range []string{bundle.RoleNode, bundle.RoleMaster} {
		if in.Previous.Clusters[role] == r.Index.Cluster.ID {
			return nil // the cluster's own routes are here already: a node's to pods, a master's to the pods of all nodes
		}
	}
	var found []Finding
	for _, inside := range []struct{ cidr, key, what string }{
		{r.Index.Cluster.ServiceCIDR, "network.serviceCIDR", "services"}, {r.Index.Cluster.PodCIDR, "network.podCIDR", "pods"},
	} {
		prefix, err := netip.ParsePrefix(inside.cidr)
		if err != nil {
			continue
		}
		for _, place := range hostNetworks(in.Facts) {
			if place.prefix.Overlaps(prefix) {
				found = append(found, conflict("network-overlap", fmt.Sprintf("%s, the addresses of %s, overlaps %s", prefix, inside.what, place.prefix),
					place.where, "what is there could no longer be reached from this host",
					"choose another "+inside.key+" in cluster.yaml, then: bundle build")...)
				break
			}
		}
	}
	return found
}

type network struct {
	prefix netip.Prefix
	where  string
}

// hostNetworks are the networks that the host reaches by addresses and routes of its own.
func hostNetworks(f *Facts) []network {
	var found []network
	for _, a := range f.Addresses {
		if !a.Prefix.Addr().IsLoopback() && !clusterInterface(a.Interface) {
			found = append(found, network{a.Prefix.Masked(), "address " + a.Prefix.String() + " on " + a.Interface})
		}
	}
	for _, r := range f.Routes {
		if !clusterInterface(r.Interface) {
			found = append(found, network{r.Destination, "route " + r.Destination.String() + " on " + r.Interface})
		}
	}
	return found
}

// checkUnits finds units of the same names that do not come from this role.
func checkUnits(in *PreflightInput, r *RoleInput) []Finding {
	var found []Finding
	for _, u := range r.Index.Units {
		now := in.Facts.Units[u.Name]
		if now.Load == "masked" {
			found = append(found, conflict("unit-masked", u.Name+" is masked", now.Path, "it could not be started", "systemctl unmask "+u.Name)...)
			continue
		}
		if u.Package != "" || now.Path == "" || placed(r, now.Path) {
			continue
		}
		found = append(found, conflict("unit-elsewhere", u.Name+" is already defined by another file", now.Path,
			"it would hide the one of the bundle", "mv "+now.Path+" /root/ && systemctl daemon-reload")...)
	}
	return found
}

// placed reports whether the role puts a file at that path.
func placed(r *RoleInput, name string) bool {
	if _, ok := packFile(r, name); ok {
		return true
	}
	return slices.ContainsFunc(r.Index.Files, func(f bundle.File) bool { return f.Path == name })
}

// checkModules finds kernel modules that cannot be loaded.
func checkModules(in *PreflightInput, r *RoleInput) []Finding {
	var plain, ipvs []string
	for _, m := range r.Index.Modules {
		if in.Facts.Modules[m] {
			continue
		}
		if strings.HasPrefix(m, "ip_vs") {
			ipvs = append(ipvs, m)
		} else {
			plain = append(plain, m)
		}
	}
	var found []Finding
	where := "kernel " + in.Facts.Kernel
	if len(plain) > 0 {
		found = append(found, conflict("module-missing", "the kernel has no module "+strings.Join(plain, ", "), where,
			"pods cannot reach each other without it", "modprobe "+plain[0])...)
	}
	if len(ipvs) > 0 {
		found = append(found, conflict("ipvs-missing", "the kernel has no module "+strings.Join(ipvs, ", "), where,
			"the cluster file says network.proxyMode: ipvs", "set network.proxyMode: iptables in cluster.yaml, then: bundle build")...)
	}
	return found
}
