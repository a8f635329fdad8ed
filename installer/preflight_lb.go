package installer

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"offgrid/bundle"
)

// checkVIP is about the address that the load balancers share, on any host.
func checkVIP(in *PreflightInput, r *RoleInput) []Finding {
	vip := r.Index.Cluster.VIP
	if vip == "" {
		return nil
	}
	balancers := "load balancers: " + hostNames(hostsWith(r.Index, bundle.RoleLB))
	if in.Want.IP == vip {
		fix := "./install --help"
		for _, a := range in.Facts.Addresses {
			if h, ok := hostByIP(r.Index, a.Prefix.Addr().String()); ok {
				fix = command(in, common(in.Want.Roles, h.Roles), h.IP)
			}
		}
		return usage("ip-is-vip", vip+" is the address that the load balancers share, and no host's own", balancers,
			"keepalived gives it to one of them at a time, so that it survives the loss of a host", fix)
	}
	nic := in.Facts.VIP.Here
	if nic == "" {
		return nil
	}
	balancer := wants(in, bundle.RoleLB) || in.Previous.Clusters[bundle.RoleLB] == r.Index.Cluster.ID
	if balancer && in.Facts.Units[keepalivedUnit].Up() {
		return nil // it has it rightly
	}
	why := "only keepalived on the balancers may have it: with it here, this host and a balancer would both answer"
	if balancer {
		why = "keepalived has to give it and to take it; configured by hand it stays when this host has to let it go"
	}
	return conflict("vip-here", vip+", the address that the load balancers share, is configured on this host", nic+"; "+balancers, why,
		"nmcli -t -f NAME,DEVICE connection show --active   (take it out of the connection of "+nic+": nmcli connection modify NAME -ipv4.addresses "+vipPrefix(in, vip)+" && nmcli connection up NAME)")
}

// vipPrefix is the address as this host has it: 20.0.0.110/24.
func vipPrefix(in *PreflightInput, vip string) string {
	for _, a := range in.Facts.Addresses {
		if a.Prefix.Addr().String() == vip {
			return a.Prefix.String()
		}
	}
	return vip
}

// checkVIPNetwork is about the shared address as a balancer sees it: in its own network, and nobody else's. Balancers talk to
// each other alone (unicast), so that another pair on the same wire with the same virtual router id does no harm.
func checkVIPNetwork(in *PreflightInput, r *RoleInput) []Finding {
	vip, err := netip.ParseAddr(r.Index.Cluster.VIP)
	if err != nil {
		return nil
	}
	var found []Finding
	for _, a := range in.Facts.Addresses {
		if a.Prefix.Addr().String() == in.Want.IP && !a.Prefix.Contains(vip) {
			found = append(found, usage("vip-network", fmt.Sprintf("the shared address %s is not in %s, the network of this host", vip, a.Prefix.Masked()), a.Interface,
				"the hosts of that network would not find it here", "choose another api.vip in cluster.yaml, then: bundle build")...)
		}
	}
	if taken := in.Facts.VIP.Taken; taken != "" && in.Want.IP != r.Index.Cluster.VIP {
		found = append(found, conflict("vip-taken", fmt.Sprintf("%s is in use by a host that is no load balancer of this cluster", vip),
			"hardware address "+taken, "two hosts with one address are reached by turns, and neither reliably",
			fmt.Sprintf("arping -c 3 -I %s %s   (shows whether it still answers; take it from that host, or choose another api.vip in cluster.yaml, then: bundle build)",
				interfaceOf(in.Facts, in.Want.IP), vip))...)
	}
	return found
}

// checkBalancerBusy refuses a host where nginx or keepalived do something else already: their settings would be replaced.
func checkBalancerBusy(in *PreflightInput, r *RoleInput) []Finding {
	if in.Previous.Clusters[bundle.RoleLB] != "" {
		return nil // they are ours, or checkClusters has said whose
	}
	var found []Finding
	for _, unit := range []string{nginxUnit, keepalivedUnit} {
		if u := in.Facts.Units[unit]; u.Up() {
			found = append(found, conflict("balancer-busy", unit+" is running on this host already", u.Path,
				"its settings would be replaced, and what it serves now would end", "systemctl disable --now "+unit+"   (when nobody needs it any more)")...)
		}
	}
	return found
}

// checkBalancerSELinux refuses an enforcing SELinux that is to be kept and does not let nginx do its work.
func checkBalancerSELinux(in *PreflightInput, r *RoleInput) []Finding {
	if in.Facts.SELinux != "enforcing" || r.Index.Cluster.Policy.SELinux != "keep" || in.Facts.BalancerAllowed {
		return nil
	}
	port := apiPort(r.Index)
	return conflict("selinux-port", fmt.Sprintf("SELinux is enforcing and does not let nginx listen on port %d and connect to the masters", port), selinuxPorts,
		"the cluster file says host.selinux: keep",
		fmt.Sprintf("semanage port -a -t http_port_t -p tcp %d && setsebool -P httpd_can_network_connect on   (semanage is in the package policycoreutils-python; or set host.selinux: permissive in cluster.yaml, then: bundle build)", port))
}

// checkBalancerFirewall warns of a firewall that stays and that nobody told of VRRP.
func checkBalancerFirewall(in *PreflightInput, r *RoleInput) []Finding {
	if !in.Facts.Firewalld || r.Index.Cluster.Policy.Firewall == "disable" {
		return nil
	}
	return warning("firewall-vrrp", "firewalld runs and stays, as the cluster file says", "host.firewall: "+r.Index.Cluster.Policy.Firewall,
		"unless it lets VRRP pass, both balancers take the shared address",
		fmt.Sprintf("firewall-cmd --permanent --add-rich-rule='rule protocol value=vrrp accept' && firewall-cmd --permanent --add-port=%d/tcp && firewall-cmd --reload", apiPort(r.Index)))
}

// checkCNI finds what would keep the pod network of a node from working.
func checkCNI(in *PreflightInput, r *RoleInput) []Finding {
	if !hasNetwork(r.Index) {
		return nil
	}
	var found []Finding
	if in.Previous.Clusters[bundle.RoleNode] != r.Index.Cluster.ID {
		var foreign []string
		for _, name := range in.Facts.CNI {
			if !placed(r, path.Join(cniDir, name)) {
				foreign = append(foreign, name)
			}
		}
		if len(foreign) > 0 {
			found = append(found, conflict("cni-foreign", "there are settings of another pod network", cniDir+": "+strings.Join(foreign, ", "),
				"kubelet takes the first file there by name, and pods would get the other network", "mv "+cniDir+" /root/cni-net.d.before")...)
		}
	}
	if r.Index.Cluster.Policy.CNI != "flannel" {
		return found
	}
	var missing []string
	for _, program := range []string{"bridge", "flannel", "host-local", "loopback", "portmap"} {
		if !slices.ContainsFunc(r.Index.Files, func(f bundle.File) bool { return f.Path == "/opt/cni/bin/"+program }) {
			missing = append(missing, program)
		}
	}
	if len(missing) > 0 {
		found = append(found, usage("cni-programs", "the bundle does not bring the pod network's "+strings.Join(missing, ", "), r.Path,
			"kubelet would say: failed to find plugin in path [/opt/cni/bin]", "take cni-plugins older than v1.0 into the catalogue, then: bundle lock && bundle build")...)
	}
	return found
}
