package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"offgrid/builder/catalogue"
)

// read takes a catalogue as it is written, unknown keys refused.
func read(name string) (*catalogue.Catalogue, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var c catalogue.Catalogue
	if err := yaml.NewDecoder(bytes.NewReader(data), yaml.DisallowUnknownField()).Decode(&c); err != nil {
		return nil, fmt.Errorf("reading catalogue %q: %w", name, err)
	}
	return &c, nil
}

// differ makes the listed differences.
func differ(c *catalogue.Catalogue) error {
	for _, d := range differences() {
		if err := d.apply(c); err != nil {
			return fmt.Errorf("making the difference at %s: %w", d.path, err)
		}
	}
	return nil
}

// addReleases lets the catalogue name the releases of Kubernetes that the lab serves besides its own.
func addReleases(c *catalogue.Catalogue, lists string) error {
	data, err := os.ReadFile(filepath.Join(lists, "sha512"))
	if err != nil {
		return err
	}
	d, err := download(c, "kubernetes-server")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) != 2 {
			continue
		}
		version, ok := strings.CutPrefix(filepath.Dir(f[1]), "dl.k8s.io/")
		if !ok || slices.ContainsFunc(d.Releases, func(r catalogue.Release) bool { return r.Version == version }) {
			continue
		}
		d.Releases = append(d.Releases, catalogue.Release{Version: version, URL: "https://" + strings.TrimPrefix(f[1], "./"), SHA512: f[0]})
	}
	return nil
}

// An upstream knows the digests of what the lab serves. They were made by sha256sum, sha512sum and gpg.
type upstream struct {
	address string // host:port of the mirror
	digest  func(kind, name string) (string, error)
}

// move lets the catalogue name the lab's mirror and the digests of what is there.
func (u upstream) move(c *catalogue.Catalogue) error {
	for i := range c.Keys {
		k := &c.Keys[i]
		fingerprint, err := u.digest("fingerprint", k.ID)
		if err != nil {
			return err
		}
		k.Fingerprint, k.URL = fingerprint, u.url(k.URL)
	}
	for i := range c.Repositories {
		c.Repositories[i].BaseURL = u.url(c.Repositories[i].BaseURL)
	}
	for i := range c.Downloads {
		for j := range c.Downloads[i].Releases {
			if err := u.moveRelease(&c.Downloads[i].Releases[j]); err != nil {
				return err
			}
		}
	}
	for i := range c.Images {
		image := &c.Images[i]
		if image.Digest != "" {
			digest, err := u.digest("image", image.Ref)
			if err != nil {
				return err
			}
			image.Digest = "sha256:" + digest
		}
		image.Source = u.address + "/" + image.Source
	}
	return nil
}

func (u upstream) moveRelease(r *catalogue.Release) (err error) {
	if r.SHA256 != "" {
		r.SHA256, err = u.digest("sha256", path(r.URL))
	}
	if r.SHA512 != "" && err == nil {
		r.SHA512, err = u.digest("sha512", path(r.URL))
	}
	if r.Sums != nil {
		r.Sums.URL = u.url(r.Sums.URL)
	}
	r.URL = u.url(r.URL)
	return err
}

func (u upstream) url(real string) string { return "http://" + u.address + "/" + path(real) }

// path is an address without its scheme: where the lab's tree has the file.
func path(url string) string { return strings.TrimPrefix(url, "https://") }

// digests reads the lists KIND in dir: lines of a digest, blanks and a name, as the sum tools write them.
func digests(dir string) func(kind, name string) (string, error) {
	return func(kind, name string) (string, error) {
		list := filepath.Join(dir, kind)
		data, err := os.ReadFile(list)
		if err != nil {
			return "", err
		}
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); len(f) == 2 && strings.TrimPrefix(f[1], "./") == name {
				return f[0], nil
			}
		}
		return "", fmt.Errorf("looking for the %s of %q: %q does not name it", kind, name, list)
	}
}
