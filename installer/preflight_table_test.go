package installer

import (
	"crypto/x509"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"offgrid/bundle"
	"offgrid/bundle/hostpack"
	"offgrid/installer/host"
)

// preflightCase is a host, or a bundle, that is made wrong in one way.
type preflightCase struct {
	name string
	role string
	ip   string // "" means the role's usual host
	make func(t *testing.T, ca *pfCA, in *PreflightInput)
	want []string // IDs, sorted
	text string   // stands in the first finding
	fix  string   // its fix
}

func hostCases() []preflightCase {
	return []preflightCase{
		{name: "not root", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.UID = 1000 },
			want: []string{"not-root"}, fix: "sudo ./install --role etcd --ip 20.0.0.100"},
		{name: "wrong architecture", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.Arch = "arm64" },
			want: []string{"wrong-arch"}, text: "for amd64, this host is arm64"},
		{name: "wrong system", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.OS = OSRelease{ID: "ubuntu", VersionID: "22.04", Name: "Ubuntu 22.04"}
		}, want: []string{"wrong-os"}, text: "Ubuntu 22.04"},
		{name: "right system, wrong major version", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.OS.VersionID = "8" },
			want: []string{"wrong-os"}},
		{name: "a bundle whose packs are not sealed", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Roles[0].Plain = true },
			want: []string{"pack-plain"}, text: "are not sealed"},
		{name: "no address", role: "etcd", ip: "twenty", want: []string{"bad-ip"}},
		{name: "address of another host", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Addresses[1].Prefix = netip.MustParsePrefix("20.0.0.103/24")
		}, want: []string{"ip-not-here"}, text: "20.0.0.100 is not an address of this host", fix: "./install --role etcd --ip 20.0.0.103"},
		{name: "address inside the pod network", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Addresses[1].Interface = "cni0"
		}, want: []string{"ip-inside"}},
		{name: "address that is planned as something else", role: "etcd", ip: "20.0.0.101", want: []string{"other-role"},
			text: "20.0.0.101 (master02) is planned as master, not as etcd", fix: "./install --role master --ip 20.0.0.101"},
		{name: "address that is not planned", role: "etcd", ip: "20.0.0.109", want: []string{"not-planned"}, fix: "add 20.0.0.109 to cluster.yaml, then: bundle build"},
		{name: "node that may join", role: "node", ip: "20.0.0.109", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Roles[0].Index.Cluster.JoinCIDRs = []string{"20.0.0.0/24"}
		}, want: []string{"no-join-pack"}},
		{name: "bundle of another role", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Want.Roles = []string{"master"} },
			want: []string{"wrong-bundle"}, fix: "./install --role etcd --ip 20.0.0.100"},
		{name: "other cluster on the host", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Previous.Clusters = map[string]string{"etcd": "beef"}
		}, want: []string{"other-cluster"}, fix: "./install uninstall --role etcd"},
		{name: "two clusters in one run", role: "etcd", make: func(t *testing.T, ca *pfCA, in *PreflightInput) {
			in.Want.Roles = []string{"etcd", "master"}
			in.Roles = append(in.Roles, pfRole(t, ca, "master", in.Want.IP))
			in.Roles[1].Index.Cluster.ID, in.Roles[1].Pack.Cluster = "beef", "beef"
		}, want: []string{"two-clusters"}},
		{name: "foreign package", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.Packages["kubelet"] = "1.19.0-0" },
			want: []string{"foreign-package"}, fix: "yum remove kubelet"},
		{name: "foreign service", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Units["k3s.service"] = host.Unit{Load: "loaded", Active: "active", Path: "/etc/systemd/system/k3s.service"}
		}, want: []string{"foreign-service"}, fix: "systemctl disable --now k3s.service"},
		{name: "kubeadm", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.Files["/etc/kubernetes/kubelet.conf"] = 10 },
			want: []string{"foreign-kubeadm"}},
		{name: "unit elsewhere", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Units["etcd.service"] = host.Unit{Load: "loaded", Path: "/etc/systemd/system/etcd.service"}
		}, want: []string{"unit-elsewhere"}, fix: "mv /etc/systemd/system/etcd.service /root/ && systemctl daemon-reload"},
		{name: "unit masked", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Units["docker.service"] = host.Unit{Load: "masked"}
		},
			want: []string{"unit-masked"}, fix: "systemctl unmask docker.service"},
		{name: "old kernel", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.Kernel = "3.10.0-1160.el7.x86_64" },
			want: []string{"old-kernel"}, fix: "grubby --update-kernel=ALL --args=cgroup.memory=nokmem"},
		{name: "swap without fstab", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.Swaps = []string{"/dev/zram0"} },
			want: []string{"swap-returns"}, fix: "systemctl mask dev-zram0.swap"},
		{name: "small host", role: "master", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.CPUs, in.Facts.Memory = 1, 512<<20 },
			want: []string{"few-cpus", "little-memory"}},
	}
}

