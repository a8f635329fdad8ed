package seal

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"
)

// Types of SSH host keys that can be sealed for.
const (
	HostKeyEd25519 = "ssh-ed25519"
	HostKeyRSA     = "ssh-rsa"
)

// Limits of SSH keys.
const (
	MaxHostKeyLine = 4 << 10  // bytes of a public key's line
	MaxHostKeyFile = 64 << 10 // bytes of a private key's file
	minRSA         = 2048     // bits: age takes nothing weaker
	maxRSA         = 8192     // bits: what is sealed for it must stay a small file
)

// HostKeyPaths are where sshd keeps the private keys that can open something, the better one first.
func HostKeyPaths() []string {
	return []string{"/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_rsa_key"}
}

// HostKey is the public SSH key of a machine.
type HostKey struct {
	// Line is the key without its comment: "ssh-ed25519 AAAA...". Two lines are equal when the keys are.
	Line      string
	recipient age.Recipient
}

// ParseHostKey reads a line of /etc/ssh/ssh_host_ed25519_key.pub or ssh_host_rsa_key.pub. Its comment does not count.
func ParseHostKey(line string) (HostKey, error) {
	fields := strings.Fields(line)
	switch {
	case len(line) > MaxHostKeyLine || strings.ContainsAny(line, "\n\r"):
		return HostKey{}, fmt.Errorf("it is not one line of at most %d characters", MaxHostKeyLine)
	case strings.Contains(line, "PRIVATE KEY"):
		return HostKey{}, errors.New("it is a private key, which must not leave its host; take the file that ends in .pub")
	case len(fields) < 2:
		return HostKey{}, errors.New("it is not a public key such as /etc/ssh/ssh_host_ed25519_key.pub holds")
	case !slices.Contains([]string{HostKeyEd25519, HostKeyRSA}, fields[0]):
		return HostKey{}, fmt.Errorf("a key of type %.40q cannot be sealed for: take /etc/ssh/ssh_host_ed25519_key.pub or ssh_host_rsa_key.pub", fields[0])
	}
	wire, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	if err != nil {
		return HostKey{}, errors.New("the key is damaged: it is not base64")
	}
	key, err := ssh.ParsePublicKey(wire)
	if err != nil || key.Type() != fields[0] || !bytes.Equal(key.Marshal(), wire) {
		return HostKey{}, errors.New("the key is damaged: it is not of the type that its line says")
	}
	k := HostKey{Line: fields[0] + " " + fields[1]}
	if fields[0] == HostKeyEd25519 {
		k.recipient, err = agessh.NewEd25519Recipient(key)
	} else {
		k.recipient, err = rsaRecipient(key)
	}
	if err != nil {
		return HostKey{}, fmt.Errorf("the key cannot be sealed for: %w", err)
	}
	return k, nil
}

func rsaRecipient(key ssh.PublicKey) (age.Recipient, error) {
	if c, ok := key.(ssh.CryptoPublicKey); ok {
		if k, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && (k.N.BitLen() < minRSA || k.N.BitLen() > maxRSA) {
			return nil, fmt.Errorf("it has %d bits; usable are %d to %d", k.N.BitLen(), minRSA, maxRSA)
		}
	}
	return agessh.NewRSARecipient(key)
}

// ForHostKey seals the key for a machine.
func (k *Key) ForHostKey(h HostKey) ([]byte, error) {
	if h.recipient == nil {
		return nil, errors.New("sealing: internal error: no SSH key was parsed")
	}
	return encrypt(k.text(), h.recipient)
}

// HostKeyError says that a machine's private key cannot be used. Nothing of the key is in it.
type HostKeyError struct{ Err error }

func (e *HostKeyError) Error() string { return "reading the SSH host key: " + e.Err.Error() }
func (e *HostKeyError) Unwrap() error { return e.Err }

// KeyFromHostKey opens what ForHostKey made, with the text of a machine's private key. A key of another machine, or of
// another type, is ErrWrongKey, one that cannot be read a *HostKeyError.
func KeyFromHostKey(data, private []byte) (*Key, error) {
	i, err := agessh.ParseIdentity(private)
	if err != nil {
		return nil, &HostKeyError{err}
	}
	kinds := map[bool]string{true: HostKeyEd25519, false: HostKeyRSA}
	_, isEd25519 := i.(*agessh.Ed25519Identity)
	found, err := HostKeyType(data)
	if err != nil {
		return nil, err
	}
	if found != kinds[isEd25519] {
		return nil, ErrWrongKey
	}
	r, err := decrypt(bytes.NewReader(data), found, i)
	if err != nil {
		return nil, err
	}
	text, err := readAll(r, maxKeyText)
	if err != nil {
		return nil, err
	}
	return parseKey(text)
}

// HostKeyType says from the header of a file what type of SSH key opens it.
func HostKeyType(data []byte) (string, error) {
	for _, kind := range []string{HostKeyEd25519, HostKeyRSA} {
		_, err := decrypt(bytes.NewReader(data), kind, &peeker{})
		if errors.Is(err, ErrWrongKey) {
			return kind, nil
		}
	}
	return "", errors.New("opening: it is not sealed for one SSH key")
}
