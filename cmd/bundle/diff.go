package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"offgrid/bundle"
	"offgrid/bundle/compare"
	"offgrid/bundle/hostpack"
	"offgrid/bundle/seal"
)

func newDiff(a *app) *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Tell in what two bundles differ",
		Long: `Compare two bundles of a role, such as the stick of last year with the one that
was just built: settings, hosts, packages, programs, images, files, units and
host packs. Of texts the lines that were added and removed are counted. Of a
sealed pack only that it is another one is told, unless the passphrase of both
is given; then files, and name, serial number and end of certificates. Secrets
are never shown.

With --json: a and b (file, role, root, serial), same, and changes: what, host
(left out: all hosts), name, change (added, removed, changed), before, after,
note and lines (added, removed).

` + diffExitText,
		Example: `  bundle diff old/node.bundle dist/node.bundle
  bundle diff --passphrase-file words.txt old/node.bundle dist/node.bundle`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return &usageError{"name two bundles", cmd.CommandPath()}
			}
			return nil
		},
		ValidArgsFunction: completeBundles,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.secretFlags(cmd.CommandPath()); err != nil {
				return err
			}
			return trouble(a.diff(cmd.Context(), args[0], args[1], role))
		},
	}
	roleFlag(cmd, &role)
	a.passphraseFlags(cmd)
	return cmd
}

// compared is one side of what diff prints for programs.
type compared struct {
	File   string        `json:"file"`
	Role   string        `json:"role"`
	Root   bundle.Digest `json:"root"`
	Serial int64         `json:"serial"`
}

func sideOf(b *bundle.Bundle) compared {
	return compared{b.Path, b.Role.Role, b.RootDigest, b.Role.Cluster.Serial}
}

// sideRole opens one of the two: of a site file the role that was named, of a role's file the one it holds.
func sideRole(path, role string) (*bundle.Bundle, error) {
	b, err := openRole(path, "")
	if errors.As(err, new(*bundle.SiteFileError)) {
		return openRole(path, role)
	}
	return b, err
}

func (a *app) diff(ctx context.Context, first, second, role string) error {
	x, err := sideRole(first, role)
	if err != nil {
		return err
	}
	defer x.Close()
	y, err := sideRole(second, role)
	if err != nil {
		return err
	}
	defer y.Close()
	open, err := a.unpack(ctx)
	if err != nil {
		return err
	}
	changes, err := compare.Bundles(ctx, x, y, open)
	if err != nil {
		return err
	}
	if a.console.JSON() {
		err = a.console.PrintJSON(struct {
			A       compared         `json:"a"`
			B       compared         `json:"b"`
			Same    bool             `json:"same"`
			Changes []compare.Change `json:"changes"`
		}{sideOf(x), sideOf(y), len(changes) == 0, append([]compare.Change{}, changes...)})
	} else {
		a.sayChanges(x, y, changes)
	}
	if err == nil && len(changes) > 0 {
		return errDifferent
	}
	return err
}

func (a *app) sayChanges(x, y *bundle.Bundle, changes []compare.Change) {
	if len(changes) == 0 {
		a.console.Say("the same: role %s, fingerprint %s", x.Role.Role, x.RootDigest.Fingerprint())
		return
	}
	for i, b := range []*bundle.Bundle{x, y} {
		a.console.Say("%s %s: role %s, serial %d, fingerprint %s", []string{"-", "+"}[i], b.Path, b.Role.Role, b.Role.Cluster.Serial, b.RootDigest.Fingerprint())
	}
	a.console.Say("")
	var rows [][]string
	for _, c := range changes {
		name := c.Name
		if c.Host != "" {
			name = c.Host + ": " + name
		}
		rows = append(rows, []string{c.Change, c.What, name, difference(c)})
	}
	a.console.Table([]string{"CHANGE", "WHAT", "NAME", "DIFFERENCE"}, rows)
}

// difference is a change in a few words.
func difference(c compare.Change) string {
	switch {
	case c.Lines != nil && *c.Lines == (compare.Lines{}):
		return "lines in another order"
	case c.Lines != nil:
		return fmt.Sprintf("lines: %d more, %d gone", c.Lines.Added, c.Lines.Removed)
	case c.Note != "" || c.Change != compare.Changed:
		return cmp.Or(c.Note, c.Before+c.After, "-")
	}
	return cmp.Or(c.Before, "(empty)") + " -> " + cmp.Or(c.After, "(empty)")
}

// unpack returns what opens packs for comparing: plain ones, and sealed ones when a passphrase was given.
func (a *app) unpack(ctx context.Context) (compare.Unpack, error) {
	var words seal.Passphrase
	given := a.secret.Given()
	if given {
		var err error
		if words, err = a.secret.Read(ctx, a.console); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, b *bundle.Bundle, host string) (*hostpack.Pack, error) {
		x, err := hostpack.Load(ctx, b, host)
		switch {
		case err != nil:
			return nil, err
		case !x.Sealed:
			return x.Open()
		case given:
			return x.OpenWithPassphrase(words)
		}
		return nil, nil
	}, nil
}

// trouble turns what kept two bundles from being compared into a refusal: 1 is taken.
func trouble(err error) error {
	if judge(err).code != exitFailed || errors.Is(err, errDifferent) {
		return err
	}
	return &refusal{fmt.Errorf("comparing bundles: %w", err), "`bundle verify FILE` says whether a bundle can be read whole"}
}
