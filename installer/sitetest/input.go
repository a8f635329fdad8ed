package sitetest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"offgrid/bundle"
	"offgrid/bundle/hostpack"
	"offgrid/installer/hosttest"
)

// Cluster is the id of every bundle here.
const Cluster = "0123456789abcdef0123456789abcdef"

// roleInput collects what a bundle is written from.
type roleInput struct {
	t      testing.TB
	index  bundle.RoleIndex
	blobs  map[bundle.Digest][]byte
	images []bundle.ImageInput
}

func (s *Site) input(t testing.TB, role string) (bundle.Input, map[bundle.Digest][]byte) {
	t.Helper()
	r := &roleInput{t: t, blobs: map[bundle.Digest][]byte{}, index: bundle.RoleIndex{
		Format: bundle.Format, Role: role, Platform: bundle.Platform{OS: "linux", Arch: "amd64", Family: "el7"}, Hosts: s.Table,
		Cluster: bundle.Cluster{
			ID: Cluster, Name: "plant", Serial: s.stick.Serial, Lock: bundle.DigestOf([]byte("lock")), NotBefore: s.time.AddDate(0, -1, 0),
			APIServer: s.apiServer(), VIP: s.vip, ServiceCIDR: "10.0.0.0/24", PodCIDR: "10.244.0.0/16", DNSIP: "10.0.0.2", DNSDomain: "cluster.local", JoinCIDRs: []string{"20.0.9.0/24"},
			Policy: bundle.Policy{Firewall: "disable", SELinux: "disabled", DisableIPv6: true, NTPFallback: "20.0.0.100", MaxSkewSeconds: 2,
				EtcdDataDir: "/var/lib/etcd/default.etcd", SnapshotDir: "/data/backup", SnapshotKeep: 2, ProxyMode: "ipvs", KubeVersion: s.stick.Kube, EtcdVersion: s.stick.Etcd, DockerVersion: "20.10.24"},
		},
		Modules: []string{"br_netfilter"},
		Sysctls: []bundle.Setting{{Key: "net.bridge.bridge-nf-call-iptables", Value: "1"}, {Key: "net.ipv4.ip_forward", Value: "1"}},
	}}
	if s.vip != "" {
		r.index.Cluster.Policy.CNI, r.index.Cluster.Policy.CheckImage = "flannel", "docker.io/library/busybox:1.28.4"
	}
	r.text("/etc/modules-load.d/k8s.conf", "br_netfilter\n", "root")
	r.text("/etc/sysctl.d/k8s.conf", "net.ipv4.ip_forward = 1\n", "root")
	r.rpm("chrony", "chronyd.service")
	r.index.Units = append(r.index.Units, bundle.Unit{Name: "chronyd.service", Package: "chrony", Restarts: []string{"/etc/chrony.conf"}})
	if s.kernel != nil {
		r.kernel(*s.kernel)
	}
	switch role {
	case bundle.RoleEtcd:
		s.etcd(r)
	case bundle.RoleMaster:
		s.master(r)
	case bundle.RoleNode:
		s.nodeRole(r)
	case bundle.RoleLB:
		s.lb(r)
	}
	slices.SortFunc(r.index.Artifacts, func(a, b bundle.Artifact) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(r.index.Files, func(a, b bundle.File) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortFunc(r.index.Packages, func(a, b bundle.Package) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(r.index.Modules)
	slices.SortFunc(r.index.Dirs, func(a, b bundle.Dir) int { return cmp.Compare(a.Path, b.Path) })
	packs := map[string]bundle.PackInput{}
	for _, h := range s.Table {
		if slices.Contains(h.Roles, role) {
			packs[h.Name] = s.pack(t, role, h)
		}
	}
	if role == bundle.RoleNode {
		packs[bundle.JoinPack] = s.pack(t, role, bundle.Host{Name: bundle.JoinPack})
	}
	return bundle.Input{Role: r.index, Packs: packs, Images: r.images}, r.blobs
}

func (r *roleInput) artifact(name, kind, version string, data []byte) {
	var e encoded
	if kind == bundle.KindPackage {
		var stored bytes.Buffer
		blob, err := bundle.EncodeRaw(context.Background(), bytes.NewReader(data), &stored)
		must(r.t, err)
		e = encoded{blob, stored.Bytes()}
	} else {
		e = encode(r.t, data)
	}
	r.blobs[e.blob.Stored] = e.stored
	r.index.Artifacts = append(r.index.Artifacts, bundle.Artifact{Name: name, Version: version, Kind: kind, Source: "rendered", Vouched: "the test", Blob: e.blob})
}

func (r *roleInput) file(path, kind, version string, mode uint32, owner, content string) {
	name := "file" + path
	r.artifact(name, kind, version, []byte(content))
	r.index.Files = append(r.index.Files, bundle.File{Path: path, Mode: mode, Owner: owner, Group: owner, Artifact: name})
}

func (r *roleInput) text(path, content, owner string) {
	r.file(path, bundle.KindText, "", 0o644, owner, content)
}

func (r *roleInput) addon(name, content string) {
	path := "/opt/kubernetes/cfg/" + name + ".yaml"
	r.text(path, content, "root")
	r.index.Addons = append(r.index.Addons, bundle.Addon{Name: name, Path: path})
}

func (r *roleInput) programs(dir, version string, names ...string) {
	for _, name := range names {
		r.file(dir+"/"+name, bundle.KindProgram, version, 0o755, "root", program(name+" "+version))
		r.index.Links = append(r.index.Links, bundle.Link{Path: "/usr/local/bin/" + name, Target: dir + "/" + name})
	}
	slices.SortFunc(r.index.Links, func(a, b bundle.Link) int { return cmp.Compare(a.Path, b.Path) })
}

// program is content that does not shrink, always the same for a name.
func program(name string) string {
	var b strings.Builder
	for d := bundle.DigestOf([]byte(name)); b.Len() < 8<<10; d = bundle.DigestOf(d[:]) {
		b.Write(d[:])
	}
	return b.String()
}

func (r *roleInput) rpm(name string, units ...string) {
	r.rpmOf(hosttest.Package{Name: name, EVR: "1.0-1.el7", Arch: "x86_64", Units: units})
}

func (r *roleInput) rpmOf(p hosttest.Package) {
	name := p.Name
	file := name + "-" + p.EVR + ".x86_64.rpm"
	r.artifact(file, bundle.KindPackage, p.EVR, []byte(p.File()))
	version, release, _ := strings.Cut(p.EVR, "-")
	r.index.Packages = append(r.index.Packages, bundle.Package{Name: name, Version: version, Release: release, Arch: "x86_64", Artifact: file})
}

// kernel adds a kernel with its headers.
func (r *roleInput) kernel(k Kernel) {
	r.index.Cluster.Policy.KernelMode, r.index.Cluster.Policy.KernelRemove = k.Mode, k.Remove
	evr := strings.TrimSuffix(NewKernel, ".x86_64")
	version, release, _ := strings.Cut(evr, "-")
	if k.Modules == "" {
		k.Modules = "br_netfilter\nip_vs\nip_vs_rr\nsd_mod\nvirtio_net\nvirtio_pci\nxfs\n"
	}
	r.index.Kernel = &bundle.Kernel{Release: NewKernel, Modules: "kernel/modules"}
	r.artifact(r.index.Kernel.Modules, bundle.KindText, "", []byte(k.Modules))
	for _, p := range []hosttest.Package{{Name: "kernel-lt", Kernel: NewKernel}, {Name: "kernel-lt-devel"}} {
		p.EVR, p.Arch = evr, "x86_64"
		file := p.Name + "-" + evr + ".x86_64.rpm"
		r.artifact(file, bundle.KindPackage, evr, []byte(p.File()))
		r.index.Kernel.Packages = append(r.index.Kernel.Packages, bundle.Package{Name: p.Name, Version: version, Release: release, Arch: p.Arch, Artifact: file})
	}
}

func (r *roleInput) unit(name string, restarts ...string) {
	path := "/usr/lib/systemd/system/" + name
	r.text(path, "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n", "root")
	slices.Sort(restarts)
	r.index.Units = append(r.index.Units, bundle.Unit{Name: name, Restarts: restarts})
}

func (r *roleInput) dirs(owner string, keep string, paths ...string) {
	for _, p := range paths {
		r.index.Dirs = append(r.index.Dirs, bundle.Dir{Path: p, Mode: 0o755, Owner: owner, Group: owner, Keep: keep})
	}
}

func (s *Site) etcd(r *roleInput) {
	r.dirs("root", "", "/opt/etcd", "/opt/etcd/bin", "/opt/etcd/cfg")
	r.dirs("etcd", "", "/opt/etcd/ssl")
	r.dirs("etcd", "data", "/var/lib/etcd", "/var/lib/etcd/default.etcd")
	r.programs("/opt/etcd/bin", s.stick.Etcd, "etcd", "etcdctl")
	r.text("/opt/etcd/ssl/ca.pem", string(s.trusted(s.pki.etcd, s.pki.nextEtcd)), "etcd")
	r.unit("etcd.service", "/opt/etcd/bin/etcd", "/opt/etcd/cfg/etcd", "/opt/etcd/ssl/server.pem")
	r.index.Checks = []bundle.Check{{Unit: "etcd.service", URL: "http://127.0.0.1:2381/health", TimeoutSeconds: 1}}
}

func (r *roleInput) kubernetes(ca []byte) {
	r.dirs("root", "", "/opt/kubernetes", "/opt/kubernetes/bin", "/opt/kubernetes/cfg", "/opt/kubernetes/logs", "/opt/kubernetes/ssl")
	r.text("/opt/kubernetes/ssl/ca.pem", string(ca), "root")
}

func (s *Site) master(r *roleInput) {
	r.kubernetes(s.trusted(s.pki.kube, s.pki.nextKube))
	r.dirs("root", "empty", "/root/.kube")
	r.programs("/opt/kubernetes/bin", s.stick.Kube, "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
	r.text("/opt/kubernetes/ssl/etcd-ca.pem", string(s.trusted(s.pki.etcd, s.pki.nextEtcd)), "root")
	r.addon("cluster-jobs", "kind: ClusterRoleBinding\n")
	if s.vip != "" {
		r.addon("flannel", "kind: DaemonSet\n")
		r.addon("coredns", "kind: Deployment\n")
	}
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		r.unit(name+".service", "/opt/kubernetes/bin/"+name, "/opt/kubernetes/cfg/"+name)
	}
	r.index.Checks = []bundle.Check{
		{Unit: "kube-controller-manager.service", URL: "https://127.0.0.1:10257/healthz", TimeoutSeconds: 1},
		{Unit: "kube-scheduler.service", URL: "https://127.0.0.1:10259/healthz", TimeoutSeconds: 1},
	}
}

func (s *Site) nodeRole(r *roleInput) {
	r.kubernetes(s.trusted(s.pki.kube, s.pki.nextKube))
	r.dirs("root", "empty", "/etc/docker")
	r.dirs("root", "", "/var/lib/kubelet")
	r.dirs("root", "data", "/var/lib/docker")
	r.programs("/opt/kubernetes/bin", s.stick.Kube, "kube-proxy", "kubelet")
	r.index.Modules = append(r.index.Modules, "ip_vs", "ip_vs_rr")
	if s.vip != "" {
		r.dirs("root", "", "/opt/cni", "/opt/cni/bin")
		for _, name := range []string{"bridge", "flannel", "host-local", "loopback", "portmap"} {
			r.file("/opt/cni/bin/"+name, bundle.KindProgram, "v0.8.7", 0o755, "root", program(name))
		}
	}
	r.index.Sysctls = append([]bundle.Setting{{Key: "kernel.panic", Value: "10"}}, r.index.Sysctls...)
	r.text("/etc/docker/daemon.json", `{"exec-opts": ["native.cgroupdriver=systemd"], "log-driver": "json-file"}`, "root")
	r.text("/opt/kubernetes/cfg/kubelet.config", "cgroupDriver: systemd\n", "root")
	r.rpmOf(hosttest.Package{Name: "docker-ce", EVR: s.stick.docker(), Arch: "x86_64", Units: []string{"docker.service"}})
	r.index.Units = append(r.index.Units, bundle.Unit{Name: "docker.service", Package: "docker-ce", Restarts: []string{"/etc/docker/daemon.json"}})
	r.unit("kubelet.service", "/opt/kubernetes/bin/kubelet", "/opt/kubernetes/cfg/kubelet.config", "/opt/kubernetes/cfg/bootstrap.kubeconfig")
	r.unit("kube-proxy.service", "/opt/kubernetes/bin/kube-proxy")
	s.images(r)
	r.index.Checks = []bundle.Check{{Unit: "kubelet.service", URL: "http://127.0.0.1:10248/healthz", TimeoutSeconds: 1}}
}

// pack makes a host's pack as a build does.
func (s *Site) pack(t testing.TB, role string, h bundle.Host) bundle.PackInput {
	t.Helper()
	p := &hostpack.Pack{Format: bundle.Format, Cluster: Cluster, Role: role, Host: h.Name, IP: h.IP}
	add := func(path string, mode uint32, owner string, secret bool, data []byte) {
		p.Files = append(p.Files, hostpack.File{Path: path, Mode: mode, Owner: owner, Group: owner, Secret: secret, Data: data})
	}
	pair := func(base, owner string, c *cert) {
		add(base+".pem", 0o644, owner, false, c.pem)
		add(base+"-key.pem", 0o600, owner, true, c.keyPEM)
	}
	add("/etc/chrony.conf", 0o644, "root", false, []byte("server 20.0.0.100 iburst\n"))
	switch role {
	case bundle.RoleEtcd:
		add("/opt/etcd/cfg/etcd", 0o644, "root", false, fmt.Appendf(nil, "ETCD_NAME=%s\n", h.EtcdName))
		pair("/opt/etcd/ssl/server", "etcd", s.pki.server(t, s.signer(s.pki.etcd, s.pki.nextEtcd), "etcd-server-"+h.EtcdName))
		pair("/opt/etcd/ssl/admin", "root", s.pki.client(t, s.signer(s.pki.etcd, s.pki.nextEtcd), "etcd-admin"))
	case bundle.RoleMaster:
		for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
			add("/opt/kubernetes/cfg/"+name, 0o644, "root", false, []byte(name+" --port=10251\n"))
		}
		pair("/opt/kubernetes/ssl/apiserver", "root", s.pki.server(t, s.signer(s.pki.kube, s.pki.nextKube), "kube-apiserver"))
		pair("/opt/kubernetes/ssl/apiserver-etcd-client", "root", s.pki.client(t, s.signer(s.pki.etcd, s.pki.nextEtcd), "kube-apiserver-etcd-client"))
		add("/root/.kube/config", 0o600, "root", true, kubeconfig(s.trusted(s.pki.kube, s.pki.nextKube), s.adminServer(h), s.pki.client(t, s.signer(s.pki.kube, s.pki.nextKube), "kubernetes-admin"), ""))
		p.Token = &hostpack.Token{ID: "abcdef", Secret: "0123456789abcdef", TTLSeconds: 2592000}
	case bundle.RoleNode:
		if h.Name == bundle.JoinPack {
			p.Files = append(p.Files, hostpack.File{Path: "/opt/kubernetes/cfg/kubelet", Mode: 0o644, Owner: "root", Group: "root", Fill: true,
				Data: []byte("--hostname-override={{NAME}} --node-ip={{IP}}\n")})
			add("/opt/kubernetes/cfg/bootstrap.kubeconfig", 0o600, "root", true, kubeconfig(s.trusted(s.pki.kube, s.pki.nextKube), s.apiServer(), nil, "abcdef.0123456789abcdef"))
			break
		}
		pair("/opt/kubernetes/ssl/kubelet-server", "root", s.pki.server(t, s.signer(s.pki.kube, s.pki.nextKube), "system:node:"+h.NodeName))
		add("/opt/kubernetes/cfg/bootstrap.kubeconfig", 0o600, "root", true, kubeconfig(s.trusted(s.pki.kube, s.pki.nextKube), s.apiServer(), nil, "abcdef.0123456789abcdef"))
	case bundle.RoleLB:
		p.Files = append(p.Files, keepalived())
	}
	slices.SortFunc(p.Files, func(a, b hostpack.File) int { return cmp.Compare(a.Path, b.Path) })
	return s.seal(t, p)
}
