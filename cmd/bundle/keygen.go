package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"offgrid/builder"
)

func newKeygen(a *app) *cobra.Command {
	var plain bool
	cmd := &cobra.Command{
		Use:   "keygen [FILE]",
		Short: "Make a key that signs bundles",
		Long: `Make a minisign key pair: the secret key in FILE (default minisign.key, mode
0600), the public key beside it with the ending .pub. Nothing is ever
overwritten. The secret key is protected with the passphrase that
--passphrase-file gives; --no-passphrase leaves it as it is. Protecting takes
1 GiB of memory for some seconds, and so does each use.

A site has a key of its own in pki/ and needs no other. Make one to sign for
several sites, or to keep it off the machine that builds. Then:
bundle build --sign FILE. minisign itself reads both files.

With --json: key (the public one), id, fingerprint, own (false), file.

` + exitText,
		Example: "  bundle keygen /media/safe/minisign.key\n  bundle keygen --no-passphrase /run/secrets/minisign.key",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if plain && a.keySecret != "" {
				return &usageError{"--passphrase-file and --no-passphrase exclude each other", cmd.CommandPath()}
			}
			return a.keygen(cmd.InOrStdin(), append(args, builder.SigningKeyName)[0], plain)
		},
	}
	cmd.Flags().BoolVar(&plain, "no-passphrase", false, "do not protect the secret key: whoever can read the file can sign")
	cmd.Flags().StringVar(&a.keySecret, "passphrase-file", "", "file whose first line is the passphrase; - is standard input")
	return cmd
}

// signFlags adds the flags that say who signs a build.
func (a *app) signFlags(cmd *cobra.Command, o *builder.SignOptions) {
	cmd.Flags().StringVar(&o.Key, "sign", "", "minisign secret key that signs the bundles, instead of the site's own in pki/")
	cmd.MarkFlagFilename("sign", "key")
	cmd.Flags().StringVar(&a.keySecret, "sign-passphrase-file", "", "file whose first line is the passphrase of that key; - is standard input")
	cmd.Flags().BoolVar(&o.Unsigned, "unsigned", false, "do not sign: hosts then refuse the bundles unless they are told --allow-unsigned")
	o.Passphrase = func() (string, error) {
		return a.keyPassphrase(cmd.InOrStdin(), "the key "+o.Key, "--sign-passphrase-file")
	}
}

// madeKey is what keygen prints for programs.
type madeKey struct {
	*builder.Signer
	File string `json:"file"` // of the secret key
}

func (a *app) keygen(in io.Reader, path string, plain bool) error {
	secret := ""
	if !plain {
		var err error
		if secret, err = a.keyPassphrase(in, "the new key", "--passphrase-file, or say --no-passphrase"); err != nil {
			return err
		}
		if secret == "" {
			return &refusal{errors.New("the passphrase is empty"), "give one, or say --no-passphrase"}
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

// keyPassphrase reads the passphrase of a signing key: the first line of the file that the flag names.
func (a *app) keyPassphrase(in io.Reader, what, flag string) (string, error) {
	switch a.keySecret {
	case "":
		return "", &refusal{errors.New(what + " wants a passphrase"), "name a file whose first line it is with " + flag + "; - is standard input"}
	case "-":
	default:
		f, err := os.Open(a.keySecret)
		if err != nil {
			return "", fmt.Errorf("reading the passphrase of %s: %w", what, err)
		}
		defer f.Close()
		in = f
	}
	line, err := bufio.NewReader(io.LimitReader(in, maxSecretLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the passphrase of %s: %w", what, err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// maxSecretLine bounds the line with a passphrase in bytes.
const maxSecretLine = 8 << 10
