package pki

import (
	"errors"
	"fmt"
	"path/filepath"

	"offgrid/bundle/signature"
)

// The site's own signing key stands in a directory of its own: a site may be signed for with another key, kept elsewhere.
const (
	signingDir    = "signing"
	signingSecret = "minisign.key" // as minisign writes it, without a passphrase: like every other key here
	signingPublic = "minisign.pub"
)

// ensureSigning reads the key that the site's bundles are signed with, or makes it.
func ensureSigning(dir string, set *Set) error {
	path := filepath.Join(dir, signingDir)
	if !exists(path) {
		key, err := signature.Generate()
		if err != nil {
			return err
		}
		secret, err := key.File("")
		if err != nil {
			return err
		}
		if err := writeDir(dir, signingDir, map[string][]byte{signingSecret: secret, signingPublic: key.Public().File()}); err != nil {
			return fmt.Errorf("making the signing key: %w", err)
		}
		set.Made = append(set.Made, signingDir)
	}
	key, err := readSigning(path)
	if err != nil {
		return &Problems{Dir: dir, Items: []Problem{{filepath.Join(signingDir, signingSecret), err.Error() +
			"; put the directory back from a copy. Moved away, a new key is made, and the installers that hosts have do not know it: bring them the new one, or name it in security.trustedKeys beforehand"}}}
	}
	set.Signing = &key
	return nil
}

func readSigning(path string) (signature.SecretKey, error) {
	secret, err := readSecret(filepath.Join(path, signingSecret))
	if err != nil {
		return signature.SecretKey{}, err
	}
	key, err := signature.ParseSecretKey(secret, "")
	if err != nil {
		return signature.SecretKey{}, err
	}
	text, err := readSecret(filepath.Join(path, signingPublic))
	if err != nil {
		return signature.SecretKey{}, err
	}
	if public, err := signature.ParsePublicKey(string(text)); err != nil || public != key.Public() {
		return signature.SecretKey{}, errors.New(signingPublic + " is not its public half")
	}
	return key, nil
}
