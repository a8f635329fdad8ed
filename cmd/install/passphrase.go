package main

import (
	"context"
	"errors"
	"fmt"

	"offgrid/bundle/seal"
	"offgrid/cmd/internal/passphrase"
	"offgrid/installer"
)

// readWords reads the passphrase that a flag names, before anything else: what follows it on the same input is an answer.
func (a *app) readWords(ctx context.Context) (err error) {
	if err := a.secretAt.Check(); err != nil {
		return &usageError{err.Error(), "./install"}
	}
	if !a.secretAt.Given() {
		return nil
	}
	if a.words, err = a.secretAt.Read(ctx, a.console); err != nil && ctx.Err() == nil {
		return &installer.UsageError{What: err.Error(), Hint: "its first line is the passphrase; nothing was changed"}
	}
	return err
}

// passphraseHints say how a pack is opened.
func passphraseHints(err error) []string {
	var none *installer.NoPassphraseError
	switch {
	case errors.As(err, &none):
		return []string{fmt.Sprintf("./install --role %s --ip %s --passphrase-file FILE   (- is standard input; or --passphrase-fd N)", none.Role, none.IP)}
	case errors.As(err, new(*installer.WrongPassphraseError)):
		return []string{"it is the one that was typed, or shown, at the first `bundle build` of this site; who has lost it builds with --new-passphrase and brings the new bundles"}
	}
	return nil
}

// passphrase gives the installer the passphrase of the site's host packs: the flag's, or one that is typed, three times at most.
func (a *app) passphrase(ctx context.Context, ask installer.Asked) (seal.Passphrase, error) {
	wrong := &installer.WrongPassphraseError{Host: ask.Host}
	switch {
	case !a.words.IsZero() && ask.Try > 0:
		return seal.Passphrase{}, wrong
	case !a.words.IsZero():
		return a.words, nil
	case !a.console.Interactive():
		return seal.Passphrase{}, &installer.NoPassphraseError{Host: ask.Host, Role: ask.Role, IP: ask.IP}
	}
	for ; a.asked < passphrase.Tries; a.asked++ {
		if a.asked > 0 {
			a.console.Note("That is not the passphrase of the pack of %s. Mind capitals and the keyboard's language.", ask.Host)
		}
		line, err := a.console.Secret(ctx, "Passphrase of this site's bundles")
		if err != nil {
			return seal.Passphrase{}, err
		}
		if p, err := seal.ParsePassphrase(line); err == nil {
			a.asked++
			return p, nil
		}
	}
	return seal.Passphrase{}, wrong
}
