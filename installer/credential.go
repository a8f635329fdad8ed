package installer

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"regexp"
	"slices"
	"strings"
)

// credential is what a connection is made with.
type credential struct {
	ca, cert, key []byte // PEM; nil when there is none
	token         string
	server        string // "https://20.0.0.100:6443"
}

// probe is a question that the credential is shown for.
func (c credential) probe(url string) Probe {
	return Probe{URL: url, CAPEM: c.ca, CertPEM: c.cert, KeyPEM: c.key, Token: c.token}
}

// etcdClients are the names of the certificates that may be shown to etcd, the best first.
func etcdClients() []string { return []string{"etcd-admin", "kube-apiserver-etcd-client"} }

// etcdCredential finds in a pack what is shown to etcd.
func etcdCredential(r *RoleInput) (credential, bool) {
	for _, name := range etcdClients() {
		for _, c := range packCertificates(r) {
			if c.cert.Subject.CommonName != name {
				continue
			}
			key, ok := packFile(r, keyPath(c.path))
			if !ok {
				continue
			}
			if ca := issuer(r, c.cert); ca != nil {
				return credential{ca: ca, cert: c.pem, key: key}, true
			}
		}
	}
	return credential{}, false
}

// issuer finds the authority that signed a certificate, in PEM.
func issuer(r *RoleInput, cert *x509.Certificate) []byte {
	var files [][]byte
	if r.Pack != nil {
		for _, f := range r.Pack.Files {
			files = append(files, f.Data)
		}
	}
	for _, data := range r.Texts {
		files = append(files, data)
	}
	for _, data := range files {
		block, _ := pem.Decode(data)
		if block == nil || block.Type != "CERTIFICATE" {
			continue
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err == nil && ca.IsCA && cert.CheckSignatureFrom(ca) == nil {
			return data
		}
	}
	return nil
}

// fileCredential finds the kubeconfig at a path, or the first one whose path ends so.
func fileCredential(r *RoleInput, suffix string) (credential, bool) {
	if r.Pack == nil {
		return credential{}, false
	}
	for _, f := range r.Pack.Files {
		if strings.HasSuffix(f.Path, suffix) {
			return parseKubeconfig(f.Data, func(path string) []byte {
				data, _ := packFile(r, path)
				return data
			}), true
		}
	}
	return credential{}, false
}

// parseKubeconfig reads the few lines that matter of a kubeconfig with one cluster and one user, in YAML or JSON. file
// returns the content of the files that it names.
func parseKubeconfig(data []byte, file func(path string) []byte) credential {
	value := func(key string) string {
		m := regexp.MustCompile(`(?m)^[\s-]*"?` + key + `"?:\s*"?([^"\s,]*)"?`).FindSubmatch(data)
		if m == nil {
			return ""
		}
		return string(m[1])
	}
	content := func(key string) []byte {
		if text, err := base64.StdEncoding.DecodeString(value(key + "-data")); err == nil && len(text) > 0 {
			return text
		}
		if path := value(key); path != "" {
			return file(path)
		}
		return nil
	}
	return credential{
		ca: content("certificate-authority"), cert: content("client-certificate"), key: content("client-key"),
		token: value("token"), server: strings.TrimSuffix(value("server"), "/"),
	}
}

// splitPair returns the certificate and the key of a file that holds both, as kubelet writes them.
func splitPair(data []byte) (cert, key []byte) {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return cert, key
		}
		switch {
		case block.Type == "CERTIFICATE":
			cert = append(cert, pem.EncodeToMemory(block)...)
		case slices.Contains([]string{"EC PRIVATE KEY", "RSA PRIVATE KEY", "PRIVATE KEY"}, block.Type):
			key = pem.EncodeToMemory(block)
		}
		data = rest
	}
}
