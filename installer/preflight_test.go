package installer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
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

// pfNow is the time of the tests' hosts: in the certificates' life and after the bundle was made.
func pfNow() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// pfHosts is the tutorial's table.
func pfHosts() []bundle.Host {
	return []bundle.Host{
		{Name: "master01", IP: "20.0.0.100", Roles: []string{"etcd", "master"}, EtcdName: "etcd01"},
		{Name: "master02", IP: "20.0.0.101", Roles: []string{"master"}},
		{Name: "node01", IP: "20.0.0.103", Roles: []string{"etcd", "node"}, EtcdName: "etcd02", NodeName: "20.0.0.103"},
		{Name: "node02", IP: "20.0.0.104", Roles: []string{"etcd", "node"}, EtcdName: "etcd03", NodeName: "20.0.0.104"},
		{Name: "lb01", IP: "20.0.0.112", Roles: []string{"lb"}},
		{Name: "lb02", IP: "20.0.0.113", Roles: []string{"lb"}},
	}
}

// pfIndex is a role index as a build makes it, cut to what preflight reads.
func pfIndex(role string) *bundle.RoleIndex {
	index := &bundle.RoleIndex{
		Role: role, Platform: bundle.Platform{OS: "linux", Arch: "amd64", Family: "el7"}, Hosts: pfHosts(),
		Cluster: bundle.Cluster{
			ID: "c0ffee", Name: "plant", APIServer: "https://20.0.0.100:6443", VIP: "20.0.0.110", ServiceCIDR: "10.0.0.0/24", PodCIDR: "10.244.0.0/16",
			NotBefore: pfNow().Add(-time.Hour),
			Policy: bundle.Policy{Firewall: "disable", SELinux: "disabled", EtcdDataDir: "/var/lib/etcd/default.etcd", ProxyMode: "ipvs",
				MaxSkewSeconds: 2, DockerVersion: "20.10.24"},
		},
	}
	program := func(path string, size int64) {
		index.Artifacts = append(index.Artifacts, bundle.Artifact{Name: path, Kind: bundle.KindProgram, Blob: bundle.Blob{Size: size}})
		index.Files = append(index.Files, bundle.File{Path: path, Mode: 0o755, Artifact: path})
	}
	switch role {
	case bundle.RoleEtcd:
		program("/opt/etcd/bin/etcd", 20<<20)
		index.Files = append(index.Files, bundle.File{Path: "/usr/lib/systemd/system/etcd.service", Mode: 0o644})
		index.Units = []bundle.Unit{{Name: "etcd.service"}}
	case bundle.RoleMaster:
		program("/opt/kubernetes/bin/kube-apiserver", 118<<20)
		index.Files = append(index.Files, bundle.File{Path: "/usr/lib/systemd/system/kube-apiserver.service", Mode: 0o644})
		index.Units = []bundle.Unit{{Name: "kube-apiserver.service"}}
	case bundle.RoleNode:
		program("/opt/kubernetes/bin/kubelet", 110<<20)
		index.Artifacts = append(index.Artifacts, bundle.Artifact{Name: "docker-ce.rpm", Kind: bundle.KindPackage, Blob: bundle.Blob{Size: 20 << 20}})
		index.Packages = []bundle.Package{{Name: "docker-ce", Artifact: "docker-ce.rpm"}}
		index.Units = []bundle.Unit{{Name: "docker.service", Package: "docker-ce"}, {Name: "kubelet.service"}}
		index.Modules = []string{"br_netfilter", "ip_vs", "ip_vs_rr"}
		index.Cluster.Policy.CNI = "flannel"
		for _, name := range []string{"bridge", "flannel", "host-local", "loopback", "portmap"} {
			program("/opt/cni/bin/"+name, 0)
		}
	case bundle.RoleLB:
		index.Units = []bundle.Unit{{Name: "nginx.service", Package: "nginx"}, {Name: "keepalived.service", Package: "keepalived"}}
	}
	return index
}

// pfFacts is a CentOS 7 minimal host with the address ip.
func pfFacts(ip string) *Facts {
	return &Facts{
		OS: OSRelease{ID: "centos", VersionID: "7", Name: "CentOS Linux 7 (Core)"}, Arch: "amd64", Kernel: "5.4.278-1.el7.elrepo.x86_64",
		CPUs: 4, Memory: 4 << 30, Hostname: "localhost.localdomain", SELinux: "enforcing", Firewalld: true, Now: pfNow(),
		Addresses: []Address{{"lo", netip.MustParsePrefix("127.0.0.1/8")}, {"eth0", netip.MustParsePrefix(ip + "/24")}},
		Routes:    []Route{{"eth0", netip.MustParsePrefix("20.0.0.0/24")}},
		Mounts:    []Mount{{Path: "/", Type: "xfs", Options: []string{"rw"}, Free: 40 << 30}, {Path: "/boot", Type: "xfs", Options: []string{"rw"}, Free: 900 << 20}},
		Packages:  map[string]string{"bash": "4.2.46-35.el7_9"}, Units: map[string]host.Unit{}, Files: map[string]int64{},
		Modules:  map[string]bool{"br_netfilter": true, "ip_vs": true, "ip_vs_rr": true},
		Commands: map[string]bool{"ipset": true},
	}
}

