package pki

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"offgrid/builder/cluster"
	"offgrid/bundle/progress"
)

const table = `apiVersion: offgrid/v1
kind: Cluster
metadata: {name: demo}
api: {endpoint: 20.0.0.100}
hosts:
- {name: master01, ip: 20.0.0.100, roles: [master, etcd]}
- {name: master02, ip: 20.0.0.101, roles: [master]}
- {name: node01, ip: 20.0.0.103, roles: [node, etcd]}
- {name: node02, ip: 20.0.0.104, roles: [node, etcd]}
`

func load(t *testing.T, text string) *cluster.File {
	t.Helper()
	f, err := cluster.Load("cluster.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func now() time.Time { return time.Date(2025, 6, 1, 12, 0, 0, 123, time.UTC) }

func ensure(t *testing.T, dir, text string, at time.Time) (*Set, error) {
	t.Helper()
	return Ensure(t.Context(), dir, Request{Cluster: load(t, text), Now: at})
}

func mustEnsure(t *testing.T, dir, text string) *Set {
	t.Helper()
	set, err := ensure(t, dir, text, now())
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// tree maps every file below dir to its content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		out[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func pool(p Pair) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(p.Parsed)
	return roots
}

func TestEveryConnectionVerifiesUnderItsOwnCAOnly(t *testing.T) {
	set := mustEnsure(t, filepath.Join(t.TempDir(), "pki"), table)
	server, client := x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	// Who connects to whom: the listener's certificate under the dialled name, and the dialler's under the listener's CA.
	for _, c := range []struct {
		host, name, ca string
		use            x509.ExtKeyUsage
		dialled        string
	}{
		{"node01", EtcdServer, CAEtcd, server, "20.0.0.103"},
		{"node01", EtcdServer, CAEtcd, server, "127.0.0.1"},
		{"node01", EtcdServer, CAEtcd, client, ""},
		{"node02", EtcdPeer, CAEtcd, server, "20.0.0.104"},
		{"master01", EtcdPeer, CAEtcd, client, ""},
		{"node01", EtcdAdmin, CAEtcd, client, ""},
		{"master02", APIServerEtcd, CAEtcd, client, ""},
		{"master01", APIServer, CAKubernetes, server, "20.0.0.100"},
		{"master01", APIServer, CAKubernetes, server, "10.0.0.1"},
		{"master02", APIServer, CAKubernetes, server, "20.0.0.101"},
		{"master02", APIServer, CAKubernetes, server, "20.0.0.100"},
		{"master02", APIServer, CAKubernetes, server, "kubernetes.default.svc.cluster.local"},
		{"master01", APIServerKubelet, CAKubernetes, client, ""},
		{"node01", KubeletServer, CAKubernetes, server, "20.0.0.103"},
		{"master01", Admin, CAKubernetes, client, ""},
		{"master01", ControllerManager, CAKubernetes, client, ""},
		{"master01", Scheduler, CAKubernetes, client, ""},
		{"node02", KubeProxy, CAKubernetes, client, ""},
		{"master01", FrontProxyClient, CAFrontProxy, client, ""},
	} {
		leaf, err := set.Leaf(c.host, c.name)
		if err != nil {
			t.Fatal(err)
		}
		for _, ca := range caNames() {
			opts := x509.VerifyOptions{Roots: pool(set.CA(ca)), CurrentTime: now(), DNSName: c.dialled, KeyUsages: []x509.ExtKeyUsage{c.use}}
			_, err := leaf.Parsed.Verify(opts)
			if (err == nil) != (ca == c.ca) {
				t.Errorf("%s/%s for %q under the %s CA: %v", c.host, c.name, c.dialled, ca, err)
			}
		}
	}
}

func TestSubjectsAreWhatKubernetesBindsAndNobodyElseIsAMaster(t *testing.T) {
	set := mustEnsure(t, filepath.Join(t.TempDir(), "pki"), table)
	got := map[string]string{}
	for _, l := range set.Leaves() {
		got[l.Host+"/"+l.Name] = l.Parsed.Subject.String()
		if l.Name != Admin && slices.Contains(l.Parsed.Subject.Organization, "system:masters") {
			t.Errorf("%s/%s is in system:masters", l.Host, l.Name)
		}
	}
	for name, want := range map[string]string{
		"master01/admin":                    "CN=kubernetes-admin,O=system:masters",
		"master02/controller-manager":       "CN=system:kube-controller-manager",
		"master02/scheduler":                "CN=system:kube-scheduler",
		"master01/apiserver-kubelet-client": "CN=kube-apiserver-kubelet-client",
		"node01/kube-proxy":                 "CN=system:kube-proxy,O=system:node-proxier",
		"node02/kubelet-server":             "CN=system:node:20.0.0.104,O=system:nodes",
		"master01/etcd-server":              "CN=etcd-server-etcd01",
		"node02/etcd-peer":                  "CN=etcd-peer-etcd03",
		"master01/front-proxy-client":       "CN=front-proxy-client",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if len(got) != 3*3+2*7+2*2 {
		t.Errorf("%d certificates", len(got))
	}
}

func TestCAsLiveTenYearsAndNoLeafOutlivesIts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	set := mustEnsure(t, dir, table)
	for _, ca := range caNames() {
		c := set.CA(ca).Parsed
		if !c.NotBefore.Equal(time.Date(2025, 6, 1, 11, 0, 0, 0, time.UTC)) || !c.NotAfter.Equal(time.Date(2035, 6, 1, 12, 0, 0, 0, time.UTC)) {
			t.Errorf("%s CA: %s to %s", ca, c.NotBefore, c.NotAfter)
		}
		if !c.IsCA || !c.MaxPathLenZero {
			t.Errorf("%s CA may sign further CAs", ca)
		}
	}
	if want := time.Date(2025, 6, 1, 11, 0, 0, 0, time.UTC); !set.NotBefore.Equal(want) {
		t.Errorf("not before %s", set.NotBefore)
	}
	leaf, _ := set.Leaf("master01", APIServer)
	if want := time.Date(2027, 6, 1, 12, 0, 0, 0, time.UTC); !leaf.Parsed.NotAfter.Equal(want) {
		t.Errorf("leaf ends %s", leaf.Parsed.NotAfter)
	}
	// A host that comes when the CA has a year left.
	if err := os.RemoveAll(filepath.Join(dir, "hosts")); err != nil {
		t.Fatal(err)
	}
	set, err := ensure(t, dir, table, time.Date(2034, 6, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range set.Leaves() {
		if !l.Parsed.NotAfter.Equal(set.CA(l.CA).Parsed.NotAfter) {
			t.Errorf("%s/%s ends %s", l.Host, l.Name, l.Parsed.NotAfter)
		}
	}
}

func TestTheSecondRunChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	first := mustEnsure(t, dir, table)
	before := tree(t, dir)
	second := mustEnsure(t, dir, table)
	after := tree(t, dir)
	for path, data := range before {
		if after[path] != data {
			t.Errorf("%s was changed", path)
		}
	}
	if len(after) != len(before) || len(second.Made) != 0 || len(first.Made) != 1+27 {
		t.Errorf("%d files, then %d; made %q, then %q", len(before), len(after), first.Made, second.Made)
	}
	if first.ClusterID != second.ClusterID || first.TokenSecret != second.TokenSecret || first.EncryptionKey != second.EncryptionKey || string(first.ServiceKey) != string(second.ServiceKey) {
		t.Error("the site's secrets changed")
	}
	if len(first.ClusterID) != 32 || len(first.TokenID) != 6 || len(first.TokenSecret) != 16 || len(first.EncryptionKey) != 44 {
		t.Errorf("secrets have odd lengths: %d %d %d %d", len(first.ClusterID), len(first.TokenID), len(first.TokenSecret), len(first.EncryptionKey))
	}
}

func TestANewHostGetsItsCertificatesAndTheOthersKeepTheirs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	mustEnsure(t, dir, table)
	before := tree(t, dir)
	set := mustEnsure(t, dir, table+"- {name: master03, ip: 20.0.0.102, roles: [master]}\n- {name: node03, ip: 20.0.0.105, roles: [node]}\n")
	if len(set.Made) != 7+2 {
		t.Errorf("made %q", set.Made)
	}
	after := tree(t, dir)
	for path, data := range before {
		if after[path] != data {
			t.Errorf("%s was changed", path)
		}
	}
}

func TestAChangedClusterFileNamesEachCertificateThatNoLongerFits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	mustEnsure(t, dir, table)
	before := tree(t, dir)
	_, err := ensure(t, dir, strings.NewReplacer("20.0.0.104", "20.0.0.114", "20.0.0.100}\nhosts", "20.0.0.100, extraSANs: [k8s.example]}\nhosts").Replace(table), now())
	var p *Problems
	if !errors.As(err, &p) {
		t.Fatalf("got %v", err)
	}
	var got []string
	for _, item := range p.Items {
		got = append(got, item.Path+": "+item.Text[:strings.Index(item.Text, ";")])
	}
	want := []string{
		"hosts/master01/apiserver: does not cover k8s.example",
		"hosts/master02/apiserver: does not cover k8s.example",
		"hosts/node02/etcd-server: does not cover 20.0.0.114",
		"hosts/node02/etcd-peer: does not cover 20.0.0.114",
		`hosts/node02/kubelet-server: is made for "system:node:20.0.0.104", the cluster file now wants "system:node:20.0.0.114"`,
		"hosts/node02/kubelet-server: does not cover 20.0.0.114",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(tree(t, dir)) != len(before) {
		t.Error("something was made all the same")
	}
}

func TestWhatIsGoneOrDamagedIsNamedAndNotMadeAgain(t *testing.T) {
	made := filepath.Join(t.TempDir(), "pki")
	mustEnsure(t, made, table)
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, dir string) error
		want  string
	}{
		{"a key is gone", func(t *testing.T, dir string) error { return os.Remove(dir + "/hosts/node01/kube-proxy/key.pem") }, "hosts/node01/kube-proxy: key.pem is missing"},
		{"the CAs are gone", func(t *testing.T, dir string) error { return os.RemoveAll(dir + "/authority") }, "the certificate authorities are gone"},
		{"a CA key is gone", func(t *testing.T, dir string) error { return os.Remove(dir + "/authority/etcd-ca-key.pem") }, "authority/etcd-ca.pem: etcd-ca-key.pem is missing"},
		{"keys are exchanged", func(t *testing.T, dir string) error {
			return os.Rename(dir+"/hosts/node01/kube-proxy/key.pem", dir+"/hosts/node02/kube-proxy/key.pem")
		}, "certificate and key do not belong together"},
		{"another CA's certificate", func(t *testing.T, dir string) error {
			if err := os.RemoveAll(dir + "/hosts/node01/kube-proxy"); err != nil {
				return err
			}
			return os.Rename(dir+"/hosts/node01/etcd-admin", dir+"/hosts/node01/kube-proxy")
		}, "hosts/node01/kube-proxy: was not signed by this site's kubernetes CA"},
		{"the service key is another", func(t *testing.T, dir string) error {
			private, _, err := newServiceKey()
			return errors.Join(err, os.WriteFile(dir+"/authority/service-account-key.pem", private, 0o600))
		}, "private and public key do not belong together"},
		{"the secrets are damaged", func(t *testing.T, dir string) error {
			return os.WriteFile(dir+"/authority/site.json", []byte(`{"format":1,"clusterID":"x"}`), 0o600)
		}, "a value in it is damaged"},
		{"the secrets are newer", func(t *testing.T, dir string) error {
			return os.WriteFile(dir+"/authority/site.json", []byte(`{"format":2}`), 0o600)
		}, "format 2; this program knows 1"},
		{"everybody can read a key", func(t *testing.T, dir string) error { return os.Chmod(dir+"/hosts/node01/kube-proxy/key.pem", 0o644) }, "other users of this machine can read key.pem"},
		{"everybody can read the directory", func(t *testing.T, dir string) error { return os.Chmod(dir, 0o755) }, "chmod -R go="},
		{"rubbish for a certificate", func(t *testing.T, dir string) error {
			return os.WriteFile(dir+"/hosts/node01/kube-proxy/cert.pem", []byte("x"), 0o600)
		}, "not one certificate in PEM"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "pki")
			copyTree(t, made, dir)
			if err := c.spoil(t, dir); err != nil {
				t.Fatal(err)
			}
			before := tree(t, dir)
			_, err := ensure(t, dir, table, now())
			var p *Problems
			if !errors.As(err, &p) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if len(tree(t, dir)) != len(before) && c.name != "another CA's certificate" {
				t.Error("something was made all the same")
			}
		})
	}
}

