package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"offgrid/bundle"
	"offgrid/cmd/internal/console"
)

func newVerify(a *app) *cobra.Command {
	var deep bool
	cmd := &cobra.Command{
		Use:   "verify FILE...",
		Short: "Check every byte of bundles and name all that is damaged",
		Long: `Read each bundle whole and compare every blob with its digest. All faults are
named, with the artifact and the bytes, not only the first. With --deep
everything is decoded too and the content compared.

With --json: a list of file, role, root, blobs, size and faults.

` + exitText,
		Example:           "  bundle verify /media/stick/*.bundle",
		Args:              files(0),
		ValidArgsFunction: completeBundles,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.verify(cmd.Context(), args, deep) },
	}
	cmd.Flags().BoolVar(&deep, "deep", false, "decode everything and check the content as well")
	return cmd
}

// verified is the result for one file.
type verified struct {
	File   string         `json:"file"`
	Role   string         `json:"role,omitempty"`
	Root   *bundle.Digest `json:"root,omitempty"`
	Blobs  int            `json:"blobs,omitempty"`
	Size   int64          `json:"size,omitempty"`
	Faults []string       `json:"faults,omitempty"`
}

func (a *app) verify(ctx context.Context, paths []string, deep bool) error {
	var results []verified
	var all []error
	for _, path := range paths {
		v, faults := a.verifyOne(ctx, path, deep)
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, fault := range faults {
			v.Faults = append(v.Faults, fault.Error())
		}
		if len(faults) == 0 {
			a.console.Say("%s: good: role %s, %d blobs, %s, fingerprint %s", path, v.Role, v.Blobs, console.Bytes(v.Size), v.Root.Short())
		}
		results = append(results, v)
		all = append(all, faults...)
	}
	return errors.Join(errors.Join(all...), a.printJSON(results))
}

func (a *app) verifyOne(ctx context.Context, path string, deep bool) (verified, []error) {
	v := verified{File: path}
	b, err := openNamed(path)
	if err != nil {
		return v, []error{err}
	}
	defer b.Close()
	v.Role, v.Root, v.Size = b.Role.Role, &b.RootDigest, b.Size
	for _, s := range b.Blobs() {
		if !b.Renewal || !s.Bulk {
			v.Blobs++
		}
	}
	faults := b.Verify(ctx, a.console.Progress())
	if len(faults) == 0 && deep {
		faults = b.VerifyContent(ctx, a.console.Progress())
	}
	if b.Renewal {
		a.console.Say("%s is a renewal bundle: programs, packages and images are not in it", path)
	}
	if b.IsDir {
		a.console.Say("%s is a directory: only what was carried to a host is in it", path)
	}
	return v, faults
}

// open opens a bundle for looking into it.
func open(path string) (*bundle.Bundle, error) {
	b, err := openNamed(path)
	if err != nil {
		return nil, fmt.Errorf("opening bundle: %w", err)
	}
	return b, nil
}

// openNamed opens the bundle that the command line names. A name that does not exist is a mistake there.
func openNamed(path string) (*bundle.Bundle, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, &refusal{fmt.Errorf("%s: there is no such file", path), "`bundle build` writes bundles to dist/ of the site"}
	}
	return bundle.Open(path)
}
