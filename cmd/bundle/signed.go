package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"offgrid/builder"
	"offgrid/bundle"
	"offgrid/bundle/signature"
)

// keyFlag adds the flag that says which key must have signed.
func (a *app) keyFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.publicKey, "key", "", "file with the minisign public key that must have signed (default: the "+builder.PublicKeyName+" beside the bundle, if there is one, may have)")
	cmd.MarkFlagFilename("key", "pub")
}

// trust is whose signature is verified when a file is looked into. Without --key what nobody has signed is let in, and so is
// what an unknown key has: whoever looks decides.
func (a *app) trust(path string) (*bundle.Trust, error) {
	name := a.publicKey
	if name == "" {
		name = filepath.Join(filepath.Dir(path), builder.PublicKeyName)
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) && a.publicKey == "" {
		return &bundle.Trust{Unsigned: true}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the public key: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("reading the public key: %w", err)
	}
	key, err := signature.ParsePublicKey(string(text))
	if err != nil {
		return nil, &refusal{fmt.Errorf("%s: %w", name, err), "a public key is the file NAME.pub that `bundle keygen` or minisign writes, or " + builder.PublicKeyName + " of dist/"}
	}
	return &bundle.Trust{Keys: []signature.PublicKey{key}, Unsigned: a.publicKey == ""}, nil
}

// signedFacts is what inspect and verify say for programs about a bundle's signature.
type signedFacts struct {
	KeyID       string               `json:"keyID"`                 // that the signature names; "" when it is not signed
	Key         *signature.PublicKey `json:"key,omitempty"`         // whose signature was verified
	Fingerprint string               `json:"fingerprint,omitempty"` // of that key
}

func factsOf(b *bundle.Bundle) *signedFacts {
	f := &signedFacts{KeyID: b.SignerID, Key: b.Signer}
	if b.Signer != nil {
		f.Fingerprint = b.Signer.Fingerprint()
	}
	return f
}

// String is the same for people.
func (f *signedFacts) String() string {
	switch {
	case f.Key != nil:
		return "key " + f.Fingerprint
	case f.KeyID != "":
		return "key with the ID " + f.KeyID + ", not verified: name its public key with --key"
	}
	return "nobody"
}

// openSigned opens all bundles in a file to look whose signature they have.
func (a *app) openSigned(path string) ([]*bundle.Bundle, error) {
	path, err := named(path)
	if err != nil {
		return nil, err
	}
	trust, err := a.trust(path)
	if err != nil {
		return nil, err
	}
	return bundle.OpenWith(path, bundle.Options{Trust: trust})
}

// openSignedRole opens the bundle of a role in the same way; role "" is the only one in the file.
func (a *app) openSignedRole(path, role string) (*bundle.Bundle, error) {
	all, err := a.openSigned(path)
	if err != nil {
		return nil, fmt.Errorf("opening bundle: %w", err)
	}
	return oneRole(bundle.TheRole(path, all, role))
}
