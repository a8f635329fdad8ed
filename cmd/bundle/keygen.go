package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"offgrid/builder"
	"offgrid/bundle/seal"
	"offgrid/cmd/internal/passphrase"
)

func newKeygen(a *app) *cobra.Command {
	var plain bool
	cmd := &cobra.Command{
		Use:   "keygen [FILE]",
		Short: "Make a key that signs bundles",
		Long: `Make a minisign key pair: the secret key in FILE (default minisign.key, mode
0600), the public key beside it with the ending .pub. Nothing is ever
overwritten. The secret key is protected with a passphrase, which you are asked
for unless --passphrase-file gives it; --no-passphrase leaves it as it is.
Protecting takes 1 GiB of memory for some seconds, and so does each use.

A site has a key of its own in pki/ and needs no other. Make one to sign for
several sites, or to keep it off the machine that builds. Then:
bundle build --sign FILE. minisign itself reads both files.

With --json: key (the public one), id, fingerprint, own (false), file.

` + exitText,
		Example: "  bundle keygen /media/safe/minisign.key\n  bundle keygen --no-passphrase /run/secrets/minisign.key",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.secretFlags(cmd.CommandPath()); err != nil {
				return err
			}
			if plain && a.secret.Given() {
				return &usageError{"a passphrase and --no-passphrase exclude each other", cmd.CommandPath()}
			}
			return a.keygen(cmd.Context(), append(args, builder.SigningKeyName)[0], plain)
		},
	}
	cmd.Flags().BoolVar(&plain, "no-passphrase", false, "do not protect the secret key: whoever can read the file can sign")
	a.passphraseFlags(cmd)
	return cmd
}

// signFlags adds the flags that say who signs a build.
func (a *app) signFlags(cmd *cobra.Command, o *builder.SignOptions) {
	cmd.Flags().StringVar(&o.Key, "sign", "", "minisign secret key that signs the bundles, instead of the site's own in pki/")
	cmd.MarkFlagFilename("sign", "key")
	cmd.Flags().StringVar(&a.keySecret, "sign-passphrase-file", "", "file whose first line is the passphrase of that key, when it is protected; - is standard input; without it you are asked")
	cmd.Flags().BoolVar(&o.Unsigned, "unsigned", false, "do not sign: hosts then refuse the bundles unless they are told --allow-unsigned")
	o.Passphrase = func() (string, error) { return a.keyPassphrase(cmd.Context(), o.Key) }
}

// madeKey is what keygen prints for programs.
type madeKey struct {
	*builder.Signer
	File string `json:"file"` // of the secret key
}

func (a *app) keygen(ctx context.Context, path string, plain bool) error {
	secret := ""
	if !plain {
		var err error
		if secret, err = a.newKeyPassphrase(ctx); err != nil {
			return err
		}
	}
	made, err := builder.MakeKey(path, secret)
	if err != nil {
		return err
	}
	a.console.Say("secret key:  %s   (keep it off the stick)", path)
	a.console.Say("public key:  %s", builder.PublicKeyPath(path))
	a.console.Say("             %s", made.Key)
	a.console.Say("fingerprint: %s", made.Fingerprint)
	a.console.Say("Next: bundle build --sign %s", path)
	return a.printJSON(madeKey{made, path})
}

// saySigner says whom the hosts will trust, and what to write down.
func (a *app) saySigner(r *builder.BuildResult) {
	switch {
	case r.Signer == nil:
		a.console.Say("NOT SIGNED: hosts refuse these bundles unless ./install is told --allow-unsigned.")
	case r.Signer.Own:
		a.console.Say("Signed with the site's own key, in pki/signing; the fingerprint of the key is %s.", r.Signer.Fingerprint)
	default:
		a.console.Say("Signed with the key %s; its fingerprint is %s.", r.Signer.ID, r.Signer.Fingerprint)
	}
	for _, f := range r.Files {
		if f.Name == builder.InstallerName {
			a.console.Say("Write down, for the site: the fingerprints above, and of the installer, which trusts that key,")
			a.console.Say("  sha256sum install   %s", f.SHA256.Hex())
		}
	}
}

// newKeyPassphrase gets the passphrase of a key that is made.
func (a *app) newKeyPassphrase(ctx context.Context) (string, error) {
	var chosen seal.Passphrase
	var err error
	switch {
	case a.secret.Given():
		chosen, err = a.secret.Read(ctx, a.console)
	case a.console.Interactive():
		chosen, err = passphrase.Choose(ctx, a.console, "A passphrase for the secret key", false)
	default:
		err = &refusal{errors.New("the new key wants a passphrase, and there is no terminal to ask at"), "name a file whose first line it is with --passphrase-file, or say --no-passphrase"}
	}
	return chosen.Reveal(), err
}

// keyPassphrase gets the passphrase of a signing key. Any will do that the key was made with, here or by minisign.
func (a *app) keyPassphrase(ctx context.Context, key string) (string, error) {
	switch {
	case a.keySecret == "-":
		return a.console.Line(ctx)
	case a.keySecret != "":
		f, err := os.Open(a.keySecret)
		if err != nil {
			return "", fmt.Errorf("reading the passphrase of %s: %w", key, err)
		}
		defer f.Close()
		line, err := bufio.NewReader(io.LimitReader(f, maxSecretLine)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("reading the passphrase of %s: %w", key, err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	case a.console.Interactive():
		return a.console.Secret(ctx, "Passphrase of "+key)
	}
	return "", &refusal{fmt.Errorf("%s wants a passphrase, and there is no terminal to ask at", key), "name a file whose first line it is with --sign-passphrase-file; - is standard input"}
}

// maxSecretLine bounds the line with a passphrase in bytes.
const maxSecretLine = 8 << 10
