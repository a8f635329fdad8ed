package main

import (
	"context"
	"fmt"
	"strings"

	"offgrid/builder"
	"offgrid/bundle/progress"
	"offgrid/bundle/seal"
	"offgrid/cmd/internal/passphrase"
)

// secretFlags refuses flags of a passphrase that cannot be meant.
func (a *app) secretFlags(command string) error {
	if err := a.secret.Check(); err != nil {
		return &usageError{err.Error(), command}
	}
	return nil
}

// askForPacks gets the passphrase of the site's host packs; the zero value says that none was given.
func (a *app) askForPacks(ctx context.Context, known bool, test func(seal.Passphrase) error) (seal.Passphrase, error) {
	switch {
	case a.secret.Given():
		return a.secret.Read(ctx, a.console)
	case !a.console.Interactive():
		return seal.Passphrase{}, nil
	case known:
		return passphrase.Ask(ctx, a.console, "Passphrase of this site's host packs", test)
	}
	return passphrase.Choose(ctx, a.console, "A passphrase for the site's host packs (Enter: one is made for you)", true)
}

// showMade shows a passphrase that was made, once. It goes where no output is kept by mistake: to standard error.
func (a *app) showMade(text string) {
	if a.console.JSON() {
		a.console.Progress()(progress.Event{Phase: "seal", Item: "passphrase", Kind: progress.Note, Text: text})
		return
	}
	line := strings.Repeat("=", 78)
	for _, l := range []string{line, "The passphrase of this site's host packs, made for you now:", "", "    " + text, "",
		fmt.Sprintf("Write it down, away from the stick. It is chance of %d bits and is kept nowhere:", builder.PassphraseBits),
		"you type it once on each host, and at every build that changes a host's keys.",
		"Who forgets it cannot open these bundles any more, and builds new ones with", "bundle build --new-passphrase. The cluster itself does not depend on it.", line} {
		a.console.Note("%s", l)
	}
}
