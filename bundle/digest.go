package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"offgrid/bundle/signature"
)

// Digest is the sha256 of some content. Its text form is "sha256:" and 64 lower-case hex digits, as OCI writes it.
type Digest [sha256.Size]byte

const digestPrefix = "sha256:"

// DigestOf returns the digest of b.
func DigestOf(b []byte) Digest { return sha256.Sum256(b) }

// ParseDigest reads the text form. Upper-case digits and other algorithms are errors.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	digits, ok := strings.CutPrefix(s, digestPrefix)
	if !ok || len(digits) != 2*len(d) || strings.ToLower(digits) != digits {
		return d, fmt.Errorf("digest %q: want %q and 64 lower-case hex digits", s, digestPrefix)
	}
	if _, err := hex.Decode(d[:], []byte(digits)); err != nil {
		return d, fmt.Errorf("digest %q: %w", s, err)
	}
	return d, nil
}

// Hex returns the 64 digits alone: a blob's file name.
func (d Digest) Hex() string { return hex.EncodeToString(d[:]) }

// Short returns the first 12 digits, for messages to people.
func (d Digest) Short() string { return d.Hex()[:12] }

// Fingerprint returns the first 20 digits in groups of four: what people compare (see package signature).
func (d Digest) Fingerprint() string { return signature.Fingerprint(d) }

// String returns the text form.
func (d Digest) String() string { return digestPrefix + d.Hex() }

// IsZero reports whether d was never set.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(b []byte) error {
	v, err := ParseDigest(string(b))
	if err == nil {
		*d = v
	}
	return err
}

// DigestError says that bytes are not the ones that were promised.
type DigestError struct {
	Name      string // what was read, for people
	Want, Got Digest
	Size      int64 // bytes read
}

func (e *DigestError) Error() string {
	return fmt.Sprintf("%s: sha256 is %s after %d bytes, want %s", e.Name, e.Got.Hex(), e.Size, e.Want.Hex())
}
