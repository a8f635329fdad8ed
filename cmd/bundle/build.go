package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"

	"offgrid/builder"
	"offgrid/builder/cluster"
	"offgrid/bundle/seal"
	"offgrid/cmd/internal/console"
)

// buildLong tells what bundle build does.
const buildLong = `Fetch what bundle.lock names, verify it, make what is missing in pki/, render
every host's files, and write dist/: ROLE.bundle for each role, the installer,
and SHA256SUMS. Without a bundle.lock it locks first; one that no longer fits
cluster.yaml or the catalogue is an error. The same lock, cluster.yaml and pki/
give the same bytes. An interrupted build goes on where it stopped.

With --renewal: write renewal/ instead: small bundles of certificates and
settings for hosts that were installed from the same bundle.lock. The same
./install applies them, host by host; a host that lacks something of the whole
bundle refuses and says what. Fingerprints are those of the whole bundles.

With --since OLD, which is the dist/ that hosts were installed from, or a bundle
of it: write delta/ instead, with only what OLD lacks, and changed programs as
differences. The same ./install applies them to hosts that have what OLD
brought; others refuse and say what they lack. Fingerprints are those of the
whole bundles. It takes about 300 MiB of memory.

With --site: write one file, site.bundle, with the bundles of all roles and each
byte once, in place of the ROLE.bundle. Fingerprints are the same. ./install
takes from it the roles that a host gets.

With --best: compress programs as small as can be, about a tenth smaller, which
takes some ten times as long once. Contents are the same, fingerprints are not:
a --renewal of such bundles needs --best as well.

With --single-file: also write install-ROLE, the installer with that role's
bundle behind it: one executable is all there is to carry to a host. With --site
as well that is install-site, for every host.

Bundles are signed, and the installer in dist/ takes only what its keys have
signed: the site's own key, which the first build makes in pki/, or the one that
--sign names (bundle keygen makes one), and those in security.trustedKeys of
cluster.yaml. With --unsigned hosts refuse the bundles unless ./install is told
--allow-unsigned. What is printed last, the fingerprints and the sha256 of the
installer, belongs on paper: the hosts are compared with it.

What is secret in the bundles (private keys, tokens) is sealed for the site's
passphrase, and for the SSH keys of the hosts whose sshHostKey is in
cluster.yaml. The first build asks for a passphrase, twice; without a terminal
and without a flag it makes one of six words and shows it once: write it down,
it is kept nowhere. Packs are sealed once and kept in pki/sealed; a build in
which one has changed asks for the same passphrase again. With security.packs:
plain in cluster.yaml nothing is sealed.

With --json: dist, since, renewal, locked (it locked first), unchanged, packs
(sealed or plain), sealed (how many packs were sealed now), passphrase (only
when one was made), signer (key, id, fingerprint, own: it is the site's own;
null when unsigned), bundles (role, path, root, fingerprint, size, hosts,
install) and files (name, size, sha256).

` + exitText

func newBuild(a *app) *cobra.Command {
	var o builder.BuildOptions
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Fetch, check and render everything, and write dist/",
		Long:  buildLong,
		Example: `  bundle build
  bundle build --dir mysite --mirrors cn --parallel 8
  bundle build --sign /media/safe/minisign.key
  bundle build --since old/dist      # after bundle lock: a patch release
  bundle build --passphrase-file words.txt
  bundle pki renew --expiring 90 && bundle build --renewal`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Sign.Unsigned && o.Sign.Key != "" {
				return &usageError{"--sign and --unsigned exclude each other", cmd.CommandPath()}
			}
			return a.build(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.Renewal, "renewal", false, "small bundles for hosts that have programs, packages and images already")
	cmd.Flags().StringVar(&o.Since, "since", "", "small bundles for hosts that have what this older bundle, or dist/, brought")
	cmd.MarkFlagFilename("since", "bundle")
	cmd.Flags().BoolVar(&o.Site, "site", false, "one file for all roles, each byte once: site.bundle")
	cmd.Flags().BoolVar(&o.Best, "best", false, "compress as small as can be: for a stick that is made once and copied often")
	cmd.Flags().BoolVar(&o.SingleFile, "single-file", false, "also write install-ROLE: installer and bundle in one executable")
	a.signFlags(cmd, &o.Sign)
	cmd.Flags().BoolVar(&o.Passphrases.New, "new-passphrase", false, "take another passphrase than before, and seal everything anew")
	a.passphraseFlags(cmd)
	a.fetchFlags(cmd)
	cmd.Flags().StringVar(&a.installer, "installer", "", "installer to put into dist/ (default: the program install beside this one)")
	cmd.MarkFlagFilename("installer")
	return cmd
}

