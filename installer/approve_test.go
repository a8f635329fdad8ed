package installer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"net"
	"strings"
	"testing"

	"offgrid/bundle"
	"offgrid/installer/hosttest"
)

// serving is a request as kubelet 1.20 makes it; edit spoils it.
func serving(t *testing.T, edit func(*x509.CertificateRequest, *csrObject)) csrObject {
	t.Helper()
	var o csrObject
	o.Metadata.Name, o.Spec.SignerName, o.Spec.Username = "csr-x", servingSigner, "system:node:20.0.9.5"
	o.Spec.Groups, o.Spec.Usages = []string{"system:nodes", "system:authenticated"}, []string{"digital signature", "key encipherment", "server auth"}
	csr := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "system:node:20.0.9.5", Organization: []string{"system:nodes"}}, IPAddresses: []net.IP{net.IPv4(20, 0, 9, 5)}}
	edit(csr, &o)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, csr, key)
	if err != nil {
		t.Fatal(err)
	}
	if o.Spec.Request == nil {
		o.Spec.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	return o
}

func TestOnlyANodesOwnRequestIsApproved(t *testing.T) {
	index := &bundle.RoleIndex{Hosts: []bundle.Host{
		{Name: "master01", IP: "20.0.0.100", Roles: []string{"master"}}, {Name: "node01", IP: "20.0.0.103", Roles: []string{"node"}, NodeName: "20.0.0.103"},
	}, Cluster: bundle.Cluster{JoinCIDRs: []string{"20.0.9.0/24"}, VIP: "20.0.9.110"}}
	for name, c := range map[string]struct {
		edit  func(*x509.CertificateRequest, *csrObject)
		node  string // addresses of the Node object, with commas
		fault string
	}{
		"a right one":               {func(*x509.CertificateRequest, *csrObject) {}, "20.0.9.5", ""},
		"for a user":                {func(_ *x509.CertificateRequest, o *csrObject) { o.Spec.Username = "admin" }, "20.0.9.5", `it was made by "admin", which is no node`},
		"for another node's name":   {func(r *x509.CertificateRequest, _ *csrObject) { r.Subject.CommonName = "system:node:x" }, "20.0.9.5", `asks for a certificate of "system:node:x"`},
		"with another organisation": {func(r *x509.CertificateRequest, _ *csrObject) { r.Subject.Organization = []string{"system:masters"} }, "20.0.9.5", `its organisation is "system:masters"`},
		"for a client":              {func(_ *x509.CertificateRequest, o *csrObject) { o.Spec.Usages = append(o.Spec.Usages, "client auth") }, "20.0.9.5", "it is not for serving"},
		"with a name that it has":   {func(r *x509.CertificateRequest, _ *csrObject) { r.DNSNames = []string{"kubernetes"} }, "20.0.9.5,kubernetes", `the name "kubernetes" is not this node's`},
		"with one address too many": {func(r *x509.CertificateRequest, _ *csrObject) {
			r.IPAddresses = append(r.IPAddresses, net.IPv4(20, 0, 9, 6))
		}, "20.0.9.5", "it is for 20.0.9.5, 20.0.9.6, and the node has 20.0.9.5"},
		"for the balancers' address": {func(r *x509.CertificateRequest, _ *csrObject) { r.IPAddresses[0] = net.IPv4(20, 0, 9, 110) }, "20.0.9.110", "20.0.9.110 is the address of the load balancers"},
		"for a master's address":     {func(r *x509.CertificateRequest, _ *csrObject) { r.IPAddresses[0] = net.IPv4(20, 0, 0, 100) }, "20.0.0.100", "20.0.0.100 is the address of master01"},
		"from outside":               {func(r *x509.CertificateRequest, _ *csrObject) { r.IPAddresses[0] = net.IPv4(30, 0, 0, 1) }, "30.0.0.1", "30.0.0.1 is neither in the cluster file nor in nodes.joinCIDRs (20.0.9.0/24)"},
		"no PEM":                     {func(_ *x509.CertificateRequest, o *csrObject) { o.Spec.Request = []byte("x") }, "20.0.9.5", "it is no certificate request"},
		"of no node":                 {func(*x509.CertificateRequest, *csrObject) {}, "", "the cluster has no node 20.0.9.5"},
	} {
		h := hosttest.New(t)
		h.Script(kubectlPath, func(string, []string) (string, error) {
			if c.node == "" {
				return "", nil
			}
			var said []map[string]string
			for at := range strings.SplitSeq(c.node, ",") {
				said = append(said, map[string]string{"type": "InternalIP", "address": at})
			}
			text, err := json.Marshal(map[string]any{"metadata": map[string]string{"name": "20.0.9.5"}, "status": map[string]any{"addresses": said}})
			return string(text), err
		})
		a := &approver{h: h, index: index, tool: &ApplyStep{Kubectl: kubectlPath, Kubeconfig: adminKubeconfig}}
		q, err := a.judge(t.Context(), serving(t, c.edit))
		if err != nil || !strings.Contains(q.Fault, c.fault) || (c.fault == "") != (q.Fault == "") {
			t.Errorf("%s: %v, %q, want %q", name, err, q.Fault, c.fault)
		}
	}
}

func TestAMintedTokenHasTheFormOfOne(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		token := randomText(6) + "." + randomText(16)
		if _, err := CheckToken(token + "\n"); err != nil || seen[token] {
			t.Fatalf("%q: %v", token, err)
		}
		seen[token] = true
	}
	for _, wrong := range []string{"", "abc.def", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcde"} {
		if _, err := CheckToken(wrong); err == nil {
			t.Errorf("%q is taken for a token", wrong)
		}
	}
}
