package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// builds compares building the site with what a person would do.
func (in *inputs) builds() (*group, error) {
	site, err := in.copySite("site")
	if err != nil {
		return nil, err
	}
	other, err := in.copySite("changed")
	if err != nil {
		return nil, err
	}
	added, err := in.change(other)
	if err != nil {
		return nil, err
	}
	work := in.opts.work
	store, warm := filepath.Join(work, "store"), filepath.Join(work, "warm")
	noDist := func() error { return os.RemoveAll(filepath.Join(site, "dist")) }
	build := func(site, store string) func() (usage, error) {
		return func() (usage, error) { return command("", in.build(site, store)...) }
	}
	cold := &job{prepare: func() error { return firstError(in.coldStore(store), noDist()) }, run: build(site, store)}
	same := &job{run: build(site, store)}
	again := &job{prepare: noDist, run: build(site, store)}
	changed := &job{prepare: func() error {
		if err := firstError(os.RemoveAll(warm), os.RemoveAll(filepath.Join(other, "dist"))); err != nil {
			return err
		}
		_, err := command("", "cp", "-al", store, warm)
		return firstError(err, in.link(added, warm))
	}, run: build(other, warm)}
	unzip := &job{run: func() (usage, error) { return in.self(append([]string{"gunzip"}, in.archivePaths()...)...) }}
	hand := &job{prepare: func() error { return os.RemoveAll(filepath.Join(work, "unpacked")) }, run: in.byHand}
	return &group{jobs: []*job{cold, unzip, hand, changed, again, same}, rows: []row{
		{"build from downloads / compress/gzip reading its archives", "<= 1.0", cold, unzip},
		{"build from downloads / sha512sum, tar xzf, tar \\| zstd -3 -T0", "<= 0.8", cold, hand},
		{"build, one archive with a changed program / build from downloads", "<= 0.15", changed, cold},
		{"build, everything encoded before / build from downloads", "", again, cold},
		{"build, nothing changed", "< 1 s", same, nil},
	}}, nil
}

func (in *inputs) build(site, store string) []string {
	argv := []string{in.opts.bundle, "build", "--dir", site, "--store", store, "--installer", in.opts.install}
	if in.opts.catalogue != "" {
		argv = append(argv, "--catalogue", in.opts.catalogue)
	}
	if in.opts.words != "" {
		argv = append(argv, "--passphrase-file", in.opts.words)
	}
	return argv
}

// self runs this program.
func (in *inputs) self(argv ...string) (usage, error) {
	self, err := os.Executable()
	if err != nil {
		return usage{}, err
	}
	return command("", append([]string{self}, argv...)...)
}

// copySite takes all of the site but dist/: certificates are made once and are no part of a build.
func (in *inputs) copySite(name string) (string, error) {
	to := filepath.Join(in.opts.work, name)
	if err := os.MkdirAll(to, 0o755); err != nil {
		return "", err
	}
	_, err := command(in.opts.site, "bash", "-c", `shopt -s dotglob; for f in *; do case $f in dist|renewal|.bundle-running) ;; *) cp -a -- "$f" "$0" ;; esac; done`, to)
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

func (in *inputs) archivePaths() []string {
	var paths []string
	for _, a := range in.archives {
		paths = append(paths, filepath.Join(in.downs, a.file))
	}
	return paths
}

// gunzip decodes files with the standard library and does nothing with the result.
func gunzip(paths []string) error {
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		z, err := gzip.NewReader(f)
		if err == nil {
			_, err = io.Copy(io.Discard, z)
		}
		if err := firstError(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}
