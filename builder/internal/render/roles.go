package render

import (
	"path"
	"slices"

	"offgrid/builder/cluster"
	"offgrid/builder/internal/pki"
	"offgrid/bundle"
)

const (
	etcdDir = "/opt/etcd"
	kubeDir = "/opt/kubernetes"
	kubeCfg = kubeDir + "/cfg"
	kubeSSL = kubeDir + "/ssl"
	kubeCA  = kubeSSL + "/ca.pem"
	// tokenCSV is where the tutorial's API servers find the token of nodes.
	tokenCSV = kubeCfg + "/token.csv"
)

// seed reports whether the tutorial's way is wanted.
func (r *renderer) seed() bool { return r.req.Cluster.Security.Profile == cluster.ProfileSeed }

// common is what every role needs of a host. Two roles on one host place the same bytes at the same paths.
func (r *renderer) common(role *Role) {
	role.Units = append(role.Units, bundle.Unit{Name: "chronyd.service", Package: "chrony", Restarts: []string{"/etc/chrony.conf"}})
	if r.req.Cluster.OS.IPv6 == "disable" {
		role.Sysctls = append(role.Sysctls, bundle.Setting{Key: "net.ipv6.conf.all.disable_ipv6", Value: "1"})
	}
	if role.Name == bundle.RoleLB {
		return // nothing is forwarded there
	}
	role.Modules = append(role.Modules, "br_netfilter")
	for _, s := range []bundle.Setting{
		{Key: "net.bridge.bridge-nf-call-ip6tables", Value: "1"},
		{Key: "net.bridge.bridge-nf-call-iptables", Value: "1"},
		{Key: "net.ipv4.ip_forward", Value: "1"},
	} {
		role.Sysctls = append(role.Sysctls, s)
	}
	role.Texts = append(role.Texts,
		r.text("host/k8s-sysctl.conf", "/etc/sysctl.d/k8s.conf", 0o644),
		r.text("host/k8s-modules.conf", "/etc/modules-load.d/k8s.conf", 0o644))
}

func (r *renderer) etcd(role *Role) {
	data := r.req.Cluster.Etcd.DataDir
	role.Dirs = append(role.Dirs,
		dir(etcdDir, 0o755), dir(etcdDir+"/bin", 0o755), dir(etcdDir+"/cfg", 0o755),
		// etcd runs as a user of its own and reads its keys from here.
		bundle.Dir{Path: etcdDir + "/ssl", Mode: 0o700, Owner: "etcd", Group: "etcd"},
		bundle.Dir{Path: data, Mode: 0o700, Owner: "etcd", Group: "etcd", Keep: "data"},
	)
	role.Dirs = append(role.Dirs, parents(data)...)
	role.Links = append(role.Links, links(etcdDir+"/bin", "etcd", "etcdctl")...)
	role.Texts = append(role.Texts, r.unit("etcd/etcd.service"), r.plain(etcdDir+"/ssl/ca.pem", r.req.PKI.Trust(pki.CAEtcd), "etcd"))
	restarts := []string{etcdDir + "/bin/etcd", etcdDir + "/cfg/etcd", etcdDir + "/ssl/ca.pem", etcdDir + "/ssl/server.pem", etcdDir + "/ssl/server-key.pem"}
	if !r.seed() {
		restarts = append(restarts, etcdDir+"/ssl/peer.pem", etcdDir+"/ssl/peer-key.pem")
	}
	role.Units = append(role.Units, bundle.Unit{Name: "etcd.service", Restarts: restarts})
	role.Checks = append(role.Checks, bundle.Check{Unit: "etcd.service", URL: "http://127.0.0.1:2381/health", TimeoutSeconds: 60})
	r.snapshots(role)
}

// kubernetes is what masters and nodes share.
func (r *renderer) kubernetes(role *Role) {
	role.Dirs = append(role.Dirs, dir(kubeDir, 0o755), dir(kubeDir+"/bin", 0o755), dir(kubeCfg, 0o755), dir(kubeSSL, 0o700), dir(kubeDir+"/logs", 0o700))
	role.Texts = append(role.Texts,
		r.text("host/tmpfiles.conf", "/usr/lib/tmpfiles.d/offgrid-kubernetes.conf", 0o644),
		r.plain(kubeCA, r.req.PKI.Trust(pki.CAKubernetes), "root"))
}