func clockAndSpaceCases() []preflightCase {
	return []preflightCase{
		{name: "clock before the bundle", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Roles[0].Index.Cluster.NotBefore = pfNow().Add(48 * time.Hour)
		}, want: []string{"clock-behind"}, text: "the clock says 2026-03-01 12:00:00 UTC", fix: "date -u -s '2026-03-03 12:01:00'"},
		{name: "clock before a certificate", role: "etcd", make: func(t *testing.T, ca *pfCA, in *PreflightInput) {
			pfLeaf(t, ca, in, func(c *x509.Certificate) { c.NotBefore = pfNow().Add(time.Hour) })
		}, want: []string{"clock-behind"}, text: "/opt/etcd/ssl/server.pem is not valid before 2026-03-01 13:00:00 UTC"},
		{name: "clock apart from a master's", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Skew = map[string]int64{"20.0.0.100": -400, "20.0.0.101": 1}
		}, want: []string{"clock-skew"}, fix: "date -u -s '2026-03-01 11:53:20'"},
		{name: "clock within the limit", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Skew = map[string]int64{"20.0.0.100": -3}
		}},
		{name: "no space", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.Mounts[0].Free = 100 << 20 },
			want: []string{"no-space"}, text: "/ has 100 MiB free, 304 MiB is needed"},
		{name: "no space below /var alone", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Mounts = append(in.Facts.Mounts, Mount{Path: "/var", Type: "xfs", Options: []string{"rw"}, Free: 50 << 20})
		}, want: []string{"no-space"}, text: "/var has 50 MiB free, 94 MiB is needed"},
		{name: "little space, but the files are there already", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Mounts[0].Free = 95 << 20
			in.Facts.Files["/opt/etcd/bin/etcd"] = 20 << 20
		}},
		{name: "noexec", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Mounts = append(in.Facts.Mounts, Mount{Path: "/var", Type: "xfs", Options: []string{"rw", "noexec"}, Free: 1 << 40})
		}, want: []string{"noexec"}, text: "/var is mounted noexec"},
		{name: "read-only", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Mounts = append(in.Facts.Mounts, Mount{Path: "/usr", Type: "xfs", Options: []string{"ro"}, Free: 1 << 40})
		}, want: []string{"read-only"}, fix: "mount -o remount,rw /usr"},
		{name: "xfs without ftype", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.Mounts[0].NoFType = true },
			want: []string{"xfs-ftype"}},
	}
}

