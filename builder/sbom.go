package builder

import (
	"context"
	"fmt"
	"io"
	"os"

	"offgrid/builder/internal/rpmrepo"
	"offgrid/builder/internal/sbom"
	"offgrid/bundle"
)

// Formats of a list of what a bundle brings.
const (
	SPDX      = "spdx"      // SPDX 2.3, JSON
	CycloneDX = "cyclonedx" // CycloneDX 1.5, JSON
)

// SBOMOptions says how to list what a bundle brings.
type SBOMOptions struct {
	Format    string // SPDX or CycloneDX
	Installer string // path of the program that installs the bundle; "": it is not listed
	Tool      string // who makes the list, with its release: "offgrid-bundle-0.1.0"
}

// maxInstaller bounds the bytes of an installer that is listed.
const maxInstaller = 1 << 30

// WriteSBOM lists packages, programs with the Go modules in them, and container images of a bundle. Nothing of the bundle is
// run. The same bundle, installer and tool give the same bytes. It holds the largest program of the bundle in memory.
func WriteSBOM(ctx context.Context, w io.Writer, b *bundle.Bundle, o SBOMOptions) error {
	if o.Format != SPDX && o.Format != CycloneDX {
		return fmt.Errorf("listing %s: unknown format %q", b.Path, o.Format)
	}
	in := sbom.Options{Tool: o.Tool, License: rpmrepo.ReadAbout}
	if o.Installer != "" {
		info, err := os.Stat(o.Installer)
		if err == nil && (!info.Mode().IsRegular() || info.Size() > maxInstaller) {
			err = fmt.Errorf("%s: not a program", o.Installer)
		}
		if err == nil {
			in.Installer, err = os.ReadFile(o.Installer)
		}
		if err != nil {
			return fmt.Errorf("listing the installer: %w", err)
		}
	}
	doc, err := sbom.Collect(ctx, b, in)
	if err != nil {
		return fmt.Errorf("listing %s: %w", b.Path, err)
	}
	if o.Format == CycloneDX {
		return doc.WriteCycloneDX(w)
	}
	return doc.WriteSPDX(w)
}
