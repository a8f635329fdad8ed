package signature

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"aead.dev/minisign"
)

// Sizes in bytes.
const (
	publicSize    = 42   // "Ed", the key's ID, the ed25519 key
	publicLine    = 56   // its base64
	maxKeyFile    = 1024 // a public or secret key file, comment line and all
	maxPassphrase = 1024
)

// PublicKey is a minisign public key. It can be compared.
type PublicKey [publicSize]byte

// ParsePublicKey reads a public key: the 56 characters of base64 alone, or minisign's file, whose first line is a comment.
func ParsePublicKey(text string) (PublicKey, error) {
	var k PublicKey
	if len(text) > maxKeyFile {
		return k, fmt.Errorf("public key: %d bytes are more than the limit of %d", len(text), maxKeyFile)
	}
	line := strings.TrimRight(text, "\r\n")
	if first, rest, ok := strings.Cut(line, "\n"); ok && strings.HasPrefix(first, "untrusted comment:") {
		line = rest
	}
	if len(line) != publicLine {
		return k, fmt.Errorf("public key: it has %d characters, want the %d of a minisign public key, which begins with RW", len(line), publicLine)
	}
	data, err := base64.StdEncoding.Strict().DecodeString(line)
	if err != nil || len(data) != publicSize || base64.StdEncoding.EncodeToString(data) != line {
		return k, errors.New("public key: it is not a minisign public key")
	}
	k = PublicKey(data)
	if _, err := k.minisign(); err != nil {
		return PublicKey{}, errors.New("public key: it is not a minisign public key")
	}
	return k, nil
}

func (k PublicKey) minisign() (minisign.PublicKey, error) {
	var m minisign.PublicKey
	err := m.UnmarshalText([]byte(k.String()))
	return m, err
}

// String returns the key as one line of base64: what minisign's -P takes.
func (k PublicKey) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// ID returns the key's ID as minisign prints it: 16 hex digits. It tells keys apart and proves nothing.
func (k PublicKey) ID() string {
	m, err := k.minisign()
	if err != nil {
		return ""
	}
	return keyID(m.ID())
}

func keyID(id uint64) string { return fmt.Sprintf("%016X", id) }

// Fingerprint is what people compare: that of the sha256 of the key's 42 bytes.
func (k PublicKey) Fingerprint() string { return Fingerprint(sha256.Sum256(k[:])) }

// File returns the key as a file that minisign's -p takes.
func (k PublicKey) File() []byte {
	return fmt.Appendf(nil, "untrusted comment: minisign public key %s\n%s\n", k.ID(), k)
}

// MarshalText implements encoding.TextMarshaler.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *PublicKey) UnmarshalText(text []byte) error {
	v, err := ParsePublicKey(string(text))
	if err == nil && v.String() != string(text) {
		err = errors.New("public key: want its line of base64 alone")
	}
	if err == nil {
		*k = v
	}
	return err
}

// SecretKey signs. It prints as nothing of itself.
type SecretKey struct{ key minisign.PrivateKey }

// String implements fmt.Stringer.
func (SecretKey) String() string { return "secret key" }

// GoString implements fmt.GoStringer.
func (SecretKey) GoString() string { return "secret key" }

// Generate makes a key.
func Generate() (SecretKey, error) {
	_, key, err := minisign.GenerateKey(nil)
	if err != nil {
		return SecretKey{}, fmt.Errorf("making a signing key: %w", err)
	}
	return SecretKey{key}, nil
}

// ErrPassphrase says that a secret key file is protected and the passphrase is not its own.
var ErrPassphrase = errors.New("the passphrase is wrong")

// Protected reports whether a secret key file wants a passphrase.
func Protected(file []byte) bool {
	return len(file) <= maxKeyFile && minisign.IsEncrypted(bytes.TrimRight(file, "\r\n"))
}

// ParseSecretKey reads minisign's secret key file. passphrase is used when the file is protected; that takes 1 GiB of memory and
// some seconds, which minisign's own cost parameters ask for. A key whose two halves do not belong together is refused:
// signing with it would give it away.
func ParseSecretKey(file []byte, passphrase string) (SecretKey, error) {
	var k SecretKey
	if len(file) > maxKeyFile || len(passphrase) > maxPassphrase {
		return k, errors.New("secret key: it is longer than any minisign secret key, or its passphrase is")
	}
	text := bytes.TrimRight(file, "\r\n")
	if Protected(file) {
		var err error
		if k.key, err = minisign.DecryptKey(passphrase, text); err != nil {
			return SecretKey{}, ErrPassphrase
		}
	} else if err := k.key.UnmarshalText(text); err != nil {
		return SecretKey{}, errors.New("secret key: it is not a minisign secret key")
	}
	if !k.whole() {
		return SecretKey{}, errors.New("secret key: its secret and its public half do not belong together")
	}
	return k, nil
}

// whole reports whether what the key signs is its public half's.
func (k SecretKey) whole() bool {
	probe := []byte("probe")
	text, err := k.Sign(probe, "probe")
	if err != nil {
		return false
	}
	s, err := Parse(text)
	return err == nil && s.Verify(k.Public(), probe)
}

// Public returns the public key.
func (k SecretKey) Public() PublicKey {
	m, ok := k.key.Public().(minisign.PublicKey)
	if !ok {
		return PublicKey{}
	}
	data, err := base64.StdEncoding.DecodeString(m.String())
	if err != nil || len(data) != publicSize {
		return PublicKey{}
	}
	return PublicKey(data)
}

// File returns the key as minisign's secret key file, protected with the passphrase, or as it is when that is "". Protecting
// takes 1 GiB of memory and some seconds.
func (k SecretKey) File(passphrase string) ([]byte, error) {
	var text []byte
	var err error
	switch {
	case len(passphrase) > maxPassphrase:
		return nil, fmt.Errorf("the passphrase has %d bytes, the limit is %d", len(passphrase), maxPassphrase)
	case passphrase == "":
		text, err = k.key.MarshalText()
	default:
		text, err = minisign.EncryptKey(passphrase, k.key)
	}
	if err != nil {
		return nil, fmt.Errorf("writing a signing key: %w", err)
	}
	return append(text, '\n'), nil
}

// Sign signs the message and the trusted comment, which must be 1 to 512 bytes of printable ASCII. The same key, message and
// comment give the same bytes.
func (k SecretKey) Sign(message []byte, comment string) ([]byte, error) {
	if err := checkComment(comment); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	r := minisign.NewReader(bytes.NewReader(message))
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return r.SignWithComments(k.key, comment, untrustedComment(k.Public().ID())), nil
}
