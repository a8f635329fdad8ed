package render

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"offgrid/builder/cluster"
	"offgrid/builder/internal/pki"
	"offgrid/bundle"
	"offgrid/bundle/hostpack"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the goldens anew")
	flag.Parse()
	os.Exit(m.Run())
}

func updating() bool { return flag.Lookup("update").Value.String() == "true" }

func at() time.Time { return time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC) }

// request renders the example cluster file, with the random parts fixed.
func request(t *testing.T, role string, edit func(*cluster.File)) Request {
	t.Helper()
	data, err := os.ReadFile("../../../manifests/cluster.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := cluster.Load("cluster.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(f)
	}
	set, err := pki.Ensure(t.Context(), filepath.Join(t.TempDir(), "pki"), pki.Request{Cluster: f, Now: at()})
	if err != nil {
		t.Fatal(err)
	}
	set.ClusterID, set.TokenID, set.TokenSecret = strings.Repeat("0a", 16), "abcdef", "0123456789abcdef"
	if set.VRRPSecret != "" {
		set.VRRPSecret = "12345678"
	}
	if set.StaticToken != "" {
		set.StaticToken = strings.Repeat("0b", 16)
	}
	set.EncryptionKey = base64.StdEncoding.EncodeToString(make([]byte, 32))
	return Request{Cluster: f, PKI: set, Role: role, Images: []string{"k8s.gcr.io/coredns:1.7.0", "k8s.gcr.io/pause:3.2"},
		Versions: Versions{Kubernetes: "v1.20.15", Etcd: "v3.4.26", Docker: "20.10.24"}, CheckImage: "docker.io/library/busybox:1.28.4",
		Addons: []Addon{
			{Name: "flannel", Version: "v0.15.1", Template: "flannel.yaml", Images: map[string]string{"flannel": "quay.io/coreos/flannel:v0.15.1"}},
			{Name: "coredns", Version: "1.7.0", Template: "coredns.yaml", Images: map[string]string{"coredns": "k8s.gcr.io/coredns:1.7.0"}},
			{Name: "website", Data: []byte("# the operator's\n")},
		}}
}

func rendered(t *testing.T, role string) *Role {
	t.Helper()
	r, err := Render(request(t, role, nil))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func roles() []string {
	return []string{bundle.RoleEtcd, bundle.RoleMaster, bundle.RoleNode, bundle.RoleLB}
}

// content is a file's text with keys and certificates left out.
func content(data []byte) string {
	block, _ := pem.Decode(data)
	switch {
	case block != nil && block.Type == "CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("certificate %s\n", c.Subject)
	case block != nil:
		return block.Type + "\n"
	}
	return regexp.MustCompile(`(-data: )[A-Za-z0-9+/=]{40,}`).ReplaceAllString(string(data), "${1}...")
}

func describe(t *testing.T, r *Role) string {
	t.Helper()
	var b strings.Builder
	index, err := json.MarshalIndent(map[string]any{"cluster": r.Cluster, "modules": r.Modules, "sysctls": r.Sysctls, "dirs": r.Dirs,
		"links": r.Links, "units": r.Units, "checks": r.Checks, "hosts": r.Hosts, "addons": r.Addons}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "%s\n", index)
	for _, f := range r.Texts {
		fmt.Fprintf(&b, "-- all %s %s %04o %s:%s\n%s", f.Artifact, f.Path, f.Mode, f.Owner, f.Group, content(f.Data))
	}
	for _, p := range r.Packs {
		for _, f := range p.Files {
			secret := ""
			if f.Secret {
				secret = " secret"
			}
			if f.Fill {
				secret += " fill"
			}
			fmt.Fprintf(&b, "-- %s %s %04o %s:%s%s\n%s", p.Host, f.Path, f.Mode, f.Owner, f.Group, secret, content(f.Data))
		}
		if p.Token != nil {
			fmt.Fprintf(&b, "-- %s token %s %s %d\n", p.Host, p.Token.ID, p.Token.Secret, p.Token.TTLSeconds)
		}
	}
	return b.String()
}

func TestWhatIsRenderedIsAsReviewed(t *testing.T) {
	for _, role := range roles() {
		got := describe(t, rendered(t, role))
		name := filepath.Join("testdata", role+".golden")
		if updating() {
			if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got == string(want) {
			continue
		}
		g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
		for i := range max(len(g), len(w)) {
			if i >= len(g) || i >= len(w) || g[i] != w[i] {
				t.Errorf("%s differs from line %d on (-update writes it anew):\ngot  %q\nwant %q", name, i+1, g[min(i, len(g)-1)], w[min(i, len(w)-1)])
				break
			}
		}
	}
}

func TestTheSameInputGivesTheSameBytes(t *testing.T) {
	for _, role := range roles() {
		req := request(t, role, nil)
		a, errA := Render(req)
		b, errB := Render(req)
		if errA != nil || errB != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%s is rendered differently: %v, %v", role, errA, errB)
		}
	}
}

func TestTwoRolesOfOneHostAgreeOnTheFilesThatBothPlace(t *testing.T) {
	req := request(t, "", func(f *cluster.File) { f.Hosts[0].Roles = []string{"master", "etcd", "node"} })
	texts, packs := map[string][]byte{}, map[string][]byte{}
	for _, role := range roles() {
		req.Role = role
		r, err := Render(req)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Texts {
			if before, ok := texts[f.Path]; ok && !bytes.Equal(before, f.Data) {
				t.Errorf("%s differs between roles", f.Path)
			}
			texts[f.Path] = f.Data
		}
		for _, p := range r.Packs {
			for _, f := range p.Files {
				key := p.Host + " " + f.Path
				if before, ok := packs[key]; ok && !bytes.Equal(before, f.Data) {
					t.Errorf("%s differs between roles", key)
				}
				packs[key] = f.Data
				if _, ok := texts[f.Path]; ok {
					t.Errorf("%s is both public and in a pack", f.Path)
				}
			}
		}
	}
}

func pemBlocks(data []byte) []*pem.Block {
	var out []*pem.Block
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		out = append(out, block)
	}
	for _, m := range regexp.MustCompile(`-data: ([A-Za-z0-9+/=]+)`).FindAllSubmatch(data, -1) {
		inner, err := base64.StdEncoding.DecodeString(string(m[1]))
		if err == nil {
			out = append(out, pemBlocks(inner)...)
		}
	}
	return out
}

