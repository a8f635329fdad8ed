package pki

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/cloudflare/cfssl/config"
	"github.com/cloudflare/cfssl/csr"
	"github.com/cloudflare/cfssl/helpers"
	"github.com/cloudflare/cfssl/initca"
	"github.com/cloudflare/cfssl/log"
	"github.com/cloudflare/cfssl/signer"
	"github.com/cloudflare/cfssl/signer/local"
)

// silenceLibrary keeps cfssl, which logs every key it makes, from writing to standard error. Its level is a global of the
// library's: this is the one place that sets it, at the first call. A build makes certificates from one goroutine.
func silenceLibrary() {
	if log.Level != log.LevelFatal {
		log.Level = log.LevelFatal
	}
}

// ecdsaKey: P-256 for everything that speaks TLS. A key costs a millisecond instead of RSA's hundreds, handshakes are
// cheaper too, and every program of the stack (Go 1.15 and later, curl and openssl of el7) knows it.
func ecdsaKey() *csr.KeyRequest { return &csr.KeyRequest{A: "ecdsa", S: 256} }

// newCA makes a certificate authority that lives for years; the expiry stands in its own request, because what signs it
// gives it five years otherwise, whatever the profiles of later certificates promise.
func newCA(name, site string, years int, now time.Time) (Pair, error) {
	req := &csr.CertificateRequest{
		CN:         name + "-ca",
		Names:      []csr.Name{{OU: site}},
		KeyRequest: ecdsaKey(),
		CA:         &csr.CAConfig{PathLenZero: true, Expiry: yearsFrom(now, years).Sub(now.UTC().Truncate(time.Second)).String()},
	}
	request, key, err := csr.ParseRequest(req)
	if err != nil {
		return Pair{}, err
	}
	life, err := time.ParseDuration(req.CA.Expiry)
	if err != nil {
		return Pair{}, err
	}
	priv, err := helpers.ParsePrivateKeyPEM(key)
	if err != nil {
		return Pair{}, err
	}
	policy := initca.CAPolicy()
	policy.Default.Expiry, policy.Default.ExpiryString = life, req.CA.Expiry
	policy.Default.CAConstraint.MaxPathLenZero = true
	s, err := local.NewSigner(priv, nil, signer.DefaultSigAlgo(priv), policy)
	if err != nil {
		return Pair{}, err
	}
	begin := start(now)
	cert, err := s.Sign(signer.SignRequest{Request: string(request), NotBefore: begin, NotAfter: begin.Add(backdate + life)})
	if err != nil {
		return Pair{}, err
	}
	return parsePair(cert, key)
}

// issue makes a key and has the CA sign its certificate. It never outlives the CA.
func issue(ca Pair, want spec, req Request) (Pair, error) {
	request := &csr.CertificateRequest{CN: want.cn, Hosts: unique(want.needs, want.extra), KeyRequest: ecdsaKey()}
	if want.org != "" {
		request.Names = []csr.Name{{O: want.org}}
	}
	text, key, err := csr.ParseRequest(request)
	if err != nil {
		return Pair{}, err
	}
	end := yearsFrom(req.Now, req.Cluster.Security.CertLeafYears)
	if end.After(ca.Parsed.NotAfter) {
		end = ca.Parsed.NotAfter
	}
	begin := start(req.Now)
	if ca.Parsed.NotBefore.After(begin) {
		begin = ca.Parsed.NotBefore
	}
	caKey, err := helpers.ParsePrivateKeyPEM(ca.Key)
	if err != nil {
		return Pair{}, fmt.Errorf("reading the key of %q: %w", ca.Parsed.Subject.CommonName, err)
	}
	profile := &config.SigningProfile{Usage: want.usages(), Expiry: end.Sub(begin), ExpiryString: end.Sub(begin).String()}
	s, err := local.NewSigner(caKey, ca.Parsed, signer.DefaultSigAlgo(caKey), &config.Signing{Default: profile})
	if err != nil {
		return Pair{}, err
	}
	cert, err := s.Sign(signer.SignRequest{Request: string(text), NotBefore: begin, NotAfter: end})
	if err != nil {
		return Pair{}, err
	}
	return parsePair(cert, key)
}

func (s spec) usages() []string {
	out := []string{"digital signature"}
	if s.server {
		out = append(out, "server auth")
	}
	if s.client {
		out = append(out, "client auth")
	}
	return out
}

// start is when a certificate made now begins: earlier, for hosts whose clock is behind.
func start(now time.Time) time.Time { return now.UTC().Truncate(time.Second).Add(-backdate) }

func yearsFrom(now time.Time, years int) time.Time {
	return now.UTC().Truncate(time.Second).AddDate(years, 0, 0)
}

// newServiceKey makes the pair for service account tokens. RSA here: the tokens are read by whatever the site runs, not
// only by Kubernetes, and RS256 is the one signature that everything which reads tokens knows.
func newServiceKey() (private, public []byte, err error) {
	req := &csr.KeyRequest{A: "rsa", S: 2048}
	key, err := req.Generate()
	if err != nil {
		return nil, nil, err
	}
	s, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("internal error: %T cannot sign", key)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	public, err = publicPEM(s.Public())
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), public, err
}

func publicPEM(key crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// parsePair reads a certificate and its key and refuses ones that do not belong together.
func parsePair(cert, key []byte) (Pair, error) {
	p, err := parseCertificate(cert)
	if err != nil {
		return Pair{}, err
	}
	priv, err := helpers.ParsePrivateKeyPEM(key)
	if err != nil {
		return Pair{}, fmt.Errorf("the key is not readable: %w", err)
	}
	public, ok := priv.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(p.Parsed.PublicKey) {
		return Pair{}, errors.New("certificate and key do not belong together")
	}
	p.Key = key
	return p, nil
}

// parseCertificate reads one certificate in PEM.
func parseCertificate(cert []byte) (Pair, error) {
	block, rest := pem.Decode(cert)
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return Pair{}, errors.New("not one certificate in PEM")
	}
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return Pair{}, err
	}
	return Pair{Cert: cert, Parsed: parsed}, nil
}

// randomText returns n characters of [a-z0-9].
func randomText(n int) (string, error) {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	out := make([]byte, n)
	for i := range out {
		k, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			return "", fmt.Errorf("reading random numbers: %w", err)
		}
		out[i] = letters[k.Int64()]
	}
	return string(out), nil
}

// newSecrets makes what is random and no key pair.
func newSecrets() (site, error) {
	var raw [48]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return site{}, fmt.Errorf("reading random numbers: %w", err)
	}
	s := site{Format: siteFormat, ClusterID: hex.EncodeToString(raw[:16]), EncryptionKey: base64.StdEncoding.EncodeToString(raw[16:])}
	var err error
	if s.TokenID, err = randomText(6); err != nil {
		return site{}, err
	}
	s.TokenSecret, err = randomText(16)
	return s, err
}
