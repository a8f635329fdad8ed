package builder

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"time"
)

// Certificate describes one certificate of a site.
type Certificate struct {
	Path      string    `json:"path"` // inside pki/, with slashes
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	CA        bool      `json:"ca"`
	Names     []string  `json:"names"` // DNS names, then addresses
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
}

// NoPKIError says that a site has no certificates yet.
type NoPKIError struct{ Dir string }

func (e *NoPKIError) Error() string {
	return fmt.Sprintf("reading certificates of site %q: there is no %s/ yet", e.Dir, PKIName)
}

// Certificates lists the certificates in a site's pki/, sorted by path. It reads only.
func Certificates(dir string) ([]Certificate, error) {
	root := filepath.Join(dir, PKIName)
	all := []Certificate{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
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
	return all, nil
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
		all = append(all, Certificate{
			Path: name, Subject: c.Subject.String(), Issuer: c.Issuer.CommonName, CA: c.IsCA,
			Names: names, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		})
	}
}
