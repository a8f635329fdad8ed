package main

import (
	_ "embed"
	"fmt"

	"github.com/spf13/cobra"

	"offgrid/bundle"
	"offgrid/bundle/signature"
	"offgrid/installer"
)

// trustedBlock is the block of the keys that this program trusts (bundle/FORMAT.md). As it is compiled it holds none: the
// build writes them into the copy that goes beside the bundles.
//
//go:embed trusted.block
var trustedBlock string

// trust says whose bundles are let in.
func (a *app) trust() (bundle.Trust, error) {
	keys, err := signature.ParseBlock([]byte(a.trusted))
	if err != nil {
		return bundle.Trust{}, fmt.Errorf("this program is not as it was built: its block of trusted keys: %w", err)
	}
	return bundle.Trust{Keys: keys, Unsigned: a.unsigned}, nil
}

// trustFlags adds the flags that let in what is refused otherwise.
func (a *app) trustFlags(cmd *cobra.Command) {
	a.unsignedFlag(cmd)
	cmd.Flags().BoolVar(&a.older, "allow-older", false, "take a bundle that is older than what is installed: certificates, keys and programs that were replaced since come back")
}

func (a *app) unsignedFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.unsigned, "allow-unsigned", false, "take a bundle that no trusted key has signed: whoever made it decides what runs here as root")
}

// printTrust says who has signed what is about to be installed, and what to compare.
func (a *app) printTrust(r *installer.RoleJob) {
	a.console.Say("  fingerprint %s", r.Bundle.RootDigest.Fingerprint())
	signed := "NOBODY whom this installer trusts"
	if r.Bundle.Signer != nil {
		signed = r.Bundle.Signer.Fingerprint()
	}
	a.console.Say("  signed by   %s", signed)
	a.console.Say("              (compare both with what bundle build printed)")
}

// signedBy names the key of what is installed.
func signedBy(r installer.RoleStatus) string {
	key, err := signature.ParsePublicKey(r.Signer)
	if err != nil {
		return "not signed by a trusted key: it was let in with --allow-unsigned"
	}
	return "signed by " + key.Fingerprint()
}

// untrustedHints says how it goes on when nobody trusted has signed.
func untrustedHints(e *bundle.UntrustedError) []string {
	if e.Keys == 0 {
		return []string{"this program is not one of dist/: take the file install that bundle build wrote beside the bundle, and compare its sha256sum with the one that the build printed"}
	}
	return []string{"nothing of it was read but its index; use bundle and installer of the same dist/, and compare the fingerprint with the one that bundle build printed",
		"only if you know by other means who made it: add --allow-unsigned, and whoever that is decides what runs here as root"}
}