// pfCA signs the tests' certificates.
type pfCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newPFCA(t *testing.T) *pfCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: pfNow().Add(-24 * time.Hour),
		NotAfter: pfNow().Add(10 * 365 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &pfCA{cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// leaf makes a certificate and its key, both in PEM.
func (ca *pfCA) leaf(t *testing.T, edit func(*x509.Certificate)) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: pfNow().Add(-time.Hour),
		NotAfter: pfNow().Add(365 * 24 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.ParseIP("20.0.0.100"), net.ParseIP("20.0.0.101"), net.ParseIP("20.0.0.103"), net.ParseIP("127.0.0.1")}}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &k.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: kder})
}

// pfRole is a role as preflight sees it, with a pack for the host that has ip.
func pfRole(t *testing.T, ca *pfCA, role, ip string) RoleInput {
	t.Helper()
	cert, key := ca.leaf(t, nil)
	dir := "/opt/kubernetes/ssl/"
	if role == bundle.RoleEtcd {
		dir = "/opt/etcd/ssl/"
	}
	if role == bundle.RoleLB {
		return RoleInput{Path: "lb.bundle", Index: pfIndex(role), Texts: map[string][]byte{}, Carry: 1 << 20,
			Pack: &hostpack.Pack{Cluster: "c0ffee", Role: role, IP: ip}}
	}
	pack := &hostpack.Pack{Cluster: "c0ffee", Role: role, IP: ip, Files: []hostpack.File{
		{Path: dir + "ca.pem", Data: ca.pem}, {Path: dir + "server.pem", Data: cert}, {Path: dir + "server-key.pem", Data: key, Secret: true},
	}}
	texts := map[string][]byte{}
	switch role {
	case bundle.RoleEtcd:
		texts["/usr/lib/systemd/system/etcd.service"] = []byte("[Service]\nExecStart=/opt/etcd/bin/etcd\n")
		pack.Files = append(pack.Files, hostpack.File{Path: "/opt/etcd/cfg/etcd", Data: []byte("ETCD_NAME=etcd01\n")})
	case bundle.RoleMaster:
		pack.Token = &hostpack.Token{ID: "abcdef", Secret: "0123456789abcdef", TTLSeconds: 3600}
		pack.Files = append(pack.Files, hostpack.File{Path: "/root/.kube/config", Data: []byte("    server: https://20.0.0.100:6443\n")})
	case bundle.RoleNode:
		texts["/etc/docker/daemon.json"] = []byte(`{"exec-opts": ["native.cgroupdriver=systemd"]}`)
		texts["/opt/kubernetes/cfg/kubelet.config"] = []byte("cgroupDriver: systemd\n")
		pack.Files = append(pack.Files, hostpack.File{Path: "/opt/kubernetes/cfg/bootstrap.kubeconfig",
			Data: []byte("    server: https://20.0.0.100:6443\n    token: abcdef.0123456789abcdef\n")})
	}
	return RoleInput{Path: role + ".bundle", Index: pfIndex(role), Pack: pack, Texts: texts, Carry: 30 << 20}
}

func pfInput(t *testing.T, ca *pfCA, role, ip string) PreflightInput {
	t.Helper()
	return PreflightInput{Want: Want{Roles: []string{role}, IP: ip}, Facts: pfFacts(ip), Roles: []RoleInput{pfRole(t, ca, role, ip)}}
}

// pfLeaf replaces the certificate of the first role's pack.
func pfLeaf(t *testing.T, ca *pfCA, in *PreflightInput, edit func(*x509.Certificate)) {
	cert, key := ca.leaf(t, edit)
	for i, f := range in.Roles[0].Pack.Files {
		if strings.HasSuffix(f.Path, "server.pem") {
			in.Roles[0].Pack.Files[i].Data, in.Roles[0].Pack.Files[i+1].Data = cert, key
		}
	}
}

// pfKubeconfig gives the first role's pack a kubeconfig with a certificate.
func pfKubeconfig(t *testing.T, ca *pfCA, in *PreflightInput, edit func(*x509.Certificate)) {
	t.Helper()
	cert, key := ca.leaf(t, edit)
	b64 := base64.StdEncoding.EncodeToString
	in.Roles[0].Pack.Files = append(in.Roles[0].Pack.Files, hostpack.File{Path: "/opt/kubernetes/cfg/kube-proxy.kubeconfig", Mode: 0o600,
		Data: []byte("server: https://20.0.0.100:6443\nclient-certificate-data: " + b64(cert) + "\nclient-key-data: " + b64(key) + "\n")})
}

// pfPackFile replaces the content of the files of the first role's pack whose path ends so.
func pfPackFile(in *PreflightInput, suffix, data string) {
	for i, f := range in.Roles[0].Pack.Files {
		if strings.HasSuffix(f.Path, suffix) {
			in.Roles[0].Pack.Files[i].Data = []byte(data)
		}
	}
}

func pfIDs(found []Finding) []string {
	var ids []string
	for _, f := range found {
		ids = append(ids, f.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func TestAGoodHostHasNoFindings(t *testing.T) {
	ca := newPFCA(t)
	for _, c := range []struct{ role, ip string }{
		{bundle.RoleEtcd, "20.0.0.100"}, {bundle.RoleMaster, "20.0.0.101"}, {bundle.RoleNode, "20.0.0.103"},
		{bundle.RoleLB, "20.0.0.112"},
	} {
		if found := Preflight(pfInput(t, ca, c.role, c.ip)); len(found) != 0 {
			t.Errorf("%s on %s: %+v", c.role, c.ip, found)
		}
	}
}
