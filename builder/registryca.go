package builder

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// maxAuthority bounds images.registryCA: a handful of certificates.
const maxAuthority = 64 << 10

// registryCA reads the authority of the site's registry; nil when the cluster file names none. It ends up in the part of the
// bundle that everybody may read, so a key in it is refused.
func (s *Site) registryCA() ([]byte, error) {
	name := s.cluster.Images.RegistryCA
	if name == "" {
		return nil, nil
	}
	data, err := readAtMost(s.path(name), maxAuthority)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no such file in the site %q", s.opts.Dir)
	}
	if err == nil {
		err = checkAuthority(data, s.opts.Now())
	}
	if err != nil {
		return nil, &RegistryError{fmt.Sprintf("reading images.registryCA %q: %v", name, err)}
	}
	return data, nil
}

// checkAuthority insists on certificates in PEM that can vouch for a server now, and on nothing else.
func checkAuthority(data []byte, now time.Time) error {
	rest := bytes.TrimSpace(data)
	if len(rest) == 0 {
		return errors.New("it is empty; it should hold the authority's certificate in PEM")
	}
	for len(rest) > 0 {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		rest = bytes.TrimSpace(rest)
		switch {
		case block == nil:
			return errors.New("it is not PEM; `openssl x509 -inform der -in FILE -out ca.pem` turns DER into it")
		case block.Type != "CERTIFICATE":
			return fmt.Errorf("it holds a %s; every node gets the file, and only certificates may be in it", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			return err
		case !c.IsCA && c.Issuer.String() != c.Subject.String():
			return fmt.Errorf("%s is the certificate of a server; the one of the authority that signed it (%s) is wanted", c.Subject, c.Issuer)
		case !now.Before(c.NotAfter):
			return fmt.Errorf("%s expired at %s", c.Subject, c.NotAfter.UTC().Format(time.DateOnly))
		}
	}
	return nil
}
