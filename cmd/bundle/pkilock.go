package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"offgrid/builder"
	"offgrid/bundle/seal"
	"offgrid/cmd/internal/passphrase"
)

func newPKILock(a *app) *cobra.Command {
	lock := &cobra.Command{
		Use:   "lock",
		Short: "Lock the private keys in pki/ with a passphrase",
		Long: `Put every private key and secret of pki/ into one file, pki/locked.age, that
opens with a passphrase, and remove the others. Certificates stay, so that
"bundle pki show" works. A build or a renewal needs the keys: unlock them first.
It may be cut off at any moment and run again: no key is removed before the
locked file was written and read back.

The passphrase may be another one than that of the host packs. Who forgets it
has lost the site's authorities: keep a copy of it, or of pki/, in a safe. What
was removed may stay on the disk for a while where nobody but a laboratory
looks; where that matters, encrypt the disk.

With --json: locked, the number of files.

` + exitText,
		Example: "  bundle pki lock\n  bundle pki lock --passphrase-file words.txt",
		Args:    atMost(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.lockPKI(cmd.Context()) },
	}
	a.siteFlags(lock)
	a.passphraseFlags(lock)
	return lock
}

func (a *app) lockPKI(ctx context.Context) error {
	const command = "bundle pki lock"
	p, err := a.pkiPassphrase(ctx, command, func() (seal.Passphrase, error) {
		return passphrase.Choose(ctx, a.console, "A passphrase for the keys in pki/", false)
	})
	if err != nil {
		return err
	}
	n, err := builder.LockPKI(builder.SiteOptions{Dir: a.dir, Now: time.Now, Report: a.console.Progress()}, p, a.workFactor)
	if err != nil {
		return err
	}
	a.console.Say("%d private keys and secrets are locked in %s/locked.age. To use them: bundle pki unlock", n, builder.PKIName)
	return a.printJSON(map[string]int{"locked": n})
}

func newPKIUnlock(a *app) *cobra.Command {
	unlock := &cobra.Command{
		Use:   "unlock",
		Short: "Give the private keys in pki/ back",
		Long: `Put back what "bundle pki lock" has locked, and remove the locked file. It may
be cut off at any moment and run again.

With --json: unlocked, the number of files.

` + exitText,
		Example: "  bundle pki unlock && bundle build && bundle pki lock",
		Args:    atMost(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.unlockPKI(cmd.Context()) },
	}
	a.siteFlags(unlock)
	a.passphraseFlags(unlock)
	return unlock
}

func (a *app) unlockPKI(ctx context.Context) error {
	p, err := a.pkiPassphrase(ctx, "bundle pki unlock", func() (seal.Passphrase, error) {
		return passphrase.Ask(ctx, a.console, "Passphrase of the keys in pki/", func(seal.Passphrase) error { return nil })
	})
	if err != nil {
		return err
	}
	n, err := builder.UnlockPKI(builder.SiteOptions{Dir: a.dir, Now: time.Now, Report: a.console.Progress()}, p)
	if err != nil {
		return err
	}
	a.console.Say("%d private keys and secrets are back in %s/. To lock them again: bundle pki lock", n, builder.PKIName)
	return a.printJSON(map[string]int{"unlocked": n})
}

// pkiPassphrase gets the passphrase of pki/ from where the flags say, or by asking.
func (a *app) pkiPassphrase(ctx context.Context, command string, ask func() (seal.Passphrase, error)) (seal.Passphrase, error) {
	if err := a.secretFlags(command); err != nil {
		return seal.Passphrase{}, err
	}
	switch {
	case a.secret.Given():
		return a.secret.Read(ctx, a.console)
	case !a.console.Interactive():
		return seal.Passphrase{}, &usageError{"there is no terminal to ask for the passphrase at; add --passphrase-file FILE (- is standard input) or --passphrase-fd N", command}
	}
	return ask()
}