func TestExpiredCertificatesAreRefusedAndEndingOnesSpokenOf(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	mustEnsure(t, dir, table)
	_, err := ensure(t, dir, table, time.Date(2027, 6, 1, 12, 0, 0, 0, time.UTC))
	if err == nil || strings.Count(err.Error(), "expired at 2027-06-01") != 27 {
		t.Errorf("got %v", err)
	}
	_, err = ensure(t, dir, table, time.Date(2035, 7, 1, 0, 0, 0, 0, time.UTC))
	if err == nil || strings.Count(err.Error(), "expired at 2035-06-01") != 3 {
		t.Errorf("got %v", err)
	}
	_, err = ensure(t, dir, table, time.Date(2025, 6, 1, 10, 0, 0, 0, time.UTC))
	if err == nil || !strings.Contains(err.Error(), "set the clock of this machine") {
		t.Errorf("got %v", err)
	}
	for at, want := range map[time.Time]string{
		time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC):  "",
		time.Date(2027, 3, 10, 0, 0, 0, 0, time.UTC): "27 of 27 certificates end within 90 days, the first at 2027-06-01 (etcd-server of master01); make them anew with: bundle pki renew --expiring 90",
	} {
		var said []string
		before := tree(t, dir)
		req := Request{Cluster: load(t, table), Now: at, Report: func(e progress.Event) {
			if e.Kind == progress.Warn {
				said = append(said, e.Text)
			}
		}}
		if _, err := Ensure(t.Context(), dir, req); err != nil || strings.Join(said, "|") != want {
			t.Errorf("%v, said %q, want %q", err, said, want)
		}
		if !maps.Equal(before, tree(t, dir)) {
			t.Error("the build renewed something")
		}
	}
}

