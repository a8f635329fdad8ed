package rpmrepo

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Key is an OpenPGP key that was found by its whole fingerprint. What the key file says about the key besides (names,
// expiry, signatures on itself, which of the known keys make with SHA-1) is not looked at: the fingerprint is the trust.
type Key struct {
	Fingerprint string // 40 upper-case hex digits
	Weak        bool   // a key of a kind, or with signatures of a kind, that only pinning it as such lets pass
	public      *packet.PublicKey
}

// ParseKey finds the key with the fingerprint in a key file, armored or not. Other keys in the file are not used. A key that is
// no RSA key of 2048 bits or more is refused unless it is said to be weak; so are, later, its signatures with SHA-1.
func ParseKey(data []byte, fingerprint string, weak bool) (*Key, error) {
	blocks, err := openArmor(data)
	if err != nil {
		return nil, fmt.Errorf("reading the key file: %w", err)
	}
	var others []string
	for _, b := range blocks {
		found, err := primaryKeys(b)
		if err != nil {
			return nil, fmt.Errorf("reading the key file: %w", err)
		}
		for _, pk := range found {
			fp := fmt.Sprintf("%X", pk.Fingerprint)
			if fp == fingerprint {
				if rsaKey, ok := pk.PublicKey.(*rsa.PublicKey); !weak && (!ok || rsaKey.N.BitLen() < 2048) {
					return nil, fmt.Errorf("the key %s is weak (no RSA key of 2048 bits or more): say weak: true for it in the catalogue when there is no better one", fp)
				}
				return &Key{Fingerprint: fp, Weak: weak, public: pk}, nil
			}
			others = append(others, fp)
		}
	}
	if others == nil {
		return nil, errors.New("the key file holds no key")
	}
	return nil, fmt.Errorf("the key file holds the key %s, want %s", strings.Join(others, " and "), fingerprint)
}

// openArmor returns the binary content of each armored block, or the data itself when it is not armored.
func openArmor(data []byte) ([][]byte, error) {
	armorBegin := []byte("-----BEGIN PGP ")
	if !bytes.Contains(data, armorBegin) {
		return [][]byte{data}, nil
	}
	var list [][]byte
	// The library reads ahead, so each block is cut out first.
	for rest := data; ; {
		at := bytes.Index(rest, armorBegin)
		if at < 0 {
			return list, nil
		}
		block := rest[at:]
		end := bytes.Index(block[len(armorBegin):], armorBegin)
		if end >= 0 {
			block = block[:len(armorBegin)+end]
		}
		rest = rest[at+len(block):]
		b, err := armor.Decode(bytes.NewReader(block))
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(b.Body)
		if err != nil {
			return nil, err
		}
		list = append(list, content)
	}
}

// primaryKeys returns the primary public keys of a key ring.
func primaryKeys(data []byte) ([]*packet.PublicKey, error) {
	var list []*packet.PublicKey
	r := packet.NewOpaqueReader(bytes.NewReader(data))
	for {
		op, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		if op.Tag != 6 { // public key, RFC 4880 section 4.3; the rest is not needed
			continue
		}
		p, err := op.Parse()
		if err != nil {
			return nil, err
		}
		if pk, ok := p.(*packet.PublicKey); ok && !pk.IsSubkey && pk.Version == 4 {
			list = append(list, pk)
		}
	}
}

// VerifyDetached checks a detached signature, armored or not, over content. It must be the key's own.
func (k *Key) VerifyDetached(content, signature []byte) error {
	blocks, err := openArmor(signature)
	if err != nil {
		return fmt.Errorf("reading the signature: %w", err)
	}
	var failed error
	for _, b := range blocks {
		s, err := parseSignature(b)
		if err == nil && s.weak() {
			err = errors.New("it is made with SHA-1")
		}
		if err == nil {
			h := s.hash.New()
			h.Write(content)
			err = s.verify(k, h)
		}
		if err == nil {
			return nil
		}
		failed = errors.Join(failed, err)
	}
	if failed == nil {
		failed = errors.New("it is empty")
	}
	return fmt.Errorf("signature by %s: %w", k.Fingerprint, failed)
}
