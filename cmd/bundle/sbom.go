package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"offgrid/builder"
	"offgrid/bundle"
	"offgrid/cmd/internal/version"
)

// sbomFlags are the flags of bundle sbom.
type sbomFlags struct {
	format    string
	output    string
	installer string
	role      string
}

func newSBOM(a *app) *cobra.Command {
	var o sbomFlags
	cmd := &cobra.Command{
		Use:   "sbom FILE...",
		Short: "List the software in bundles, as SPDX or CycloneDX",
		Long: `Write a software bill of materials of each bundle: RPMs with version, licence
and vendor; programs with the Go modules built into them, as their bytes tell;
images with their layers; and the installer when it lies beside the bundle.
Nothing is run. Configuration, certificates and keys are not listed. The same
bundle gives the same bytes.

One bundle is listed on stdout, or in the file that -o names; for several, -o
names a directory, and ROLE.spdx.json or ROLE.cdx.json are written there.

With --json and -o: a list of file, role, root and output.

` + exitText,
		Example: `  bundle sbom dist/node.bundle > node.spdx.json
  bundle sbom --format cyclonedx -o sbom/ dist/*.bundle`,
		Args:              files(0),
		ValidArgsFunction: completeBundles,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.sbom(cmd.Context(), args, o) },
	}
	cmd.Flags().StringVar(&o.format, "format", builder.SPDX, "spdx (2.3) or cyclonedx (1.5), both as JSON")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "file to write, or directory when there are several bundles")
	roleFlag(cmd, &o.role)
	cmd.Flags().StringVar(&o.installer, "installer", "", "installer to list (default: the file install beside the bundle)")
	return cmd
}

// listed is what sbom prints for programs.
type listed struct {
	File   string        `json:"file"`
	Role   string        `json:"role"`
	Root   bundle.Digest `json:"root"`
	Output string        `json:"output"`
}

func (a *app) sbom(ctx context.Context, paths []string, o sbomFlags) error {
	if o.format != builder.SPDX && o.format != builder.CycloneDX {
		return &usageError{fmt.Sprintf("--format is %q, and takes spdx or cyclonedx", o.format), "bundle sbom"}
	}
	if len(paths) > 1 && o.output == "" {
		return &usageError{"several bundles make several lists: name a directory with -o", "bundle sbom"}
	}
	into := ""
	if info, err := os.Stat(o.output); len(paths) > 1 || err == nil && info.IsDir() || strings.HasSuffix(o.output, "/") {
		into = o.output
		if err := os.MkdirAll(into, 0o755); err != nil {
			return fmt.Errorf("writing a list: %w", err)
		}
	}
	var results []listed
	written := map[string]string{}
	for _, path := range paths {
		l, err := a.sbomOne(ctx, path, into, o, written)
		if err != nil {
			return err
		}
		results = append(results, l)
	}
	if o.output == "" {
		return nil // the list itself is on stdout
	}
	for _, l := range results {
		a.console.Say("wrote %s: role %s, fingerprint %s", l.Output, l.Role, l.Root.Fingerprint())
	}
	return a.printJSON(results)
}

// sbomOne lists one bundle: on stdout, in the file that -o names, or in a directory. written keeps two from being one.
func (a *app) sbomOne(ctx context.Context, path, into string, o sbomFlags, written map[string]string) (listed, error) {
	b, err := sideRole(path, o.role)
	if err != nil {
		return listed{}, err
	}
	defer b.Close()
	options := builder.SBOMOptions{Format: o.format, Installer: o.installer, Tool: "offgrid-bundle-" + version.Number}
	if beside := filepath.Join(filepath.Dir(path), "install"); options.Installer == "" {
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			options.Installer = beside
		}
	}
	l := listed{File: path, Role: b.Role.Role, Root: b.RootDigest, Output: o.output}
	if o.output == "" {
		return l, builder.WriteSBOM(ctx, a.out, b, options)
	}
	if into != "" {
		ending := map[string]string{builder.SPDX: ".spdx.json", builder.CycloneDX: ".cdx.json"}[o.format]
		l.Output = filepath.Join(into, strings.TrimSuffix(filepath.Base(path), ".bundle")+ending)
	}
	if other, twice := written[l.Output]; twice {
		return l, &usageError{fmt.Sprintf("the lists of %s and %s would both be %s", other, path, l.Output), "bundle sbom"}
	}
	written[l.Output] = path
	return l, builder.WriteFile(l.Output, 0o644, func(w io.Writer) error { return builder.WriteSBOM(ctx, w, b, options) })
}