func networkCases() []preflightCase {
	return []preflightCase{
		{name: "port busy", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Listeners = []Listener{{Port: 2379, Process: "nginx", PID: 812, Program: "/usr/sbin/nginx"}, {Port: 22, Process: "sshd", PID: 1}}
		}, want: []string{"port-busy"}, text: "process nginx, pid 812, /usr/sbin/nginx"},
		{name: "another etcd on the port", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Listeners = []Listener{{Port: 2379, Process: "etcd", PID: 812, Program: "/usr/bin/etcd"}}
		}, want: []string{"port-busy"}},
		{name: "our own etcd on the port", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Listeners = []Listener{{Port: 2379, Process: "etcd", PID: 812, Program: "/opt/etcd/bin/etcd"}}
		}},
		{name: "API port busy", role: "master", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.Listeners = []Listener{{Port: 6443}} },
			want: []string{"port-busy"}, text: "kube-apiserver listens there"},
		{name: "kubelet port busy", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.Listeners = []Listener{{Port: 10250}} },
			want: []string{"port-busy"}},
		{name: "route over the pod network", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Routes = append(in.Facts.Routes, Route{"eth1", netip.MustParsePrefix("10.0.0.0/8")})
		}, want: []string{"network-overlap"}, text: "route 10.0.0.0/8 on eth1"},
		{name: "our own routes", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Routes = append(in.Facts.Routes, Route{"eth0", netip.MustParsePrefix("10.244.1.0/24")})
			in.Previous.Clusters = map[string]string{"node": "c0ffee"}
		}},
		{name: "a master's own routes", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Routes = append(in.Facts.Routes, Route{"eth0", netip.MustParsePrefix("10.244.1.0/24")})
			in.Previous.Clusters = map[string]string{"master": "c0ffee"}
		}},
		{name: "modules missing", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Modules = map[string]bool{"br_netfilter": false, "ip_vs": false, "ip_vs_rr": true}
		}, want: []string{"ipvs-missing", "module-missing"}, text: "br_netfilter"},
		{name: "ip_vs missing", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.Modules["ip_vs"] = false },
			want: []string{"ipvs-missing"}, fix: "set network.proxyMode: iptables in cluster.yaml, then: bundle build"},
		{name: "ipset missing", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.Commands = nil }, want: []string{"ipset-missing"}},
		{name: "docker too new", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.Docker = "26.1.4" },
			want: []string{"docker-new"}, fix: "yum remove docker-ce docker-ce-cli"},
		{name: "docker too new in the bundle", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Roles[0].Index.Cluster.Policy.DockerVersion = "25.0.1"
		}, want: []string{"docker-bundle-new"}},
		{name: "podman", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.Packages["podman"] = "1.6.4-36.el7_9" },
			want: []string{"container-tool"}, fix: "yum remove podman"},
		{name: "docker-io", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.Packages["docker-io"] = "1.7" },
			want: []string{"container-tool"}},
		{name: "etcd data", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.EtcdData = []string{"member"} },
			want: []string{"etcd-data"}, fix: "mv /var/lib/etcd/default.etcd /var/lib/etcd/default.etcd.before"},
		{name: "etcd data of this cluster", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.EtcdData = []string{"member"}
			in.Previous.Data = map[string]string{"/var/lib/etcd/default.etcd": "c0ffee"}
		}},
	}
}

