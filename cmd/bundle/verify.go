package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"offgrid/bundle"
	mediumlist "offgrid/bundle/medium"
	"offgrid/bundle/recovery"
	"offgrid/cmd/internal/console"
)

func newVerify(a *app) *cobra.Command {
	var deep bool
	cmd := &cobra.Command{
		Use:   "verify FILE|DIR...",
		Short: "Check every byte of bundles and name all that is damaged",
		Long: `Read each bundle whole and compare every blob with its digest. All faults are
named, with the artifact, the part and the bytes, not only the first. What is
wrong is read twice more, past what the system keeps in memory, and it is said
whether the copy or the reader is bad. A recovery record beside the file is
checked as well, and tells whether ` + "`bundle repair`" + ` will help. Of a directory
all bundles are checked, whole or in parts. With --deep everything is decoded
too and the content compared. With --key the bundles must be signed with that
key, and nothing else of them is read before; without it the signature is looked
at with the minisign.pub beside the bundle.

With --json: a list of file, role, root, blobs, size, parts (files, when there
are several), signed (keyID, and when it was verified key and fingerprint),
recovery (blocks that can be repaired), repairable and faults.

` + exitText,
		Example:           "  bundle verify /media/stick/*.bundle\n  bundle verify --key minisign.pub /media/stick/node.bundle",
		Args:              files(0),
		ValidArgsFunction: completeBundles,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.verify(cmd.Context(), args, deep) },
	}
	cmd.Flags().BoolVar(&deep, "deep", false, "decode everything and check the content as well")
	a.keyFlag(cmd)
	return cmd
}

// verified is the result for one bundle: a file has one, a site file one for each role.
type verified struct {
	File   string         `json:"file"`
	Role   string         `json:"role,omitempty"`
	Root   *bundle.Digest `json:"root,omitempty"`
	Blobs  int            `json:"blobs,omitempty"`
	Size   int64          `json:"size,omitempty"`
	Parts  []string       `json:"parts,omitempty"`
	Signed *signedFacts   `json:"signed,omitempty"`
	// Recovery is how many blocks the recovery record beside the file can repair.
	Recovery *int `json:"recovery,omitempty"`
	// Repairable: the faults are within that.
	Repairable bool     `json:"repairable,omitempty"`
	Faults     []string `json:"faults,omitempty"`
}

func (a *app) verify(ctx context.Context, paths []string, deep bool) error {
	var results []verified
	var all []error
	paths, err := bundlesIn(paths)
	if err != nil {
		return err
	}
	for _, path := range paths {
		found, faults := a.verifyOne(ctx, path, deep)
		if err := ctx.Err(); err != nil {
			return err
		}
		results, all = append(results, found...), append(all, faults...)
	}
	return errors.Join(errors.Join(all...), a.printJSON(results))
}

// verifyOne checks all that is in a file. What the roles of a site file share is read once, for the first of them.
func (a *app) verifyOne(ctx context.Context, path string, deep bool) (results []verified, faults []error) {
	opened, err := a.openSigned(path)
	if err != nil {
		v := verified{File: path}
		faults = append([]error{err}, a.recoverable(ctx, path, nil, &v, true)...)
		v.Faults = texts(faults)
		return []verified{v}, faults
	}
	faults = bundle.VerifyAll(ctx, opened, a.console.Progress())
	for _, b := range opened {
		defer b.Close()
		v := verified{File: path, Role: b.Role.Role, Root: &b.RootDigest, Size: b.Size, Signed: factsOf(b)}
		for _, part := range b.Parts() {
			v.Parts = append(v.Parts, part.Name)
		}
		for _, s := range b.Blobs() {
			if b.IsDir || b.HasStored(s.Digest) {
				v.Blobs++
			}
		}
		results = append(results, v)
	}
	for i := 0; deep && len(faults) == 0 && i < len(opened); i++ {
		faults = opened[i].VerifyContent(ctx, a.console.Progress())
	}
	if _, err := mediumlist.Check(path, roots(opened)); err != nil {
		faults = append(faults, err)
	}
	faults = append(faults, a.recoverable(ctx, path, opened, &results[0], len(faults) > 0)...)
	results[0].Faults = texts(faults)
	if opened[0].Renewal {
		a.console.Say("%s is a renewal bundle: programs, packages and images are not in it", path)
	}
	if d := opened[0].Delta; d != nil {
		a.console.Say("%s is a delta bundle: what %s of serial %d brought is not in it", path, d.Base.Version, d.Base.Serial)
	}
	if opened[0].IsDir {
		a.console.Say("%s is a directory: only what was carried to a host is in it", path)
	}
	for _, v := range results {
		if len(faults) == 0 {
			a.console.Say("%s: good: role %s, %d blobs, %s, fingerprint %s", path, v.Role, v.Blobs, console.Bytes(v.Size), v.Root.Fingerprint())
			a.console.Say("  signed by %s", v.Signed)
		}
	}
	return results, faults
}

func roots(opened []*bundle.Bundle) []string {
	var all []string
	for _, b := range opened {
		all = append(all, b.RootDigest.String())
	}
	return all
}

func texts(faults []error) []string {
	var all []string
	for _, fault := range faults {
		all = append(all, fault.Error())
	}
	return all
}

// openRole opens the bundle of a role for looking into it; role "" is the only one in the file.
func openRole(path, role string) (*bundle.Bundle, error) {
	path, err := named(path)
	if err != nil {
		return nil, fmt.Errorf("opening bundle: %w", err)
	}
	return oneRole(bundle.OpenRole(path, role))
}

// oneRole says how one of several bundles is chosen, when that is what is wrong.
func oneRole(b *bundle.Bundle, err error) (*bundle.Bundle, error) {
	var several *bundle.SiteFileError
	if errors.As(err, &several) {
		return nil, &refusal{err, "say which one: --role " + several.Roles[0]}
	}
	if err != nil {
		return nil, fmt.Errorf("opening bundle: %w", err)
	}
	return b, nil
}

// named returns the name of a file on the command line. One that does not exist is a mistake there.
func named(path string) (string, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !recovery.Here(path) {
		return "", &refusal{fmt.Errorf("%s: there is no such file", path), "`bundle build` writes bundles to dist/ of the site"}
	}
	return path, nil
}

// roleFlag adds the flag that says which bundle of a site file a command is about.
func roleFlag(cmd *cobra.Command, role *string) {
	cmd.Flags().StringVar(role, "role", "", "which bundle of a site file")
}
