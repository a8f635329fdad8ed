package seal

import (
	"bytes"
	"fmt"

	"filippo.io/age"
)

// maxKeyText bounds the text of a fresh key: one takes 75 bytes.
const maxKeyText = 128

// Key is a fresh key, made for one file.
type Key struct{ identity *age.X25519Identity }

// NewKey makes a key.
func NewKey() (*Key, error) {
	i, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return &Key{i}, nil
}

// Encrypt seals data for the key.
func (k *Key) Encrypt(data []byte) ([]byte, error) { return encrypt(data, k.identity.Recipient()) }

// Decrypt opens what Encrypt made, of at most limit bytes of content. Another key is ErrWrongKey.
func (k *Key) Decrypt(data []byte, limit int64) ([]byte, error) {
	r, err := decrypt(bytes.NewReader(data), kindFresh, k.identity)
	if err != nil {
		return nil, err
	}
	return readAll(r, limit)
}

// text is the key as it is sealed itself.
func (k *Key) text() []byte { return []byte(k.identity.String() + "\n") }

// ForPassphrase seals the key for a passphrase. A work factor of 0 is DefaultWorkFactor.
func (k *Key) ForPassphrase(p Passphrase, workFactor int) ([]byte, error) {
	return Encrypt(k.text(), p, workFactor)
}

// KeyFromPassphrase opens what ForPassphrase made.
func KeyFromPassphrase(data []byte, p Passphrase) (*Key, error) {
	text, err := Decrypt(data, p, maxKeyText)
	if err != nil {
		return nil, err
	}
	return parseKey(text)
}

// parseKey reads the text of a key. The text is in no error.
func parseKey(text []byte) (*Key, error) {
	line, ok := bytes.CutSuffix(text, []byte("\n"))
	i, err := age.ParseX25519Identity(string(line))
	if err != nil || !ok || i.String() != string(line) {
		return nil, fmt.Errorf("opening: what it holds is no key")
	}
	return &Key{i}, nil
}