func (r *renderer) master(role *Role) {
	r.kubernetes(role)
	// kube-controller-manager makes the last one for volume plugins.
	role.Dirs = append(role.Dirs, bundle.Dir{Path: "/root/.kube", Mode: 0o700, Owner: "root", Group: "root", Keep: "empty"}, dir("/usr/libexec/kubernetes", 0o755))
	role.Links = append(role.Links, links(kubeDir+"/bin", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")...)
	role.Texts = append(role.Texts,
		r.unit("master/kube-apiserver.service"), r.unit("master/kube-controller-manager.service"), r.unit("master/kube-scheduler.service"),
		r.text("master/cluster-jobs.yaml", kubeCfg+"/cluster-jobs.yaml", 0o644),
		r.plain(kubeSSL+"/etcd-ca.pem", r.req.PKI.Trust(pki.CAEtcd), "root"),
		r.plain(kubeSSL+"/front-proxy-ca.pem", r.req.PKI.Trust(pki.CAFrontProxy), "root"),
		// The controller manager refuses a file with more than one; while authorities change, the others trust two.
		r.plain(kubeSSL+"/signing-ca.pem", r.req.PKI.CA(pki.CAKubernetes).Cert, "root"),
		r.plain(kubeSSL+"/sa.pub", r.req.PKI.ServicePub, "root"))
	api := []string{kubeDir + "/bin/kube-apiserver", kubeCfg + "/kube-apiserver", kubeCA, kubeSSL + "/etcd-ca.pem",
		kubeSSL + "/front-proxy-ca.pem", kubeSSL + "/sa.pub", kubeSSL + "/sa.key"}
	for _, name := range apiServerPairs() {
		api = append(api, kubeSSL+"/"+name+".pem", kubeSSL+"/"+name+"-key.pem")
	}
	if r.seed() {
		api = append(api, tokenCSV)
	}
	if r.req.Cluster.Security.EncryptionAtRest {
		api = append(api, kubeCfg+"/encryption.yaml")
	}
	if r.req.Cluster.Security.Audit {
		role.Texts = append(role.Texts, r.text("master/audit-policy.yaml", kubeCfg+"/audit-policy.yaml", 0o600))
		api = append(api, kubeCfg+"/audit-policy.yaml")
	}
	role.Units = append(role.Units,
		bundle.Unit{Name: "kube-apiserver.service", Restarts: api},
		bundle.Unit{Name: "kube-controller-manager.service", Restarts: []string{kubeDir + "/bin/kube-controller-manager", kubeCfg + "/kube-controller-manager",
			kubeCfg + "/kube-controller-manager.kubeconfig", kubeCA, kubeSSL + "/signing-ca.pem", kubeSSL + "/ca-key.pem", kubeSSL + "/front-proxy-ca.pem", kubeSSL + "/sa.key"}},
		bundle.Unit{Name: "kube-scheduler.service", Restarts: []string{kubeDir + "/bin/kube-scheduler", kubeCfg + "/kube-scheduler",
			kubeCfg + "/kube-scheduler.kubeconfig", kubeCA}})
	r.podRoutes(role)
	r.addons(role)
	// Both answer /healthz to everybody, with certificates that they make for themselves. The API server answers nobody
	// without a certificate (anonymous-auth=false), so it has no check here: who waits for it has one.
	role.Checks = append(role.Checks,
		bundle.Check{Unit: "kube-controller-manager.service", URL: "https://127.0.0.1:10257/healthz", TimeoutSeconds: 60},
		bundle.Check{Unit: "kube-scheduler.service", URL: "https://127.0.0.1:10259/healthz", TimeoutSeconds: 60})
}

// apiServerPairs are the key pairs that the API server reads from files.
func apiServerPairs() []string {
	return []string{pki.APIServer, pki.APIServerEtcd, pki.APIServerKubelet, pki.FrontProxyClient}
}

func (r *renderer) node(role *Role) {
	r.kubernetes(role)
	// Also those that kubelet and the network's programs make for themselves, so that an uninstall takes them away.
	for _, p := range []string{"/etc/cni", "/etc/cni/net.d", "/etc/docker", "/opt/cni", "/opt/cni/bin", "/usr/libexec/kubernetes",
		"/var/lib/cni", "/var/lib/dockershim", "/var/lib/kubelet", "/var/log/containers", "/var/log/pods"} {
		role.Dirs = append(role.Dirs, dir(p, 0o755))
	}
	if r.req.Cluster.Network.CNI == cluster.CNICalico {
		role.Dirs = append(role.Dirs, dir("/var/lib/calico", 0o755), dir("/var/log/calico", 0o755))
	}
	// containerd makes these when it first starts; /etc/containerd is its package's, which may have files in it. The last two
	// modes are what the daemons set themselves: containerd from 1.4.11 on (CVE-2021-41103), dockerd from 20.10.9 on
	// (CVE-2021-41091).
	role.Dirs = append(role.Dirs,
		bundle.Dir{Path: "/etc/containerd", Mode: 0o755, Owner: "root", Group: "root", Keep: "empty"},
		bundle.Dir{Path: "/opt/containerd", Mode: 0o711, Owner: "root", Group: "root"},
		bundle.Dir{Path: "/var/lib/containerd", Mode: 0o700, Owner: "root", Group: "root", Keep: "data"},
		bundle.Dir{Path: "/var/lib/docker", Mode: 0o710, Owner: "root", Group: "root", Keep: "data"})
	role.Links = append(role.Links, links(kubeDir+"/bin", "kube-proxy", "kubelet")...)
	role.Modules = append(role.Modules, "overlay")
	for _, s := range []bundle.Setting{{Key: "kernel.keys.root_maxbytes", Value: "25000000"}, {Key: "kernel.keys.root_maxkeys", Value: "1000000"},
		{Key: "kernel.panic", Value: "10"}, {Key: "kernel.panic_on_oops", Value: "1"}, {Key: "vm.overcommit_memory", Value: "1"}, {Key: "vm.panic_on_oom", Value: "0"}} {
		role.Sysctls = append(role.Sysctls, s)
	}
	role.Texts = append(role.Texts,
		r.text("node/k8s-node-sysctl.conf", "/etc/sysctl.d/k8s-node.conf", 0o644),
		r.text("node/k8s-node-modules.conf", "/etc/modules-load.d/k8s-node.conf", 0o644),
		r.text("node/daemon.json", "/etc/docker/daemon.json", 0o644),
		r.text("node/kubelet-certificates", kubeDir+"/bin/kubelet-certificates", 0o755),
		r.unit("node/kubelet.service"), r.unit("node/kube-proxy.service"),
		r.text("node/kube-proxy", kubeCfg+"/kube-proxy", 0o644))
	if r.req.Cluster.Network.ProxyMode == "ipvs" {
		role.Modules = append(role.Modules, "ip_vs", "ip_vs_rr", "ip_vs_sh", "ip_vs_wrr", "nf_conntrack")
		role.Texts = append(role.Texts, r.text("node/ipvs-modules.conf", "/etc/modules-load.d/ipvs.conf", 0o644))
	}
	role.Units = append(role.Units,
		bundle.Unit{Name: "containerd.service", Package: "containerd.io", Restarts: []string{}},
		bundle.Unit{Name: "docker.service", Package: "docker-ce", Restarts: []string{"/etc/docker/daemon.json"}},
		bundle.Unit{Name: "kubelet.service", Restarts: []string{kubeDir + "/bin/kubelet", kubeCfg + "/kubelet", kubeCfg + "/kubelet.config",
			kubeCfg + "/bootstrap.kubeconfig", kubeCA, kubeSSL + "/kubelet-server.pem", kubeSSL + "/kubelet-server-key.pem"}},
		bundle.Unit{Name: "kube-proxy.service", Restarts: []string{kubeDir + "/bin/kube-proxy", kubeCfg + "/kube-proxy", kubeCfg + "/kube-proxy.config", kubeCfg + "/kube-proxy.kubeconfig"}})
	role.Checks = append(role.Checks,
		bundle.Check{Unit: "kubelet.service", URL: "http://127.0.0.1:10248/healthz", TimeoutSeconds: 60},
		bundle.Check{Unit: "kube-proxy.service", URL: "http://127.0.0.1:10256/healthz", TimeoutSeconds: 60})
	if r.req.Cluster.Images.Registry == "" {
		r.timer(role, "node/offgrid-images")
	}
	r.registryCA(role)
}

// registryCA lets docker trust the site's registry. docker reads the file whenever it connects.
func (r *renderer) registryCA(role *Role) {
	if r.req.RegistryCA == nil {
		return
	}
	const all = "/etc/docker/certs.d"
	own := path.Join(all, r.req.Cluster.RegistryHost())
	role.Dirs = append(role.Dirs, dir(all, 0o755), dir(own, 0o755))
	role.Texts = append(role.Texts, r.plain(path.Join(own, "ca.crt"), r.req.RegistryCA, "root"))
}

// parents are the directories above etcd's data that may have to be made. The usual one belongs to etcd alone.
func parents(data string) []bundle.Dir {
	var out []bundle.Dir
	for p := path.Dir(data); !slices.Contains([]string{"/", "/home", "/mnt", "/opt", "/srv", "/var", "/var/lib"}, p); p = path.Dir(p) {
		if p == "/var/lib/etcd" {
			out = append(out, bundle.Dir{Path: p, Mode: 0o700, Owner: "etcd", Group: "etcd", Keep: "data"})
			continue
		}
		out = append(out, bundle.Dir{Path: p, Mode: 0o755, Owner: "root", Group: "root", Keep: "empty"})
	}
	return out
}

func dir(p string, mode uint32) bundle.Dir {
	return bundle.Dir{Path: p, Mode: mode, Owner: "root", Group: "root"}
}

// links makes the programs of dir callable without their path.
func links(dir string, names ...string) []bundle.Link {
	var out []bundle.Link
	for _, name := range names {
		out = append(out, bundle.Link{Path: "/usr/local/bin/" + name, Target: dir + "/" + name})
	}
	return out
}
