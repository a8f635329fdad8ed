package sitetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"slices"
	"testing"
	"time"
)

// cert is a certificate with its key.
type cert struct {
	cert        *x509.Certificate
	key         *ecdsa.PrivateKey
	pem, keyPEM []byte
}

// pki is the site's two authorities, and what kubelets get.
type pki struct {
	time               time.Time
	etcd, kube         *cert
	nextEtcd, nextKube *cert  // those that take their place when the authorities are changed
	pair               []byte // certificate and key in one file
}

func newPKI(t testing.TB, now time.Time) *pki {
	t.Helper()
	p := &pki{time: now}
	for name, ca := range map[string]**cert{"etcd": &p.etcd, "kubernetes": &p.kube, "next etcd": &p.nextEtcd, "next kubernetes": &p.nextKube} {
		*ca = p.sign(t, nil, &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	}
	kubelet := p.client(t, p.kube, "system:node")
	p.pair = slices.Concat(kubelet.pem, kubelet.keyPEM)
	return p
}

// sign makes a certificate; without an authority it signs itself.
func (p *pki) sign(t testing.TB, ca *cert, template *x509.Certificate) *cert {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	template.NotBefore, template.NotAfter = p.time.AddDate(0, -1, 0), p.time.AddDate(2, 0, 0)
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &cert{cert: parsed, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		keyPEM: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})}
}

func (p *pki) server(t testing.TB, ca *cert, name string) *cert {
	t.Helper()
	var ips []net.IP
	for _, h := range append(Table(), Balancers()...) {
		ips = append(ips, net.ParseIP(h.IP))
	}
	ips = append(ips, net.ParseIP(VIP))
	return p.sign(t, ca, &x509.Certificate{Subject: pkix.Name{CommonName: name}, IPAddresses: append(ips, net.ParseIP("127.0.0.1")),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
}

func (p *pki) client(t testing.TB, ca *cert, name string) *cert {
	t.Helper()
	return p.sign(t, ca, &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

func kubeconfig(ca []byte, server string, c *cert, token string) []byte {
	b64 := base64.StdEncoding.EncodeToString
	text := fmt.Sprintf("clusters:\n- name: kubernetes\n  cluster:\n    certificate-authority-data: %s\n    server: %s\nusers:\n- name: user\n  user:\n", b64(ca), server)
	if c == nil {
		return fmt.Appendf(nil, "%s    token: %s\n", text, token)
	}
	return fmt.Appendf(nil, "%s    client-certificate-data: %s\n    client-key-data: %s\n", text, b64(c.pem), b64(c.keyPEM))
}