func TestWhatACrashLeftIsInNobodysWay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	half := filepath.Join(dir, "hosts", "node01", tempPrefix+"123")
	for _, d := range []string{half, filepath.Join(dir, tempPrefix+"9")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(d, now().Add(-2*time.Hour), now().Add(-2*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "hosts")); err != nil {
		t.Fatal(err)
	}
	mustEnsure(t, dir, table)
	if exists(filepath.Join(dir, tempPrefix+"9")) {
		t.Error("the half-written directory is still there")
	}
}

func TestBalancersAndJoiningNodesGetTheirSecretsWhenTheSiteGetsThem(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	if set := mustEnsure(t, dir, table); set.VRRPSecret != "" {
		t.Errorf("a site without load balancers has the secret %q", set.VRRPSecret)
	}
	before := tree(t, dir)
	later := strings.Replace(table, "api: {endpoint: 20.0.0.100}", "api: {endpoint: 20.0.0.100, vip: 20.0.0.110}\nnodes: {joinCIDRs: [20.0.0.0/24]}", 1) +
		"- {name: lb01, ip: 20.0.0.112, roles: [lb]}\n- {name: lb02, ip: 20.0.0.113, roles: [lb]}\n"
	_, err := ensure(t, dir, later, now())
	if err == nil || !strings.Contains(err.Error(), "does not cover 20.0.0.110; put the names and addresses") {
		t.Fatalf("a VIP that is in no certificate: %v", err)
	}
	for _, host := range []string{"master01", "master02"} {
		if err := os.RemoveAll(filepath.Join(dir, "hosts", host, APIServer)); err != nil {
			t.Fatal(err)
		}
	}
	set := mustEnsure(t, dir, later)
	if !isToken(set.VRRPSecret, 8) || mustEnsure(t, dir, later).VRRPSecret != set.VRRPSecret {
		t.Errorf("secret %q", set.VRRPSecret)
	}
	if _, err := set.Leaf("join", KubeProxy); err != nil {
		t.Error(err)
	}
	if _, err := set.Leaf("join", KubeletServer); err == nil {
		t.Error("hosts that nobody knows have a serving certificate")
	}
	after := tree(t, dir)
	for name, was := range before {
		if after[name] != was && !strings.Contains(name, APIServer+string(filepath.Separator)) {
			t.Errorf("%s has changed", name)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, balancersDir, vrrpFile), []byte("too long for VRRP\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ensure(t, dir, later, now()); err == nil || !strings.Contains(err.Error(), "balancers/vrrp-secret: want 8 characters of a-z and 0-9; put the file back") {
		t.Errorf("a damaged secret: %v", err)
	}
}

func TestTheTutorialsTokenIsMadeOnceAndOnlyForItsProfile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	if set := mustEnsure(t, dir, table); set.StaticToken != "" || exists(filepath.Join(dir, staticTokenDir)) {
		t.Errorf("a hardened site has the token %q", set.StaticToken)
	}
	before := tree(t, dir)
	seed := strings.Replace(table, "kind: Cluster\n", "kind: Cluster\nsecurity: {profile: seed}\n", 1)
	set := mustEnsure(t, dir, seed)
	if len(set.StaticToken) != 32 || !staticToken().good(set.StaticToken) || mustEnsure(t, dir, seed).StaticToken != set.StaticToken {
		t.Errorf("token %q", set.StaticToken)
	}
	after := tree(t, dir)
	for name, was := range before {
		if after[name] != was {
			t.Errorf("%s has changed", name)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, staticTokenDir, tokenFile), []byte("0123\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ensure(t, dir, seed, now()); err == nil || !strings.Contains(err.Error(), "static-token/token: want 32 hex digits; put the file back") {
		t.Errorf("a damaged token: %v", err)
	}
}

func TestNobodyElseCanReadAnything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	mustEnsure(t, dir, table)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm() != map[bool]fs.FileMode{true: 0o700, false: 0o600}[e.IsDir()] {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestServiceAccountKeysAreOfTheKindThatKubernetesReads(t *testing.T) {
	set := mustEnsure(t, filepath.Join(t.TempDir(), "pki"), table)
	private, _ := pem.Decode(set.ServiceKey)
	public, _ := pem.Decode(set.ServicePub)
	if private == nil || public == nil || private.Type != "PRIVATE KEY" || public.Type != "PUBLIC KEY" {
		t.Fatal("not PEM")
	}
	if _, err := x509.ParsePKCS8PrivateKey(private.Bytes); err != nil {
		t.Error(err)
	}
	if _, err := x509.ParsePKIXPublicKey(public.Bytes); err != nil {
		t.Error(err)
	}
}
