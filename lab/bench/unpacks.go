package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/installer"
	"offgrid/installer/host"
)

// unpacks compares putting the programs of a master in place with the ways in which others do it.
func (in *inputs) unpacks() (*group, error) {
	const role = bundle.RoleMaster
	work, target := in.opts.work, filepath.Join(in.opts.work, "host")
	programs := slices.DeleteFunc(slices.Clone(in.roles[role]), func(f string) bool { return strings.HasPrefix(f, "downloads/") })
	if len(programs) == 0 {
		return nil, fmt.Errorf("the site has no programs of role %q", role)
	}
	files := strings.Join(programs, " ")
	pack := "set -euo pipefail\ntar cf - " + files + " | zstd -q -3 -T0 -o plain.tar.zst\ntar czf plain.tar.gz " + files + "\nsha256sum plain.tar.gz >plain.sums"
	if _, err := command(work, "bash", "-c", pack); err != nil {
		return nil, err
	}
	clean := func() error { return firstError(os.RemoveAll(target), os.MkdirAll(target, 0o755)) }
	shell := func(script string) *job {
		return &job{prepare: clean, run: func() (usage, error) { return command(work, "bash", "-c", "set -euo pipefail\n"+script) }}
	}
	path := filepath.Join(work, "site", "dist", role+".bundle")
	unpack := func(processors int, flags ...string) *job {
		return &job{prepare: clean, run: func() (usage, error) {
			self, err := os.Executable()
			if err != nil {
				return usage{}, err
			}
			cmd := exec.Command(self, slices.Concat([]string{"unpack"}, flags, []string{path, target})...)
			if processors > 0 {
				cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", processors))
			}
			return measured(cmd)
		}}
	}
	const flush = "\nfind host -type f -exec sync {} +"
	frames, install := unpack(0, "-digest=false"), unpack(0)
	one, two := unpack(1, "-sync=false"), unpack(2, "-sync=false")
	cp, zstd, gzip := shell("cp "+files+" host/"+flush), shell("zstd -dc plain.tar.zst | tar x -C host"+flush), shell("sha256sum --quiet -c plain.sums\ntar xzf plain.tar.gz -C host"+flush)
	return &group{jobs: []*job{frames, cp, install, zstd, gzip, one, two}, rows: []row{
		{"a master's programs in place, compressed bytes verified, synced / cp, sync", "<= 1.4", frames, cp},
		{"the same with each file's digest, as ./install does it / cp, sync", "", install, cp},
		{"as ./install does it / zstd -dc \\| tar x, sync", "<= 0.7", install, zstd},
		{"as ./install does it / sha256sum -c, tar xzf, sync", "<= 0.3", install, gzip},
		{"as ./install does it, not synced: 1 worker / 2 workers", ">= 1.6", one, two},
	}}, nil
}

// unpack puts the programs of a bundle below a directory: with a step of the installer, or without what that does beyond
// writing verified bytes.
func unpack(args []string) error {
	flags := flag.NewFlagSet("unpack", flag.ContinueOnError)
	digest := flags.Bool("digest", true, "take each file's digest while it is written")
	sync := flags.Bool("sync", true, "make each file durable")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b, err := bundle.Open(flags.Arg(0))
	if err != nil {
		return err
	}
	defer b.Close()
	me := host.Meta{Mode: 0o755, Owner: fmt.Sprint(os.Getuid()), Group: fmt.Sprint(os.Getgid())}
	for _, a := range b.Role.Artifacts {
		if a.Kind != bundle.KindProgram {
			continue
		}
		ctx, name := context.Background(), filepath.Join(flags.Arg(1), a.Name)
		switch {
		case !*sync:
			err = unsynced(ctx, b, a, name, *digest)
		case !*digest:
			err = host.Local{}.Write(name, frames{b: b, a: a}, me)
		default:
			step := &installer.FileStep{Path: name, Meta: me, Digest: a.Blob.Digest, Size: a.Blob.Size,
				Content: func(ctx context.Context) (io.ReadCloser, error) { return b.Content(ctx, a.Blob, a.Name) }}
			err = step.Do(ctx, host.Local{})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// frames is content of which each frame is verified, and not the whole.
type frames struct {
	io.Reader
	b *bundle.Bundle
	a bundle.Artifact
}

// Place implements host.Placer.
func (f frames) Place(w io.WriterAt) (bundle.Digest, int64, error) {
	return f.a.Blob.Digest, f.a.Blob.Size, f.b.Place(context.Background(), f.a.Blob, f.a.Name, w, false)
}

func unsynced(ctx context.Context, b *bundle.Bundle, a bundle.Artifact, name string, digest bool) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(b.Place(ctx, a.Blob, a.Name, f, digest), f.Close())
}
