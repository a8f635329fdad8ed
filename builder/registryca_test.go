package builder_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"offgrid/builder"
	"offgrid/bundle"
)

// authority makes a certificate; without an issuer it signs itself.
func authority(t *testing.T, ca bool, issuer string, end time.Time) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "site"}, NotBefore: end.AddDate(-9, 0, 0), NotAfter: end, IsCA: ca, BasicConstraintsValid: true}
	parent := c
	if issuer != "" {
		parent = &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: issuer}}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestNodesAreGivenTheAuthorityOfTheSitesRegistry(t *testing.T) {
	s := newBuildSite(t)
	s.edit(t, "hosts:\n", "images: {registry: \"r.example:5000/mirror\", registryCA: ca.pem}\nhosts:\n")
	good := authority(t, true, "", time.Now().AddDate(1, 0, 0))
	write(t, filepath.Join(s.dir, "ca.pem"), good)
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	for role, want := range map[string]string{"node": good, "master": "", "etcd": ""} {
		b, got := s.open(t, role), ""
		for _, f := range b.Role.Files {
			if f.Path == "/etc/docker/certs.d/r.example:5000/ca.crt" && f.Mode == 0o644 {
				got = f.Artifact
			}
		}
		a, ok := b.Artifact(got)
		if ok != (want != "") || ok && a.Blob.Digest != bundle.DigestOf([]byte(want)) {
			t.Errorf("%s: the authority is %q", role, got)
		}
	}
	// Another authority is another bundle.
	write(t, filepath.Join(s.dir, "ca.pem"), good+authority(t, true, "", time.Now().AddDate(2, 0, 0)))
	if r, err := s.build(); err != nil || r.Unchanged {
		t.Errorf("%v, unchanged: %v", err, r != nil && r.Unchanged)
	}
}

func TestAnAuthorityThatCannotVouchIsRefusedAtTheBuild(t *testing.T) {
	s := newBuildSite(t)
	s.edit(t, "hosts:\n", "images: {registry: \"r.example:5000\", registryCA: ca.pem}\nhosts:\n")
	year := time.Now().AddDate(1, 0, 0)
	good := authority(t, true, "", year)
	for want, content := range map[string]string{
		"it is empty":                               "\n",
		"it is not PEM":                             "MIIB",
		"it is not PEM; `openssl":                   good + "and more",
		"it holds a EC PRIVATE KEY":                 good + "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
		"is the certificate of a server":            authority(t, false, "the authority", year),
		"CN=site expired at ":                       authority(t, true, "", time.Now().AddDate(0, 0, -1)),
		`reading images.registryCA "ca.pem": there`: "",
	} {
		if err := os.RemoveAll(filepath.Join(s.dir, "ca.pem")); err != nil {
			t.Fatal(err)
		}
		if content != "" {
			write(t, filepath.Join(s.dir, "ca.pem"), content)
		}
		if _, err := s.build(); err == nil || !builder.Refused(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	write(t, filepath.Join(s.dir, "ca.pem"), authority(t, false, "", year)) // a registry that signed its own
	if _, err := s.build(); err != nil {
		t.Error(err)
	}
}
