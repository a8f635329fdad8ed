package builder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"offgrid/builder/internal/durable"
	"offgrid/builder/internal/pki"
	"offgrid/bundle"
	"offgrid/bundle/signature"
)

// SignOptions says who signs the bundles of a build. With the zero value it is the site's own key, in pki/, made at the first build.
type SignOptions struct {
	Key string // path of another minisign secret key
	// Passphrase gives the passphrase of Key when that is protected.
	Passphrase func() (string, error)
	// Unsigned leaves the bundles unsigned: installers refuse them unless they are told otherwise.
	Unsigned bool
}

// Signer is the key that signed, for people to compare.
type Signer struct {
	Key         signature.PublicKey `json:"key"`
	ID          string              `json:"id"`          // 16 hex digits, as minisign prints it
	Fingerprint string              `json:"fingerprint"` // signature.FingerprintBits bits in groups
	Own         bool                `json:"own"`         // it is the site's own key, in pki/
}

func newSigner(key signature.PublicKey, own bool) *Signer {
	return &Signer{Key: key, ID: key.ID(), Fingerprint: key.Fingerprint(), Own: own}
}

// SigningError says why a build cannot be signed, or a key not be made.
type SigningError struct {
	Path string // of the key
	Err  error
}

func (e *SigningError) Error() string { return fmt.Sprintf("signing key %q: %v", e.Path, e.Err) }
func (e *SigningError) Unwrap() error { return e.Err }

func (e *SigningError) hints() []string {
	if errors.Is(e.Err, fs.ErrExist) {
		return []string{"a key is never replaced: choose another name, or go on with that one: `bundle build --sign " + e.Path + "`"}
	}
	return []string{"`bundle keygen FILE` makes a key; without --sign the site's own key in pki/ signs, and --unsigned leaves the bundles unsigned"}
}

// maxKeyFile bounds a file with a key in bytes; package signature has the exact limit.
const maxKeyFile = 64 << 10

// InstallerName is the installer's name in dist/.
const InstallerName = "install"

// Names of keys.
const (
	PublicKeyName    = "minisign.pub" // in dist/: the key that signed, as minisign takes it
	secretKeySuffix  = ".key"
	publicKeySuffix  = ".pub"
	SigningKeyName   = "minisign" + secretKeySuffix // what bundle keygen writes when no name is given
	unsignedInputKey = "unsigned"
)

// signing is who signs a build and whom its installer trusts.
type signing struct {
	key     *signature.SecretKey // nil: nobody signs
	own     bool
	trusted []signature.PublicKey
	extras  []distExtra // the installer that trusts these keys, and the key
}

// signing reads the keys of a build.
func (s *Site) signing(set *pki.Set, o SignOptions) (*signing, error) {
	sign := &signing{}
	switch {
	case o.Unsigned:
	case o.Key != "":
		key, err := readSecretKey(o)
		if err != nil {
			return nil, &SigningError{o.Key, err}
		}
		sign.key = &key
	default:
		sign.key, sign.own = set.Signing, true
	}
	if sign.key != nil {
		sign.trusted = append(sign.trusted, sign.key.Public())
	}
	for _, text := range s.cluster.Security.TrustedKeys {
		key, err := signature.ParsePublicKey(text)
		if err != nil {
			return nil, fmt.Errorf("security.trustedKeys: %w", err)
		}
		if !slices.Contains(sign.trusted, key) {
			sign.trusted = append(sign.trusted, key)
		}
	}
	return sign, nil
}

func readSecretKey(o SignOptions) (signature.SecretKey, error) {
	data, err := readAtMost(o.Key, maxKeyFile)
	if err != nil {
		return signature.SecretKey{}, err
	}
	passphrase := ""
	if signature.Protected(data) {
		if o.Passphrase == nil {
			return signature.SecretKey{}, errors.New("it is protected with a passphrase, and none was given")
		}
		if passphrase, err = o.Passphrase(); err != nil {
			return signature.SecretKey{}, err
		}
	}
	return signature.ParseSecretKey(data, passphrase)
}

// input is what a build depends on of it.
func (s *signing) input() bundle.Digest {
	if s.key == nil {
		return bundle.DigestOf([]byte(unsignedInputKey))
	}
	return bundle.DigestOf([]byte(s.key.Public().String()))
}

// signer names the key for people, nil when nobody signs.
func (s *signing) signer() *Signer {
	if s.key == nil {
		return nil
	}
	return newSigner(s.key.Public(), s.own)
}

// installer reads the installer and puts the trusted keys into it.
func (s *signing) installer(path string) ([]byte, error) {
	data, err := readAtMost(path, maxInstaller)
	if err == nil {
		err = signature.PatchProgram(data, s.trusted)
	}
	if err != nil {
		return nil, &InstallerError{path, err}
	}
	return data, nil
}

// PublicKeyPath is where MakeKey writes the public half of a secret key.
func PublicKeyPath(secret string) string {
	return strings.TrimSuffix(secret, secretKeySuffix) + publicKeySuffix
}

// MakeKey makes a key that signs bundles and writes its two halves, as minisign does: the secret one to path (mode 0600), protected
// with the passphrase unless that is "", the public one beside it. Neither file may be there.
func MakeKey(path, passphrase string) (*Signer, error) {
	for _, name := range []string{path, PublicKeyPath(path)} {
		if _, err := os.Lstat(name); err == nil {
			return nil, &SigningError{name, fmt.Errorf("it is already there: %w", fs.ErrExist)}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, &SigningError{name, err}
		}
	}
	key, err := signature.Generate()
	if err != nil {
		return nil, err
	}
	secret, err := key.File(passphrase)
	if err != nil {
		return nil, &SigningError{path, err}
	}
	if err := writeNew(PublicKeyPath(path), key.Public().File()); err != nil {
		return nil, &SigningError{PublicKeyPath(path), err}
	}
	if err := writeNew(path, secret); err != nil {
		return nil, &SigningError{path, errors.Join(err, os.Remove(PublicKeyPath(path)))}
	}
	return newSigner(key.Public(), false), nil
}

// writeNew writes a file that must not be there, for its owner alone.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return durable.Dir(filepath.Dir(path))
}
