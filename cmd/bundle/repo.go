package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"offgrid/builder"
	"offgrid/bundle"
	"offgrid/cmd/internal/console"
)

func newRepo(a *app) *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use:   "repo FILE DIR",
		Short: "Write the packages of a bundle as a yum repository",
		Long: `Write the RPMs that a bundle carries into a directory, with an index that yum
and dnf read. This is for people who want to look at them or use them in another
way: the installer needs no yum and installs the packages by itself. Each
package keeps the signature of its vendor; the index is not signed.

With --json: path, role and packages.

` + exitText,
		Example: `  bundle repo dist/node.bundle /srv/offgrid-node
  yum --disablerepo='*' --enablerepo=offgrid-node list available`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return &usageError{"name the bundle and the directory", cmd.CommandPath()}
			}
			return nil
		},
		ValidArgsFunction: completeBundles,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.repo(cmd.Context(), args[0], args[1], role) },
	}
	roleFlag(cmd, &role)
	return cmd
}

// repo writes the files, the index's head last.
func (a *app) repo(ctx context.Context, file, dir, role string) error {
	b, err := openRole(file, role)
	if err != nil {
		return err
	}
	defer b.Close()
	files := b.RepositoryFiles()
	if files == nil {
		return &refusal{fmt.Errorf("writing a repository: the role %q of %s has no packages", b.Role.Role, file), "`bundle inspect FILE` lists what a bundle holds"}
	}
	packages := 0
	var bytes int64
	for _, f := range files {
		if err := copyArtifact(ctx, b, f, dir); err != nil {
			return err
		}
		if f.Artifact.Kind == bundle.KindPackage {
			packages++
		}
		bytes += f.Artifact.Blob.Size
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("naming the repository: %w", err)
	}
	name := "offgrid-" + b.Role.Role
	a.console.Say("wrote %s: %d packages, %s", dir, packages, console.Bytes(bytes))
	a.console.Say("to use it, as /etc/yum.repos.d/%s.repo:\n[%s]\nname=%s\nbaseurl=file://%s\nenabled=0\ngpgcheck=1", name, name, name, filepath.ToSlash(absolute))
	return a.printJSON(map[string]any{"path": dir, "role": b.Role.Role, "packages": packages})
}

// copyArtifact writes one file, at once or not at all.
func copyArtifact(ctx context.Context, b *bundle.Bundle, f bundle.RepositoryFile, dir string) error {
	path := filepath.Join(dir, filepath.FromSlash(f.Path))
	if !filepath.IsLocal(filepath.FromSlash(f.Path)) {
		return fmt.Errorf("writing a repository: the bundle names a file %q outside of it", f.Path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing a repository: %w", err)
	}
	r, err := b.Content(ctx, f.Artifact.Blob, f.Artifact.Name)
	if err != nil {
		return err
	}
	defer r.Close()
	return builder.WriteFile(path, 0o644, func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
}
