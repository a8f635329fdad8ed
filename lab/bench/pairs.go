package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"offgrid/bundle"
)

// command runs a program and takes its time and peak memory, its children's included.
func command(dir string, argv ...string) (usage, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	start := time.Now()
	err := cmd.Run()
	u := usage{wall: time.Since(start), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.peak = r.Maxrss << 10
	}
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, errOut.String())
	}
	return u, err
}

func (in *inputs) pairs() ([]*pair, error) {
	site, err := in.copySite()
	if err != nil {
		return nil, err
	}
	cold := filepath.Join(in.opts.work, "store")
	build := func(store string) func() (usage, error) {
		return func() (usage, error) { return command("", in.build(site, store)...) }
	}
	pairs := []*pair{
		{
			name: "build from downloads / sha512sum, tar xzf, tar | zstd -3 -T0", target: "<= 0.9",
			a: &side{prepare: func() error { return firstError(in.coldStore(cold), os.RemoveAll(filepath.Join(site, "dist"))) }, run: build(cold)},
			b: &side{prepare: func() error { return os.RemoveAll(filepath.Join(in.opts.work, "unpacked")) }, run: in.byHand},
		},
		{name: "build again, dist/ gone, everything encoded before", target: "-",
			a: &side{prepare: func() error { return os.RemoveAll(filepath.Join(site, "dist")) }, run: build(cold)}},
		{name: "build again, nothing changed", target: "< 1 s", a: &side{run: build(cold)}},
	}
	if node, ok := in.roles["node"]; ok {
		pairs = append(pairs, in.unpackPair(site, node)...)
	}
	return pairs, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (in *inputs) build(site, store string) []string {
	argv := []string{in.opts.bundle, "build", "--dir", site, "--store", store, "--installer", in.opts.install}
	if in.opts.catalogue != "" {
		argv = append(argv, "--catalogue", in.opts.catalogue)
	}
	return argv
}

// copySite takes all of the site but dist/: certificates are made once and are no part of a build.
func (in *inputs) copySite() (string, error) {
	to := filepath.Join(in.opts.work, "site")
	if err := os.MkdirAll(to, 0o755); err != nil {
		return "", err
	}
	argv := []string{"cp", "-a"}
	for _, name := range []string{"cluster.yaml", "baseline.json", "bundle.lock", "pki"} {
		argv = append(argv, filepath.Join(in.opts.site, name))
	}
	_, err := command("", append(argv, to)...)
	return to, err
}

// byHand checks, unpacks only what is wanted, and packs a compressed tar per role.
func (in *inputs) byHand() (usage, error) {
	var script strings.Builder
	script.WriteString("set -euo pipefail\nmkdir unpacked\n")
	for _, a := range in.archives {
		fmt.Fprintf(&script, "sha512sum downloads/%s >>sums\ntar xzf downloads/%s -C unpacked %s\n", a.file, a.file, strings.Join(a.members, " "))
	}
	for role, files := range in.roles {
		fmt.Fprintf(&script, "tar cf - %s | zstd -q -3 -T0 -f -o %s.tar.zst\n", strings.Join(files, " "), role)
	}
	return command(in.opts.work, "bash", "-c", script.String())
}

// unpackPair compares putting the node's programs in place from the bundle with doing so from a tar.gz and its checksums.
func (in *inputs) unpackPair(site string, files []string) []*pair {
	work, target := in.opts.work, filepath.Join(in.opts.work, "host")
	programs := slices.DeleteFunc(slices.Clone(files), func(f string) bool { return strings.HasPrefix(f, "downloads/") })
	clean := func() error { return firstError(os.RemoveAll(target), os.MkdirAll(target, 0o755)) }
	packed := false
	pack := func() error {
		if packed {
			return clean()
		}
		packed = true
		_, err := command(work, "bash", "-c", "tar czf node.tar.gz "+strings.Join(programs, " ")+" && sha256sum node.tar.gz >node.sums")
		return firstError(err, clean())
	}
	self, _ := os.Executable()
	return []*pair{{
		name: "node's programs in place / sha256sum -c, tar xzf, sync", target: "<= 0.4",
		a: &side{prepare: clean, run: func() (usage, error) {
			return command("", self, "unpack", filepath.Join(site, "dist", "node.bundle"), target)
		}},
		b: &side{prepare: pack, run: func() (usage, error) {
			return command(work, "bash", "-c", "sha256sum --quiet -c node.sums && tar xzf node.tar.gz -C host && sync -f host")
		}},
	}}
}

// unpack puts the programs of a bundle below dir the way the installer does: verified while reading, written beside,
// flushed, renamed.
func unpack(path, dir string) error {
	ctx := context.Background()
	b, err := bundle.Open(path)
	if err != nil {
		return err
	}
	defer b.Close()
	for _, a := range b.Role.Artifacts {
		if a.Kind != bundle.KindProgram {
			continue
		}
		if err := unpackOne(ctx, b, a, filepath.Join(dir, a.Name)); err != nil {
			return err
		}
	}
	return nil
}

func unpackOne(ctx context.Context, b *bundle.Bundle, a bundle.Artifact, to string) error {
	r, err := b.Content(ctx, a.Blob, a.Name)
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := os.Create(to + ".new")
	if err != nil {
		return err
	}
	if _, err = io.Copy(f, r); err == nil {
		err = f.Sync()
	}
	return firstError(err, f.Close(), os.Rename(f.Name(), to))
}

// sizes prints what is measured in bytes.
func (in *inputs) sizes() error {
	info, err := os.Stat(in.opts.install)
	if err != nil {
		return err
	}
	fmt.Printf("install: %.1f MiB (target: under 15)\n", float64(info.Size())/(1<<20))
	paths, err := filepath.Glob(filepath.Join(in.opts.work, "site", "dist", "*.bundle"))
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			hand := ""
			if h, err := os.Stat(filepath.Join(in.opts.work, strings.TrimSuffix(filepath.Base(path), ".bundle")+".tar.zst")); err == nil {
				hand = fmt.Sprintf(", by hand %.1f MB", float64(h.Size())/1e6)
			}
			fmt.Printf("%s: %.1f MB%s\n", filepath.Base(path), float64(info.Size())/1e6, hand)
		}
	}
	return err
}
