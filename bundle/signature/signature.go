// Package signature signs small files with ed25519 keys as minisign does, and verifies such signatures. Of all that minisign
// reads, one form is accepted: what Sign writes. Debian's minisign verifies it.
package signature

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"aead.dev/minisign"
)

// MaxSize bounds a signature in bytes: its four lines take 332 and the trusted comment.
const MaxSize = 1024

// maxComment bounds a trusted comment in bytes.
const maxComment = 512

// FingerprintBits is how much of a sha256 a fingerprint shows. Finding other bytes with the same 80 bits takes 2^80 tries;
// 20 digits are still read over a phone in half a minute.
const FingerprintBits = 80

// Fingerprint is the beginning of a sha256 for people: five groups of four hex digits, FingerprintBits in all.
func Fingerprint(sum [32]byte) string {
	digits := hex.EncodeToString(sum[:FingerprintBits/8])
	var groups []string
	for ; len(digits) > 0; digits = digits[4:] {
		groups = append(groups, digits[:4])
	}
	return strings.Join(groups, " ")
}

// Signature is a signature that was parsed. Nothing is said yet about whether it is right.
type Signature struct {
	KeyID   string // of the key that it names: 16 hex digits
	Comment string // the trusted comment
	text    []byte
}

// Bytes returns the signature as it is stored.
func (s *Signature) Bytes() []byte { return bytes.Clone(s.text) }

// untrustedComment is the first line of a signature by the key of the given ID, after its prefix. The ID stands there a second
// time, so that a changed ID is no other key's signature but damage.
func untrustedComment(id string) string { return "offgrid bundle, signed by minisign key " + id }

// Parse reads a signature in its canonical form: at most MaxSize bytes, prehashed ("ED"), the key's ID in the untrusted comment,
// a trusted comment of printable ASCII, four lines that each end in a newline.
func Parse(text []byte) (*Signature, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("%d bytes are more than the limit of %d", len(text), MaxSize)
	}
	var s minisign.Signature
	if err := s.UnmarshalText(text); err != nil {
		return nil, errors.New("it is not a minisign signature")
	}
	if s.Algorithm != minisign.HashEdDSA {
		return nil, errors.New("it is of the old kind, over the whole text and not over its hash")
	}
	if err := checkComment(s.TrustedComment); err != nil {
		return nil, err
	}
	id := keyID(s.KeyID)
	s.UntrustedComment = untrustedComment(id)
	if again, err := s.MarshalText(); err != nil || !bytes.Equal(again, text) {
		return nil, errors.New("its text is not in the canonical form")
	}
	return &Signature{KeyID: id, Comment: s.TrustedComment, text: bytes.Clone(text)}, nil
}

func checkComment(text string) error {
	if text == "" || len(text) > maxComment {
		return fmt.Errorf("its trusted comment has %d bytes, want 1 to %d", len(text), maxComment)
	}
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			return errors.New("its trusted comment holds other characters than printable ASCII")
		}
	}
	return nil
}

// Verify reports whether the signature is key's, of the message and of its trusted comment.
func (s *Signature) Verify(key PublicKey, message []byte) bool {
	k, err := key.minisign()
	return err == nil && minisign.Verify(k, message, s.text)
}
