package builder

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"time"

	"offgrid/builder/internal/pki"
)

// Certificate describes one certificate of a site.
type Certificate struct {
	Path      string    `json:"path"` // inside pki/, with slashes
	Host      string    `json:"host"` // whose it is; "" of an authority
	Name      string    `json:"name"` // what it is for: "etcd-server"; of an authority "etcd authority"
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	CA        bool      `json:"ca"`
	Names     []string  `json:"names"` // DNS names, then addresses
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	Days      int       `json:"days"`  // left, negative when it has expired
	State     string    `json:"state"` // "ok", "soon" (fewer than 90 days left), "expired" or "early" (not valid yet)
}

// soon is how long before its end a certificate is warned of: renewing takes a trip to the site.
const soon = 90 * 24 * time.Hour

// NoPKIError says that a site has no certificates yet.
type NoPKIError struct{ Dir string }

func (e *NoPKIError) Error() string {
	return fmt.Sprintf("reading certificates of site %q: there is no %s/ yet", e.Dir, PKIName)
}

// Certificates lists the certificates in a site's pki/, sorted by path, as they are at the time now; not those that a
// renewal has replaced. It reads only.
func Certificates(dir string, now time.Time) ([]Certificate, error) {
	root := filepath.Join(dir, PKIName)
	all := []Certificate{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && pki.Aside(d.Name()) {
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() || path.Ext(name) != ".pem" && path.Ext(name) != ".crt" {
			return err
		}
		data, err := readLimited(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		found, err := parseCertificates(filepath.ToSlash(rel), data)
		all = append(all, found...)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NoPKIError{dir}
	}
	if err != nil {
		return nil, fmt.Errorf("reading certificates: %w", err)
	}
	for i := range all {
		all[i].judge(now)
	}
	return all, nil
}

// judge says how long the certificate is good for.
func (c *Certificate) judge(now time.Time) {
	left := c.NotAfter.Sub(now)
	c.Days, c.State = int(left/(24*time.Hour)), "ok"
	switch {
	case left <= 0:
		c.State = "expired"
	case now.Before(c.NotBefore):
		c.State = "early"
	case left < soon:
		c.State = "soon"
	}
}

// whose finds out from its place whose a certificate is and what for.
func whose(name string) (host, what string) {
	parts := strings.Split(name, "/")
	if len(parts) == 4 {
		return parts[1], parts[2]
	}
	return "", strings.TrimSuffix(parts[len(parts)-1], "-ca.pem") + " authority"
}

// parseCertificates finds the certificates in a PEM file; keys are passed over.
func parseCertificates(name string, data []byte) ([]Certificate, error) {
	var all []Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return all, nil
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing %q: %w", name, err)
		}
		names := append([]string{}, c.DNSNames...)
		for _, ip := range c.IPAddresses {
			names = append(names, ip.String())
		}
		host, what := whose(name)
		all = append(all, Certificate{
			Path: name, Host: host, Name: what, Subject: c.Subject.String(), Issuer: c.Issuer.CommonName, CA: c.IsCA,
			Names: names, NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(),
		})
	}
}