func bundleCases() []preflightCase {
	return []preflightCase{
		{name: "no pack", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Roles[0].Pack = nil }, want: []string{"no-pack"}},
		{name: "pack of another host", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Roles[0].Pack.IP = "20.0.0.103" },
			want: []string{"wrong-pack"}},
		{name: "certificate without clientAuth", role: "etcd", make: func(t *testing.T, ca *pfCA, in *PreflightInput) {
			pfLeaf(t, ca, in, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
		}, want: []string{"certificate-usage"}, text: "tls: bad certificate"},
		{name: "certificate without the address", role: "etcd", make: func(t *testing.T, ca *pfCA, in *PreflightInput) {
			pfLeaf(t, ca, in, func(c *x509.Certificate) { c.IPAddresses = c.IPAddresses[1:] })
		}, want: []string{"certificate-address"}, text: "/opt/etcd/ssl/server.pem is not for 20.0.0.100"},
		{name: "certificate without the endpoint", role: "master", ip: "20.0.0.101", make: func(t *testing.T, ca *pfCA, in *PreflightInput) {
			pfLeaf(t, ca, in, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP("20.0.0.101")} })
		}, want: []string{"certificate-endpoint"}, text: "is not for 20.0.0.100"},
		{name: "certificate expired", role: "etcd", make: func(t *testing.T, ca *pfCA, in *PreflightInput) {
			pfLeaf(t, ca, in, func(c *x509.Certificate) { c.NotAfter = pfNow().Add(-time.Minute) })
		}, want: []string{"certificate-expired"}, text: "/opt/etcd/ssl/server.pem expired at 2026-03-01 11:59:00 UTC",
			fix: "if the clock is right, on the machine with internet: bundle pki renew && bundle build   (else: date -u -s 'YYYY-MM-DD HH:MM:SS')"},
		{name: "certificate that ends soon", role: "etcd", make: func(t *testing.T, ca *pfCA, in *PreflightInput) {
			pfLeaf(t, ca, in, func(c *x509.Certificate) { c.NotAfter = pfNow().AddDate(0, 0, 89) })
		}, want: []string{"certificate-ends"}, text: "1 of the certificates in the bundle end within 90 days, the first at 2026-05-29 12:00:00 UTC",
			fix: "on the machine with internet: bundle pki renew --expiring 90 && bundle build --renewal"},
		{name: "certificate that does not end soon", role: "etcd", make: func(t *testing.T, ca *pfCA, in *PreflightInput) {
			pfLeaf(t, ca, in, func(c *x509.Certificate) { c.NotAfter = pfNow().AddDate(0, 0, 91) })
		}},
		{name: "kubeconfig whose certificate expired", role: "node", make: func(t *testing.T, ca *pfCA, in *PreflightInput) {
			pfKubeconfig(t, ca, in, func(c *x509.Certificate) { c.NotAfter = pfNow().Add(-time.Minute) })
		}, want: []string{"certificate-expired"}, text: "/opt/kubernetes/cfg/kube-proxy.kubeconfig expired"},
		{name: "kubeconfig whose certificate is not valid yet", role: "node", make: func(t *testing.T, ca *pfCA, in *PreflightInput) {
			pfKubeconfig(t, ca, in, func(c *x509.Certificate) { c.NotBefore = pfNow().Add(2 * time.Hour) })
		}, want: []string{"clock-behind"}, text: "the clock says 2026-03-01 12:00:00 UTC", fix: "date -u -s '2026-03-01 14:01:00'"},
		{name: "certificate of another authority", role: "etcd", make: func(t *testing.T, _ *pfCA, in *PreflightInput) { pfLeaf(t, newPFCA(t), in, nil) },
			want: []string{"certificate-chain"}},
		{name: "key of another certificate", role: "etcd", make: func(t *testing.T, ca *pfCA, in *PreflightInput) {
			_, key := ca.leaf(t, nil)
			pfPackFile(in, "server-key.pem", string(key))
		}, want: []string{"certificate-key"}},
		{name: "setting as a flag and in the settings file", role: "etcd", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Roles[0].Texts["/usr/lib/systemd/system/etcd.service"] = []byte("ExecStart=/opt/etcd/bin/etcd --name=etcd01\n")
		}, want: []string{"etcd-twins"}, text: "--name"},
		{name: "token of another form", role: "master", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Roles[0].Pack.Token.Secret = "" },
			want: []string{"token-form"}},
		{name: "node's token of another form", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			pfPackFile(in, "bootstrap.kubeconfig", "server: https://20.0.0.100:6443\ntoken: \"\"\n")
		}, want: []string{"token-form"}},
		{name: "tokens that differ", role: "node", make: func(t *testing.T, ca *pfCA, in *PreflightInput) {
			in.Roles = append(in.Roles, pfRole(t, ca, "master", in.Want.IP))
			in.Want.Roles = []string{"node", "master"}
			in.Roles[1].Pack.Token.ID = "zzzzzz"
			for i := range in.Roles {
				in.Roles[i].Index.Hosts[2].Roles = []string{"master", "node"}
			}
		}, want: []string{"token-differs"}},
		{name: "a static token that differs from the masters'", role: "node", make: func(t *testing.T, ca *pfCA, in *PreflightInput) {
			in.Roles = append(in.Roles, pfRole(t, ca, "master", in.Want.IP))
			in.Want.Roles = []string{"node", "master"}
			in.Roles[1].Pack.Token = nil
			in.Roles[1].Pack.Files = append(in.Roles[1].Pack.Files, hostpack.File{Path: staticTokens, Data: []byte(strings.Repeat("1", 32) + ",kubelet-bootstrap,10001,\"system:kubelet-bootstrap\"\n")})
			pfPackFile(in, "bootstrap.kubeconfig", "server: https://20.0.0.100:6443\ntoken: "+strings.Repeat("0", 32)+"\n")
			for i := range in.Roles {
				in.Roles[i].Index.Hosts[2].Roles = []string{"master", "node"}
			}
		}, want: []string{"token-differs"}},
		{name: "a static token", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			pfPackFile(in, "bootstrap.kubeconfig", "server: https://20.0.0.100:6443\ntoken: "+strings.Repeat("0", 32)+"\n")
		}},
		{name: "kubeconfig that names the node itself", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			pfPackFile(in, "bootstrap.kubeconfig", "server: https://20.0.0.103:6443\ntoken: abcdef.0123456789abcdef\n")
		}, want: []string{"kubeconfig-server"}, text: "names https://20.0.0.103:6443, which is no API server"},
		{name: "cgroup driver of docker", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Roles[0].Texts["/etc/docker/daemon.json"] = []byte("{}")
		}, want: []string{"cgroup-driver"}},
		{name: "cgroup driver of kubelet", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Roles[0].Texts["/opt/kubernetes/cfg/kubelet.config"] = []byte("cgroupDriver: cgroupfs\n")
		}, want: []string{"cgroup-driver"}},
	}
}