func TestNoKeyLeavesWhereItBelongs(t *testing.T) {
	for _, role := range roles() {
		req := request(t, role, nil)
		r, err := Render(req)
		if err != nil {
			t.Fatal(err)
		}
		owner := map[string]string{} // key to what it is
		for _, ca := range []string{pki.CAKubernetes, pki.CAEtcd, pki.CAFrontProxy} {
			owner[string(pemBlocks(req.PKI.CA(ca).Key)[0].Bytes)] = "CA " + ca
		}
		for _, l := range req.PKI.Leaves() {
			owner[string(pemBlocks(l.Key)[0].Bytes)] = "host " + l.Host
		}
		owner[string(pemBlocks(req.PKI.ServiceKey)[0].Bytes)] = "service account"
		for _, f := range r.Texts {
			for _, b := range pemBlocks(f.Data) {
				if strings.Contains(b.Type, "PRIVATE") {
					t.Errorf("the public file %s holds a private key", f.Path)
				}
			}
			if bytes.Contains(f.Data, []byte(req.PKI.TokenSecret)) || bytes.Contains(f.Data, []byte(req.PKI.EncryptionKey)) {
				t.Errorf("the public file %s holds a secret", f.Path)
			}
		}
		for _, p := range r.Packs {
			for _, f := range p.Files {
				for _, b := range pemBlocks(f.Data) {
					if !strings.Contains(b.Type, "PRIVATE") {
						continue
					}
					who := owner[string(b.Bytes)]
					allowed := who == "host "+p.Host || role == bundle.RoleMaster && slices.Contains([]string{"CA kubernetes", "service account"}, who)
					if !allowed || !f.Secret || f.Mode != 0o600 {
						t.Errorf("%s on %s (secret %v, mode %o) holds the key of %q", f.Path, p.Host, f.Secret, f.Mode, who)
					}
				}
			}
		}
	}
}

// file finds a rendered file of a host.
func file(t *testing.T, r *Role, host, path string) []byte {
	t.Helper()
	for _, p := range r.Packs {
		i := slices.IndexFunc(p.Files, func(f hostpack.File) bool { return f.Path == path })
		if p.Host == host && i >= 0 {
			return p.Files[i].Data
		}
	}
	for _, f := range r.Texts {
		if f.Path == path {
			return f.Data
		}
	}
	t.Fatalf("%s has no %s", host, path)
	return nil
}

