package main

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"offgrid/bundle"
)

// inputs is what a site's lock names, as a person would have downloaded it.
type inputs struct {
	opts     options
	downs    string // directory of downloads
	archives []archive
	roles    map[string][]string // role: artifact names
	lock     lockFile
}

type archive struct {
	file    string
	members []string
}

// lockFile is the part of bundle.lock that matters here.
type lockFile struct {
	Entries []struct {
		ID      string `yaml:"id"`
		Kind    string `yaml:"kind"`
		URL     string `yaml:"url"`
		Size    int64  `yaml:"size"`
		SHA256  string `yaml:"sha256"`
		Members []struct {
			Name   string `yaml:"name"`
			Path   string `yaml:"path"`
			Size   int64  `yaml:"size"`
			SHA256 string `yaml:"sha256"`
		} `yaml:"members"`
		Image *struct {
			Index    *blob  `yaml:"index"`
			Manifest blob   `yaml:"manifest"`
			Config   blob   `yaml:"config"`
			Layers   []blob `yaml:"layers"`
		} `yaml:"image"`
	} `yaml:"entries"`
}

type blob struct {
	SHA256 string `yaml:"sha256"`
}

// readInputs lays the downloads out under their own names, as hard links into the store.
func readInputs(o options) (*inputs, error) {
	data, err := os.ReadFile(filepath.Join(o.site, "bundle.lock"))
	if err != nil {
		return nil, err
	}
	in := &inputs{opts: o, downs: filepath.Join(o.work, "downloads"), roles: map[string][]string{}}
	if err := yaml.Unmarshal(data, &in.lock); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(in.downs, 0o755); err != nil {
		return nil, err
	}
	for _, e := range in.lock.Entries {
		if e.Kind == "image" {
			continue
		}
		name := filepath.Base(e.URL)
		if err := os.Link(in.stored(o.store, e.SHA256), filepath.Join(in.downs, name)); err != nil {
			return nil, err
		}
		if e.Kind == "archive" {
			var wanted []string
			for _, m := range e.Members {
				wanted = append(wanted, m.Path)
			}
			members, err := spelled(filepath.Join(in.downs, name), wanted)
			if err != nil {
				return nil, err
			}
			in.archives = append(in.archives, archive{name, members})
		}
	}
	return in, in.readRoles()
}

// spelled returns the members as the archive spells them: some say ./kubelet.
func spelled(file string, wanted []string) ([]string, error) {
	out, err := exec.Command("tar", "tzf", file).Output()
	if err != nil {
		return nil, fmt.Errorf("listing %q: %w", file, err)
	}
	var members []string
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSpace(name)
		if slices.Contains(wanted, path.Clean(name)) {
			members = append(members, name)
		}
	}
	return members, nil
}

// readRoles learns from the built bundles which role takes what.
func (in *inputs) readRoles() error {
	paths, err := filepath.Glob(filepath.Join(in.opts.site, "dist", "*.bundle"))
	if err != nil || len(paths) == 0 {
		return fmt.Errorf("no bundles in %s/dist: %w", in.opts.site, err)
	}
	files := map[string]string{} // artifact: path below the scratch directory
	for _, e := range in.lock.Entries {
		for _, m := range e.Members {
			files[m.Name] = filepath.Join("unpacked", m.Path)
		}
		if e.Kind == "file" {
			files[e.ID] = filepath.Join("downloads", filepath.Base(e.URL))
		}
	}
	for _, name := range paths {
		b, err := bundle.Open(name)
		if err != nil {
			return err
		}
		for _, a := range b.Role.Artifacts {
			file, known := files[a.Name]
			if a.Kind == bundle.KindPackage {
				file, known = filepath.Join("downloads", filepath.Base(a.Source)), true
			}
			if known {
				in.roles[b.Role.Role] = append(in.roles[b.Role.Role], file)
			}
		}
		if err := b.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (in *inputs) stored(store, hex string) string {
	d, err := bundle.ParseDigest(hex)
	if err == nil {
		hex = d.Hex()
	}
	return filepath.Join(store, "blobs", "sha256", hex[:2], hex)
}

// coldStore makes a store that holds the downloads and nothing derived from them.
func (in *inputs) coldStore(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	format, err := os.ReadFile(filepath.Join(in.opts.store, "format"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "format"), format, 0o644); err != nil {
		return err
	}
	var digests []string
	for _, e := range in.lock.Entries {
		if e.Image == nil {
			digests = append(digests, e.SHA256)
			continue
		}
		digests = append(digests, e.Image.Manifest.SHA256, e.Image.Config.SHA256)
		if e.Image.Index != nil {
			digests = append(digests, e.Image.Index.SHA256)
		}
		for _, l := range e.Image.Layers {
			digests = append(digests, l.SHA256)
		}
	}
	for _, d := range digests {
		to := in.stored(dir, d)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.Link(in.stored(in.opts.store, d), to); err != nil && !os.IsExist(err) {
			return err
		}
	}
	return nil
}