// bestMemory is how far memory may grow with --best before the runtime collects what is free, bytes. What is in use is less.
const bestMemory = 128 << 20

func (a *app) build(ctx context.Context, what builder.BuildOptions) error {
	if what.Best {
		debug.SetMemoryLimit(bestMemory)
	}
	if err := a.secretFlags("bundle build"); err != nil {
		return err
	}
	o, err := a.site()
	if err != nil {
		return err
	}
	if o.Program, err = program(); err != nil {
		return err
	}
	if o.Installer, err = a.findInstaller(); err != nil {
		return err
	}
	site, err := builder.OpenSite(o)
	if err != nil {
		return err
	}
	defer site.Close()
	made := ""
	what.Passphrases.WorkFactor = a.workFactor
	what.Passphrases.Ask = a.askForPacks
	what.Passphrases.Made = func(p seal.Passphrase) {
		made = p.Reveal()
		a.showMade(made)
	}
	result, err := site.Build(ctx, what)
	if err != nil {
		return err
	}
	a.sayBuild(result)
	return a.printJSON(struct {
		*builder.BuildResult
		Passphrase string `json:"passphrase,omitempty"` // that was made; it is kept nowhere
	}{result, made})
}

// findInstaller returns the path of the installer: the flag's, or the one beside this program.
func (a *app) findInstaller() (string, error) {
	if a.installer != "" {
		return a.installer, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(self); err == nil {
		self = real
	}
	return filepath.Join(filepath.Dir(self), "install"), nil
}

func (a *app) sayBuild(r *builder.BuildResult) {
	var rows [][]string
	for _, b := range r.Bundles {
		rows = append(rows, []string{b.Role, commas(b.Hosts), console.Bytes(b.Size), b.Fingerprint, b.Path})
	}
	a.console.Table([]string{"ROLE", "HOSTS", "SIZE", "FINGERPRINT", "FILE"}, rows)
	for _, f := range r.Files {
		if f.Name == "site.bundle" {
			a.console.Say("%s/%s holds them all, each byte once: %s", r.Dist, f.Name, console.Bytes(f.Size))
		}
	}
	if r.Unchanged {
		a.console.Say("Nothing has changed: %s is as it was.", r.Dist)
	}
	if r.Packs == cluster.PacksPlain {
		a.console.Say("Copy %s to a stick. The host packs are PLAIN (security.packs in cluster.yaml): whoever has the stick has the private keys of these hosts.", r.Dist)
	} else {
		a.console.Say("Copy %s to a stick. Its secrets are sealed: they open with the site's passphrase, and on hosts whose sshHostKey is in cluster.yaml without it.", r.Dist)
	}
	a.saySigner(r)
	if r.Renewal || r.Since != "" {
		a.console.Say("On one host after the other, as root: ./install --role ROLE --ip IP. First etcd, one member after the other, then masters, then nodes.")
		return
	}
	a.console.Say("On each host, as root: ./install --role ROLE --ip IP")
	if i := slices.IndexFunc(r.Bundles, func(b builder.BuiltBundle) bool { return b.Install != "" }); i >= 0 {
		name := filepath.Base(r.Bundles[i].Install)
		a.console.Say("Or one file instead of two: ./%s. From a stick that is mounted noexec: cp %s /root/ && /root/%s", name, name, name)
	}
}
