//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestWhatIsLetInAndWhatIsRefusedOnALivingCluster is the part of installer/RECOVERY.md that TestTheDaysAfter leaves out.
func TestWhatIsLetInAndWhatIsRefusedOnALivingCluster(t *testing.T) {
	if !*full {
		t.Skip("only with -full: six hosts")
	}
	_, newer := editions(t)
	s := newer.four(t)
	t.Run("a spare member of etcd is let in, and its host becomes a master", s.spareComes)
	t.Run("a host whose token has expired waits for a new one", func(t *testing.T) {
		h := newer.hosts(s.t, "node03")[0]
		s.tokenExpired(t, h)
		t.Run("and only its own request is approved", func(t *testing.T) { s.wrongRequests(t, h) })
	})
	t.Run("a restore is refused", s.restoreRefused)
	t.Run("all is well after it", func(t *testing.T) { s.in(t).whole() })
}

func (s *site) spareComes(t *testing.T) {
	h := s.rig.hosts(s.t, "master03")[0]
	s = s.in(t)
	h.bring("etcd", "master")
	out := h.install("etcd")
	if want := "or another host whose etcd works, run: /var/lib/offgrid/install etcd add etcd04"; !strings.Contains(flat(out), want) {
		t.Errorf("the spare does not say %q:\n%s", want, out)
	}
	s.node01.refused(2, "\"etcd09\" is no planned member of etcd", offgrid, "etcd", "add", "etcd09", "--yes")
	s.node01.refused(2, "etcd01 on master01 (20.0.0.100) is a member already", offgrid, "etcd", "add", "etcd01", "--yes")
	start := time.Now()
	s.node01.must(offgrid, "etcd", "add", "etcd04", "--yes")
	fourth := func() string {
		out := s.master01.etcdctl("member", "list").out
		if strings.Count(out, ", started, ") != 4 || !strings.Contains(out, ", etcd04, https://20.0.0.102:2380, ") {
			return "not four members that were started:\n" + out
		}
		return ""
	}
	eventually(t, 3*time.Minute, fourth)
	t.Logf("four members %.0f s after `etcd add`", time.Since(start).Seconds())
	s.node01.refused(2, "etcd04 on master03 (20.0.0.102) is a member already", offgrid, "etcd", "add", "etcd04", "--yes")
	eventually(t, 3*time.Minute, h.converged)
	h.install("master")
	h.runsAs(newKube, masterUnits...)
	if out := h.must("kubectl", "--server=https://20.0.0.102:6443", "get", "nodes"); !strings.Contains(out, s.node01.ip) {
		t.Errorf("the API server of the spare does not show node01:\n%s", out)
	}
	s.whole()
}

func (s *site) tokenExpired(t *testing.T, h *host) {
	s = s.in(t)
	// what the controllers do with a token whose time is over
	s.master01.must("kubectl", "delete", "secret", "-n", "kube-system", "--field-selector", "type=bootstrap.kubernetes.io/token")
	h.bring("node")
	h.must("hostnamectl", "set-hostname", "press07")
	out := h.install("node")
	if !strings.Contains(out, "waits") || !strings.Contains(out, "install token") {
		t.Errorf("the host does not say that it waits for a token:\n%s", out)
	}
	s.master01.refused(2, "a token cannot live 5s: from a minute to a year", offgrid, "token", "--ttl", "5s")
	cmd := h.command(offgrid, "resume", "--token-file", "-")
	cmd.Stdin = strings.NewReader(firstWord(s.master01.must(offgrid, "token", "--ttl", "10m")) + "\n")
	if r := finish(t, cmd, 5*time.Minute); r.code != 0 || !strings.Contains(flat(r.out), "install approve") {
		t.Errorf("resume with a token ended with %d, want 0 and a word on approve:\n%s", r.code, r.out)
	}
}

// wrongRequests are made with the certificate of a node that joined: what its owner might try.
func (s *site) wrongRequests(t *testing.T, h *host) {
	s = s.in(t)
	pair := h.must("cat", "/opt/kubernetes/ssl/kubelet-client-current.pem")
	if err := os.WriteFile(s.master01.path("root/press07.pem"), []byte(pair), 0o600); err != nil {
		t.Fatal(err)
	}
	s.asks("other-node", "system:node:20.0.0.103", "20.0.0.103")
	s.asks("other-address", "system:node:20.0.0.120", "20.0.0.100")
	out := s.master01.refused(2, "not approved: ", offgrid, "approve", "--all-pending")
	for _, words := range []string{
		`REFUSED: system:node:20.0.0.120 asks for a certificate of "system:node:20.0.0.103"`, "REFUSED: it is for 20.0.0.100, and the node has ",
	} {
		if !strings.Contains(flat(out), words) {
			t.Errorf("approve does not say %q:\n%s", words, out)
		}
	}
	t.Log(out)
	s.master01.refused(2, "asks for a certificate of", offgrid, "approve", "other-node")
	for _, name := range []string{"other-node", "other-address"} {
		if out := s.master01.must("kubectl", "get", "csr", name, "-o", "jsonpath={.status}"); strings.Contains(out, "Approved") {
			t.Errorf("%s was approved: %s", name, out)
		}
	}
	s.master01.must("kubectl", "delete", "csr", "other-node", "other-address")
	s.serves(h)
	eventually(t, time.Minute, h.converged)
	h.must("rm", "-f", "node.bundle")
	s.master01.must("rm", "press07.pem")
}

// asks makes a request for a serving certificate as the node press07.
func (s *site) asks(name, common, ip string) {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: common, Organization: []string{"system:nodes"}}, IPAddresses: []net.IP{net.ParseIP(ip)}}, key)
	if err != nil {
		s.t.Fatal(err)
	}
	request := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	cmd := s.master01.command("kubectl", "--kubeconfig=/dev/null", "--server=https://20.0.0.100:6443", "--certificate-authority=/opt/kubernetes/ssl/ca.pem",
		"--client-certificate=press07.pem", "--client-key=press07.pem", "create", "-f", "-")
	cmd.Stdin = strings.NewReader(`{"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "` + name + `"}, "spec": {"request": "` + request +
		`", "signerName": "kubernetes.io/kubelet-serving", "usages": ["digital signature", "key encipherment", "server auth"]}}`)
	if r := finish(s.t, cmd, time.Minute); r.code != 0 {
		s.t.Fatalf("asking as press07: %s", r.out)
	}
}

func (s *site) restoreRefused(t *testing.T) {
	s = s.in(t)
	s.master01.must(offgrid, "etcd", "snapshot", "/root/now.db")
	s.master01.must("kubectl", "create", "configmap", "made-after-it")
	out := s.master01.refused(5, "a restore replaces the data of the whole cluster, and this still runs: ", offgrid, "etcd", "restore", "/root/now.db", "--yes")
	for _, words := range []string{"etcd on node01 (20.0.0.103)", "etcd on node02 (20.0.0.104)", "etcd on this host", "kube-apiserver on this host", "systemctl stop etcd"} {
		if !strings.Contains(flat(out), words) {
			t.Errorf("the refusal does not say %q:\n%s", words, out)
		}
	}
	// one that stops only what is on his own host has not stopped the cluster
	s.master01.must("systemctl", "stop", "etcd", "kube-apiserver")
	s.master01.refused(5, "etcd on node01 (20.0.0.103)", offgrid, "etcd", "restore", "/root/now.db", "--yes")
	s.master01.must("systemctl", "start", "etcd", "kube-apiserver")
	s.whole()
	s.master01.must("kubectl", "get", "configmap", "made-after-it")
}
