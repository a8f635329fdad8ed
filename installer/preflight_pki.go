package installer

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/bundle/hostpack"
)

// packFile returns the content of a file of the host pack, or of the role's public texts.
func packFile(r *RoleInput, name string) ([]byte, bool) {
	if r.Pack != nil {
		i := slices.IndexFunc(r.Pack.Files, func(f hostpack.File) bool { return f.Path == name })
		if i >= 0 {
			return r.Pack.Files[i].Data, true
		}
	}
	data, ok := r.Texts[name]
	return data, ok
}

// checkPack insists on a pack of this host, this role and this cluster.
func checkPack(in *PreflightInput, r *RoleInput) []Finding {
	h, planned := hostByIP(r.Index, in.Want.IP)
	if !planned || !slices.Contains(h.Roles, r.Index.Role) {
		return nil // said by checkPlanned
	}
	const why = "the host's keys and settings are in its pack"
	switch {
	case r.Closed != nil:
		return r.Closed
	case r.Plain:
		return warning("pack-plain", "the host packs in this bundle are not sealed (security.packs: plain in the cluster file)", r.Path,
			"whoever has had the medium in his hands has the private keys of its hosts", "guard the medium like the keys, or with security.packs: sealed: bundle build")
	case r.Pack == nil:
		return usage("no-pack", "the bundle has no pack for "+h.Name, r.Path, why, "bundle build")
	case r.Pack.IP != h.IP || r.Pack.Role != r.Index.Role || r.Pack.Cluster != r.Index.Cluster.ID:
		return usage("wrong-pack", "the pack in the bundle is for "+r.Pack.Role+" on "+r.Pack.IP, r.Path, why, "bundle build")
	}
	return nil
}

// packCert is a certificate that the pack places.
type packCert struct {
	path string
	cert *x509.Certificate
	pem  []byte
}

// packCertificates returns the first certificate of every PEM file, CAs included.
func packCertificates(r *RoleInput) []packCert {
	if r.Pack == nil {
		return nil
	}
	var found []packCert
	for _, f := range r.Pack.Files {
		block, _ := pem.Decode(f.Data)
		if block == nil || block.Type != "CERTIFICATE" {
			continue
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			found = append(found, packCert{path: f.Path, cert: cert, pem: f.Data})
		}
	}
	return found
}

// kubeconfigCertificates returns the certificates that the pack's kubeconfigs hold.
func kubeconfigCertificates(r *RoleInput) []packCert {
	if r.Pack == nil {
		return nil
	}
	var found []packCert
	for _, f := range r.Pack.Files {
		if !isKubeconfig(f.Path) {
			continue
		}
		block, _ := pem.Decode(kubeconfigCertificate(f.Data))
		if block == nil {
			continue // one with a token
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			found = append(found, packCert{path: f.Path, cert: cert, pem: pem.EncodeToMemory(block)})
		}
	}
	return found
}

// kubeconfigCertificate is the certificate, in PEM, that a kubeconfig holds itself; nil when there is none.
func kubeconfigCertificate(data []byte) []byte {
	return parseKubeconfig(data, func(string) []byte { return nil }).cert
}

func isKubeconfig(name string) bool {
	return strings.HasSuffix(name, ".kubeconfig") || strings.HasSuffix(name, "/.kube/config")
}

// checkEnds speaks of what is over or soon will be. What is not valid yet is the clock's affair.
func checkEnds(in *PreflightInput, r *RoleInput) []Finding {
	var found []Finding
	var soon []packCert
	for _, c := range slices.Concat(packCertificates(r), kubeconfigCertificates(r)) {
		switch certificateState(c.cert, in.Facts.Now) {
		case certificateExpired:
			found = append(found, usage("certificate-expired", c.path+" expired at "+utc(c.cert.NotAfter), c.path,
				"nobody accepts it any more; this host's clock says "+utc(in.Facts.Now),
				"if the clock is right, on the machine with internet: bundle pki renew && bundle build   (else: date -u -s 'YYYY-MM-DD HH:MM:SS')")...)
		case certificateSoon:
			soon = append(soon, c)
		}
	}
	if len(soon) == 0 {
		return found
	}
	first := slices.MinFunc(soon, func(a, b packCert) int { return a.cert.NotAfter.Compare(b.cert.NotAfter) })
	return append(found, warning("certificate-ends", fmt.Sprintf("%d of the certificates in the bundle end within %d days, the first at %s", len(soon), expiryDays, utc(first.cert.NotAfter)),
		first.path, "the cluster stops when they end, and new ones need another trip", renewCommand())...)
}

// checkCertificates looks at what the connections of this host will be judged by. A fault here was made by the build.
func checkCertificates(in *PreflightInput, r *RoleInput) []Finding {
	all := packCertificates(r)
	pool := x509.NewCertPool()
	for _, c := range all {
		if c.cert.IsCA {
			pool.AddCert(c.cert)
		}
	}
	for _, text := range r.Texts {
		pool.AppendCertsFromPEM(text)
	}
	var found []Finding
	for _, c := range all {
		if c.cert.IsCA {
			continue
		}
		found = append(found, checkLeaf(in, r, c, pool)...)
	}
	return append(found, checkEnds(in, r)...)
}

const rebuild = "bundle build"

