package installer

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"offgrid/bundle"
)

func usage(id, what, where, why, fix string) []Finding {
	return []Finding{{ID: id, Severity: Refuse, Class: ClassUsage, What: what, Where: where, Why: why, Fix: fix}}
}

func conflict(id, what, where, why, fix string) []Finding {
	return []Finding{{ID: id, Severity: Refuse, Class: ClassHost, What: what, Where: where, Why: why, Fix: fix}}
}

func warning(id, what, where, why, fix string) []Finding {
	return []Finding{{ID: id, Severity: Warn, Class: ClassHost, What: what, Where: where, Why: why, Fix: fix}}
}

// command is what to type instead of what was typed.
func command(in *PreflightInput, roles []string, ip string) string {
	if len(roles) == 0 {
		roles = in.Want.Roles
	}
	return "./install --role " + strings.Join(roles, ",") + " --ip " + ip
}

func checkRoot(in *PreflightInput, _ *RoleInput) []Finding {
	if in.Facts.UID == 0 {
		return nil
	}
	return usage("not-root", "this is not root", fmt.Sprintf("user id %d", in.Facts.UID),
		"files of the system are replaced and services are started", "sudo "+command(in, nil, in.Want.IP))
}

func checkArch(in *PreflightInput, r *RoleInput) []Finding {
	want := r.Index.Platform.Arch
	if in.Facts.Arch == want {
		return nil
	}
	return usage("wrong-arch", fmt.Sprintf("the bundle's programs are for %s, this host is %s", want, in.Facts.Arch), r.Path,
		"they would not start here", "bring a bundle that was built for "+in.Facts.Arch)
}

// families names the os-release ids that take the packages of a family, and the major version.
func families() map[string]struct {
	ids   []string
	major string
} {
	return map[string]struct {
		ids   []string
		major string
	}{
		"el7": {ids: []string{"centos", "rhel", "ol", "scientific"}, major: "7"},
	}
}

func checkFamily(in *PreflightInput, r *RoleInput) []Finding {
	family, known := families()[r.Index.Platform.Family]
	os := in.Facts.OS
	major, _, _ := strings.Cut(os.VersionID, ".")
	if known && slices.Contains(family.ids, os.ID) && major == family.major {
		return nil
	}
	name := os.Name
	if name == "" {
		name = "an unknown system"
	}
	return usage("wrong-os", fmt.Sprintf("the bundle's packages are for %s, this host runs %s", r.Index.Platform.Family, name),
		"/etc/os-release", "packages of another system break it", "run this on a host with CentOS 7, or bring a bundle for this system")
}

// checkAddress insists that the address is the host's own: everything in the pack belongs to it.
func checkAddress(in *PreflightInput, r *RoleInput) []Finding {
	ip, err := netip.ParseAddr(in.Want.IP)
	if err != nil {
		return usage("bad-ip", fmt.Sprintf("%q is not an IPv4 address", in.Want.IP), "--ip", "hosts are told apart by their address", "./install --help")
	}
	if in.Want.IP == r.Index.Cluster.VIP {
		return nil // said by checkVIP
	}
	var own, planned []string
	for _, a := range in.Facts.Addresses {
		if a.Prefix.Addr() == ip {
			if inside := clusterInterface(a.Interface); inside {
				return usage("ip-inside", fmt.Sprintf("%s is on %s, an interface of the cluster's own network", ip, a.Interface),
					a.Interface, "other hosts cannot reach it", "ip -o -4 addr show")
			}
			return nil
		}
		if !a.Prefix.Addr().IsLoopback() {
			own = append(own, a.Interface+" "+a.Prefix.Addr().String())
			if _, ok := hostByIP(r.Index, a.Prefix.Addr().String()); ok {
				planned = append(planned, a.Prefix.Addr().String())
			}
		}
	}
	fix := "ip -o -4 addr show"
	if len(planned) > 0 {
		h, _ := hostByIP(r.Index, planned[0])
		fix = command(in, common(in.Want.Roles, h.Roles), planned[0])
	}
	here := "this host has no address yet"
	if len(own) > 0 {
		here = "addresses here: " + strings.Join(own, ", ")
	}
	return usage("ip-not-here", fmt.Sprintf("%s is not an address of this host", ip), here,
		"the keys and names in the bundle belong to the host that has it", fix)
}

// common returns the wanted roles that are among those planned, or all planned ones when none is.
func common(want, planned []string) []string {
	var both []string
	for _, r := range want {
		if slices.Contains(planned, r) {
			both = append(both, r)
		}
	}
	if len(both) == 0 {
		return planned
	}
	return both
}