// identity is a certificate with key as a program would load it.
func identity(t *testing.T, r *Role, host, base string) tls.Certificate {
	t.Helper()
	c, err := tls.X509KeyPair(file(t, r, host, base+".pem"), file(t, r, host, base+"-key.pem"))
	if err != nil {
		t.Fatalf("%s on %s: %v", base, host, err)
	}
	return c
}

func kubeIdentity(t *testing.T, r *Role, host, path string) tls.Certificate {
	t.Helper()
	blocks := pemBlocks(file(t, r, host, path))
	c, err := tls.X509KeyPair(pem.EncodeToMemory(blocks[1]), pem.EncodeToMemory(blocks[2]))
	if err != nil {
		t.Fatalf("%s on %s: %v", path, host, err)
	}
	return c
}

func TestEveryConnectionOfTheClusterStandsWithTheFilesAsPlaced(t *testing.T) {
	req := request(t, bundle.RoleEtcd, nil)
	render := func(role string) *Role {
		req.Role = role
		r, err := Render(req)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	etcd, master, node := render(bundle.RoleEtcd), render(bundle.RoleMaster), render(bundle.RoleNode)
	roots := func(pem []byte) *x509.CertPool {
		p := x509.NewCertPool()
		p.AppendCertsFromPEM(pem)
		return p
	}
	const ssl = "/opt/kubernetes/ssl/"
	etcdCA, kubeCA := file(t, etcd, "node01", "/opt/etcd/ssl/ca.pem"), file(t, master, "master01", ssl+"ca.pem")
	for _, c := range []struct {
		name             string
		server, client   tls.Certificate
		clientCA, rootCA []byte
		address          string
	}{
		{"API server to etcd", identity(t, etcd, "node01", "/opt/etcd/ssl/server"), identity(t, master, "master02", ssl+"apiserver-etcd-client"), etcdCA, file(t, master, "master02", ssl+"etcd-ca.pem"), "20.0.0.103"},
		{"etcd to etcd", identity(t, etcd, "node01", "/opt/etcd/ssl/peer"), identity(t, etcd, "node02", "/opt/etcd/ssl/peer"), etcdCA, etcdCA, "20.0.0.103"},
		{"etcdctl on the member", identity(t, etcd, "node01", "/opt/etcd/ssl/server"), identity(t, etcd, "node01", "/opt/etcd/ssl/admin"), etcdCA, etcdCA, "127.0.0.1"},
		{"etcd's gateway to itself", identity(t, etcd, "node01", "/opt/etcd/ssl/server"), identity(t, etcd, "node01", "/opt/etcd/ssl/server"), etcdCA, etcdCA, "127.0.0.1"},
		{"kubectl to the API server", identity(t, master, "master02", ssl+"apiserver"), kubeIdentity(t, master, "master02", "/root/.kube/config"), kubeCA, kubeCA, "20.0.0.101"},
		{"kubectl through a load balancer", identity(t, master, "master01", ssl+"apiserver"), kubeIdentity(t, master, "master02", "/root/.kube/config"), kubeCA, kubeCA, "20.0.0.110"},
		{"a person at a load balancer's own address", identity(t, master, "master02", ssl+"apiserver"), kubeIdentity(t, master, "master02", "/root/.kube/config"), kubeCA, kubeCA, "20.0.0.113"},
		{"controller manager to the API server", identity(t, master, "master01", ssl+"apiserver"), kubeIdentity(t, master, "master01", "/opt/kubernetes/cfg/kube-controller-manager.kubeconfig"), kubeCA, kubeCA, "20.0.0.100"},
		{"kube-proxy to the API server", identity(t, master, "master01", ssl+"apiserver"), kubeIdentity(t, node, "node02", "/opt/kubernetes/cfg/kube-proxy.kubeconfig"), kubeCA, file(t, node, "node02", ssl+"ca.pem"), "20.0.0.100"},
		{"pods to the API server", identity(t, master, "master02", ssl+"apiserver"), kubeIdentity(t, master, "master02", "/root/.kube/config"), kubeCA, kubeCA, "10.0.0.1"},
		{"API server to kubelet", identity(t, node, "node01", ssl+"kubelet-server"), identity(t, master, "master01", ssl+"apiserver-kubelet-client"), file(t, node, "node01", ssl+"ca.pem"), kubeCA, "20.0.0.103"},
	} {
		for _, v := range []struct {
			cert tls.Certificate
			opts x509.VerifyOptions
		}{
			{c.server, x509.VerifyOptions{Roots: roots(c.rootCA), DNSName: c.address, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}},
			{c.client, x509.VerifyOptions{Roots: roots(c.clientCA), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}},
		} {
			leaf, err := x509.ParseCertificate(v.cert.Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			v.opts.CurrentTime = at()
			if _, err := leaf.Verify(v.opts); err != nil {
				t.Errorf("%s: %s: %v", c.name, leaf.Subject, err)
			}
		}
	}
	front := identity(t, master, "master01", ssl+"front-proxy-client")
	leaf, _ := x509.ParseCertificate(front.Certificate[0])
	opts := x509.VerifyOptions{Roots: roots(file(t, master, "master01", ssl+"front-proxy-ca.pem")), CurrentTime: at(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := leaf.Verify(opts); err != nil || !bytes.Contains(file(t, master, "master01", "/opt/kubernetes/cfg/kube-apiserver"), []byte("--requestheader-allowed-names="+leaf.Subject.CommonName+" ")) {
		t.Errorf("front proxy: %v", err)
	}
}

func TestPolicyChangesWhatIsRendered(t *testing.T) {
	req := request(t, bundle.RoleMaster, func(f *cluster.File) {
		f.Security.EncryptionAtRest, f.Security.Audit, f.Security.ComponentStatusPorts = false, false, "off"
		f.Nodes.NameFrom, f.Network.ProxyMode, f.OS.IPv6 = "hostname", "iptables", "keep"
		f.OS.NTP.Servers = []string{"10.1.1.1"}
		f.Etcd.DataDir = "/data/etcd/db"
	})
	render := func(role string) *Role {
		req.Role = role
		r, err := Render(req)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	master := render(bundle.RoleMaster)
	api := string(file(t, master, "master01", "/opt/kubernetes/cfg/kube-apiserver"))
	if strings.Contains(api, "encryption") || strings.Contains(api, "audit") || !strings.HasSuffix(api, "--enable-aggregator-routing=true\"\n") {
		t.Errorf("API server:\n%s", api)
	}
	for _, name := range []string{"kube-scheduler", "kube-controller-manager"} {
		if got := string(file(t, master, "master01", "/opt/kubernetes/cfg/"+name)); !strings.Contains(got, "--port=0 \\\n") || strings.Contains(got, "--address") {
			t.Errorf("%s:\n%s", name, got)
		}
	}
	node := render(bundle.RoleNode)
	if got := string(file(t, node, "node01", "/opt/kubernetes/cfg/kubelet")); strings.Contains(got, "hostname-override") {
		t.Errorf("kubelet:\n%s", got)
	}
	if got := string(file(t, node, "node01", "/opt/kubernetes/cfg/kube-proxy.config")); !strings.Contains(got, "hostnameOverride: node01\n") || !strings.HasSuffix(got, "mode: iptables\n") {
		t.Errorf("kube-proxy:\n%s", got)
	}
	if slices.Contains(node.Modules, "ip_vs") || node.Hosts[2].NodeName != "node01" {
		t.Errorf("modules %q, node name %q", node.Modules, node.Hosts[2].NodeName)
	}
	if got := string(file(t, node, "node01", "/etc/chrony.conf")); !strings.Contains(got, "server 10.1.1.1 iburst\n") || strings.Contains(got, "local stratum") {
		t.Errorf("chrony:\n%s", got)
	}
	if got := string(file(t, node, "node01", "/etc/sysctl.d/k8s.conf")); strings.Contains(got, "ipv6") && strings.Contains(got, "disable_ipv6") {
		t.Errorf("sysctl:\n%s", got)
	}
	var dirs []string
	for _, d := range render(bundle.RoleEtcd).Dirs {
		dirs = append(dirs, d.Path+" "+d.Keep)
	}
	if !slices.Equal(dirs[:4], []string{"/data empty", "/data/backup data", "/data/etcd empty", "/data/etcd/db data"}) {
		t.Errorf("directories: %q", dirs)
	}
}

func TestANodeWithoutAPauseImageAndAnUnknownRoleAreRefused(t *testing.T) {
	req := request(t, bundle.RoleNode, nil)
	req.Images = []string{"k8s.gcr.io/coredns:1.7.0"}
	if _, err := Render(req); err == nil || !strings.Contains(err.Error(), "no image named pause") {
		t.Errorf("got %v", err)
	}
	req.Role = "switch"
	if _, err := Render(req); err == nil || !strings.Contains(err.Error(), `rendering role "switch": known are etcd, lb, master, node`) {
		t.Errorf("got %v", err)
	}
}