func checkLeaf(in *PreflightInput, r *RoleInput, c packCert, pool *x509.CertPool) []Finding {
	var found []Finding
	at := in.Facts.Now
	if at.Before(c.cert.NotBefore) || at.After(c.cert.NotAfter) {
		at = c.cert.NotBefore // the clock has its own finding
	}
	if _, err := c.cert.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		found = append(found, usage("certificate-chain", c.path+" is signed by none of the bundle's authorities", c.path, err.Error(), rebuild)...)
	}
	if key, ok := packFile(r, keyPath(c.path)); ok {
		if _, err := tls.X509KeyPair(c.pem, key); err != nil {
			found = append(found, usage("certificate-key", keyPath(c.path)+" is not the key of "+c.path, c.path, err.Error(), rebuild)...)
		}
	}
	serves := slices.Contains(c.cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	if !serves {
		return found
	}
	if err := c.cert.VerifyHostname(r.Pack.IP); err != nil {
		found = append(found, usage("certificate-address", c.path+" is not for "+r.Pack.IP, c.path,
			"clients refuse a server whose certificate does not name its address", rebuild)...)
	}
	if r.Index.Role == bundle.RoleMaster {
		found = append(found, checkEndpointName(r, c)...)
	}
	if r.Index.Role == bundle.RoleEtcd && !slices.Contains(c.cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		found = append(found, usage("certificate-usage", c.path+" may serve but not connect", c.path,
			"etcd connects to itself and to its peers with it, and fails with \"tls: bad certificate\"", rebuild)...)
	}
	return found
}

// checkEndpointName insists that the API server's certificate names the address that nodes connect to.
func checkEndpointName(r *RoleInput, c packCert) []Finding {
	u, err := url.Parse(r.Index.Cluster.APIServer)
	if err != nil || c.cert.VerifyHostname(u.Hostname()) == nil {
		return nil
	}
	return usage("certificate-endpoint", c.path+" is not for "+u.Hostname(), c.path, "nodes connect to "+r.Index.Cluster.APIServer, rebuild)
}

// keyPath is where the key of a certificate lies: server.pem and server-key.pem.
func keyPath(cert string) string { return strings.TrimSuffix(cert, ".pem") + "-key.pem" }

// Token formats as Kubernetes defines them: k8s.io/cluster-bootstrap/token/api.
const (
	// staticPattern is the token of a site with the profile seed, which API servers read from staticTokens.
	staticPattern      = `^[0-9a-f]{32}$`
	staticTokens       = "/opt/kubernetes/cfg/token.csv"
	tokenIDPattern     = `^[a-z0-9]{6}$`
	tokenSecretPattern = `^[a-z0-9]{16}$`
	tokenLinePattern   = `(?m)^\s*"?token"?:\s*"?([^"\s,]*)"?`
	serverLinePattern  = `(?m)^\s*-?\s*"?server"?:\s*"?([^"\s,]*)"?`
)

// checkTokens insists that the bootstrap tokens in the bundles can be accepted: right in form and the same everywhere.
func checkTokens(in *PreflightInput, r *RoleInput) []Finding {
	var found []Finding
	if r.Pack == nil {
		return nil
	}
	const why = "kubelet would be refused with \"Unauthorized\""
	if t := r.Pack.Token; t != nil {
		id, secret := regexp.MustCompile(tokenIDPattern), regexp.MustCompile(tokenSecretPattern)
		if !id.MatchString(t.ID) || !secret.MatchString(t.Secret) {
			found = append(found, usage("token-form", "the bootstrap token does not have the form of one", r.Path, why, rebuild)...)
		}
	}
	token, path, ok := bootstrapToken(r)
	if !ok {
		return found
	}
	if !regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`).MatchString(token) && !regexp.MustCompile(staticPattern).MatchString(token) {
		return append(found, usage("token-form", "the bootstrap token does not have the form of one", path, why, rebuild)...)
	}
	for i := range in.Roles {
		if known := knownToken(&in.Roles[i]); in.Want.Token == "" && known != "" && known != token {
			found = append(found, usage("token-differs", "the node's bootstrap token is not the one that the master makes known", path, why, rebuild)...)
		}
	}
	return found
}

// knownToken is the token that a master's pack makes known: to the cluster, or to its own API server in a file; "" of other roles.
func knownToken(r *RoleInput) string {
	if r.Pack == nil {
		return ""
	}
	if t := r.Pack.Token; t != nil {
		return t.ID + "." + t.Secret
	}
	lines, _ := packFile(r, staticTokens)
	token, _, _ := strings.Cut(string(lines), ",")
	return token
}

// bootstrapToken finds the token in the node's bootstrap kubeconfig.
func bootstrapToken(r *RoleInput) (token, path string, ok bool) {
	for _, f := range r.Pack.Files {
		if !strings.HasSuffix(f.Path, "bootstrap.kubeconfig") {
			continue
		}
		m := regexp.MustCompile(tokenLinePattern).FindSubmatch(f.Data)
		if m == nil {
			return "", f.Path, true
		}
		return string(m[1]), f.Path, true
	}
	return "", "", false
}

// checkKubeconfigs insists that every kubeconfig names an API server and not the node itself.
func checkKubeconfigs(_ *PreflightInput, r *RoleInput) []Finding {
	if r.Pack == nil {
		return nil
	}
	right := []string{r.Index.Cluster.APIServer}
	port := "443"
	if u, err := url.Parse(r.Index.Cluster.APIServer); err == nil && u.Port() != "" {
		port = u.Port()
	}
	for _, h := range hostsWith(r.Index, bundle.RoleMaster) {
		right = append(right, "https://"+net.JoinHostPort(h.IP, port))
	}
	var found []Finding
	for _, f := range r.Pack.Files {
		if !isKubeconfig(f.Path) {
			continue
		}
		m := regexp.MustCompile(serverLinePattern).FindSubmatch(f.Data)
		if m != nil && slices.Contains(right, strings.TrimSuffix(string(m[1]), "/")) {
			continue
		}
		server := "no server"
		if m != nil {
			server = string(m[1])
		}
		found = append(found, usage("kubeconfig-server", f.Path+" names "+server+", which is no API server of the cluster", f.Path,
			"API servers: "+strings.Join(right, ", "), rebuild)...)
	}
	return found
}