func TestPreflightFindsWhatIsWrong(t *testing.T) {
	ca := newPFCA(t)
	usual := map[string]string{"etcd": "20.0.0.100", "master": "20.0.0.100", "node": "20.0.0.103", "lb": "20.0.0.112"}
	for _, c := range slices.Concat(hostCases(), clockAndSpaceCases(), networkCases(), bundleCases(), balancerCases(), kernelCases()) {
		t.Run(c.name, func(t *testing.T) {
			ip := usual[c.role]
			if c.ip != "" {
				ip = c.ip
			}
			in := pfInput(t, ca, c.role, usual[c.role])
			in.Want.IP = ip
			if _, err := netip.ParseAddr(ip); err == nil {
				in.Facts = pfFacts(ip)
			}
			if _, planned := hostByIP(in.Roles[0].Index, ip); planned {
				in.Roles[0].Pack.IP = ip
			}
			if c.make != nil {
				c.make(t, ca, &in)
			}
			found := Preflight(in)
			if got := pfIDs(found); !slices.Equal(got, c.want) {
				t.Fatalf("findings %v, want %v\n%+v", got, c.want, found)
			}
			if len(found) == 0 {
				return
			}
			f := found[0]
			if all := f.What + " " + f.Where + " " + f.Why; !strings.Contains(all, c.text) {
				t.Errorf("%q does not say %q", all, c.text)
			}
			if c.fix != "" && f.Fix != c.fix {
				t.Errorf("fix is %q, want %q", f.Fix, c.fix)
			}
		})
	}
}

func TestEveryFindingSaysWhatWhereWhyAndTheCommand(t *testing.T) {
	ca := newPFCA(t)
	for _, c := range slices.Concat(hostCases(), clockAndSpaceCases(), networkCases(), bundleCases(), balancerCases(), kernelCases()) {
		in := pfInput(t, ca, c.role, map[string]string{"etcd": "20.0.0.100", "master": "20.0.0.100", "node": "20.0.0.103", "lb": "20.0.0.112"}[c.role])
		if c.ip != "" {
			in.Want.IP = c.ip
		}
		if c.make != nil {
			c.make(t, ca, &in)
		}
		for _, f := range Preflight(in) {
			if f.What == "" || f.Where == "" && f.ID != "unit-masked" || f.Why == "" || f.Fix == "" || f.Severity == "" || f.Class == "" {
				t.Errorf("%s: incomplete: %+v", c.name, f)
			}
		}
	}
}

func TestAllFindingsComeAtOnceAndTheWorstFirst(t *testing.T) {
	in := pfInput(t, newPFCA(t), bundle.RoleEtcd, "20.0.0.100")
	in.Facts.CPUs, in.Facts.UID, in.Facts.EtcdData = 1, 7, []string{"member"}
	in.Facts.Listeners = []Listener{{Port: 2379}, {Port: 2380}}
	found := Preflight(in)
	if got := pfIDs(found); !slices.Equal(got, []string{"etcd-data", "few-cpus", "not-root", "port-busy"}) {
		t.Errorf("findings %v", got)
	}
	if len(found) != 5 || found[len(found)-1].ID != "few-cpus" {
		t.Errorf("the warning is not last: %+v", found)
	}
	class, refused := Refused(found)
	if !refused || class != ClassUsage {
		t.Errorf("class %q, refused %v", class, refused)
	}
}

func TestOtherHostsThatDoNotAnswerAreNoFinding(t *testing.T) {
	in := pfInput(t, newPFCA(t), bundle.RoleNode, "20.0.0.103")
	in.Facts.Skew = nil // nobody answered
	if found := Preflight(in); len(found) != 0 {
		t.Errorf("%+v", found)
	}
}