// clusterInterface tells interfaces that docker, a pod network or kube-proxy makes.
func clusterInterface(name string) bool {
	for _, prefix := range []string{"docker", "br-", "cni", "flannel", "cali", "tunl", "vxlan.calico", "kube-", "veth", "nodelocaldns"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// checkClusters insists that all roles come from one cluster, the one that is on the host already.
func checkClusters(in *PreflightInput, _ *RoleInput) []Finding {
	var found []Finding
	first := in.Roles[0].Index.Cluster
	for _, r := range in.Roles[1:] {
		if r.Index.Cluster.ID != first.ID {
			found = append(found, usage("two-clusters", "the bundles are of two clusters: "+first.Name+" and "+r.Index.Cluster.Name,
				in.Roles[0].Path+" and "+r.Path, "their certificates do not know each other", "bring the bundles of one build")...)
		}
	}
	for _, role := range bundle.RoleOrder() {
		if id, ok := in.Previous.Clusters[role]; ok && id != first.ID {
			found = append(found, conflict("other-cluster", "this host is already "+role+" of another cluster", "cluster id "+id,
				"a host is part of one cluster only", "./install uninstall --role "+role)...)
		}
	}
	return found
}

// checkClock refuses a clock that is before anything in the bundle can be valid.
func checkClock(in *PreflightInput, _ *RoleInput) []Finding {
	floor, why := time.Time{}, ""
	for _, r := range in.Roles {
		if r.Index.Cluster.NotBefore.After(floor) {
			floor, why = r.Index.Cluster.NotBefore, "the bundle was made later than that"
		}
		for _, c := range slices.Concat(packCertificates(&r), kubeconfigCertificates(&r)) {
			if c.cert.NotBefore.After(floor) {
				floor, why = c.cert.NotBefore, "the certificate "+c.path+" is not valid before "+utc(c.cert.NotBefore)
			}
		}
	}
	if !in.Facts.Now.Before(floor) {
		return nil
	}
	return conflict("clock-behind", "the clock says "+utc(in.Facts.Now)+", at least "+utc(floor)+" is needed", "clock", why+
		"; set the time of now, not an earlier one", "date -u -s '"+floor.UTC().Add(time.Minute).Format("2006-01-02 15:04:05")+"'")
}

// checkSkew compares with the clocks of masters that answered. Those that did not are no finding.
func checkSkew(in *PreflightInput, r *RoleInput) []Finding {
	limit := int64(r.Index.Cluster.Policy.MaxSkewSeconds)
	var worst string
	for ip, seconds := range in.Facts.Skew {
		if max(seconds, -seconds) > limit+1 && (worst == "" || ip < worst) { // the answer's date is cut to seconds
			worst = ip
		}
	}
	if limit == 0 || worst == "" {
		return nil
	}
	ahead := in.Facts.Skew[worst]
	right := in.Facts.Now.Add(time.Duration(ahead) * time.Second)
	return conflict("clock-skew", fmt.Sprintf("this clock and that of %s are %d seconds apart", worst, max(ahead, -ahead)), "clock",
		fmt.Sprintf("more than %d seconds make new certificates look not yet valid", limit), "date -u -s '"+right.UTC().Format("2006-01-02 15:04:05")+"'")
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// foreignPackages are what other ways to install bring, by the package that shows it.
func foreignPackages() []string {
	return []string{"etcd", "etcd3", "kubeadm", "kubelet", "kubernetes-master", "kubernetes-node", "kubernetes-client", "flannel", "cri-o", "k3s-selinux", "rke2-server"}
}

// foreignUnits are services that run a cluster of their own.
func foreignUnits() []string {
	return []string{"k3s.service", "k3s-agent.service", "rke2-server.service", "rke2-agent.service", "k0scontroller.service", "k0sworker.service", "crio.service"}
}

// foreignFiles show a cluster that kubeadm made.
func foreignFiles() []string {
	return []string{"/etc/kubernetes/kubelet.conf", "/etc/kubernetes/admin.conf"}
}

func checkForeign(in *PreflightInput, _ *RoleInput) []Finding {
	var found []Finding
	const why = "two clusters on one host fight for its ports and its network"
	for _, name := range foreignPackages() {
		if version, ok := in.Facts.Packages[name]; ok {
			found = append(found, conflict("foreign-package", "the package "+name+" "+version+" is installed", "package "+name, why, "yum remove "+name)...)
		}
	}
	for _, name := range foreignUnits() {
		if u := in.Facts.Units[name]; u.Active == "active" || u.Active == "activating" {
			found = append(found, conflict("foreign-service", name+" is running", u.Path, why, "systemctl disable --now "+name)...)
		}
	}
	for _, path := range foreignFiles() {
		if _, ok := in.Facts.Files[path]; ok {
			found = append(found, conflict("foreign-kubeadm", "kubeadm has made this host part of a cluster", path, why, "kubeadm reset && rm -r /etc/kubernetes")...)
			break
		}
	}
	return found
}

// checkKernel warns of the kernel whose memory accounting of containers leaks; 3.10.0-1075 and later can turn it off.
// https://github.com/kubernetes/kubernetes/issues/61937
func checkKernel(in *PreflightInput, _ *RoleInput) []Finding {
	if !strings.HasPrefix(in.Facts.Kernel, "3.10.") || !wants(in, bundle.RoleNode) || kernelComes(in) {
		return nil
	}
	return warning("old-kernel", "the kernel is "+in.Facts.Kernel, "/proc/sys/kernel/osrelease",
		"its memory accounting for containers leaks: after weeks, pods fail with \"cannot allocate memory\"; the boot option takes effect at the next boot",
		"grubby --update-kernel=ALL --args=cgroup.memory=nokmem")
}

// checkSwapUnits warns of swap that neither fstab nor swapoff rules.
func checkSwapUnits(in *PreflightInput, _ *RoleInput) []Finding {
	if len(in.Facts.Swaps) == 0 || in.Facts.SwapLines > 0 {
		return nil
	}
	device := in.Facts.Swaps[0]
	unit := strings.ReplaceAll(strings.Trim(device, "/"), "/", "-") + ".swap"
	return warning("swap-returns", "swap is on "+device+", which /etc/fstab does not name", "/proc/swaps",
		"it is turned off now, but what turned it on may do so again at boot, and kubelet then refuses to start", "systemctl mask "+unit)
}

// wants reports whether one of the roles is being installed.
func wants(in *PreflightInput, role string) bool {
	return slices.ContainsFunc(in.Roles, func(r RoleInput) bool { return r.Index.Role == role })
}
