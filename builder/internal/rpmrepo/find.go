package rpmrepo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"offgrid/builder/internal/fetch"
)

// Source is a repository to ask.
type Source struct {
	ID      string
	BaseURL string
	Key     *Key // signs the metadata, where that is signed
	Signed  bool // repomd.xml.asc must be there and verify
}

// Wanted names a package by what a catalogue says.
type Wanted struct{ Name, EVR, Arch string }

// String writes it as rpm does.
func (w Wanted) String() string { return w.Name + "-" + w.EVR + "." + w.Arch }

// URL returns the address of a path in the repository.
func (s Source) URL(path string) string { return strings.TrimSuffix(s.BaseURL, "/") + "/" + path }

// Find asks the repository for the packages. The result has their order. Vouched says for people who vouches for the
// digests: the signed index, or the address that it came from.
func Find(ctx context.Context, c *fetch.Client, src Source, wanted []Wanted) (found []Package, vouched string, err error) {
	index, from, err := src.index(ctx, c)
	if err != nil {
		return nil, "", fmt.Errorf("repository %s: %w", src.ID, err)
	}
	all, err := src.read(ctx, c, index, wanted)
	if err != nil {
		return nil, "", fmt.Errorf("repository %s: %w", src.ID, err)
	}
	for _, w := range wanted {
		p, err := pick(w, all[w.Name])
		if err != nil {
			return nil, "", fmt.Errorf("repository %s: %w", src.ID, err)
		}
		found = append(found, p)
	}
	vouched = "primary index of " + src.ID + " at " + from
	if src.Signed {
		vouched = "primary index of " + src.ID + " signed by " + src.Key.Fingerprint
	}
	return found, vouched, nil
}

// index gets repomd.xml and checks its signature. From is the address that gave it.
func (s Source) index(ctx context.Context, c *fetch.Client) (index Index, from string, err error) {
	a, err := c.Text(ctx, fetch.Request{Item: "repomd.xml of " + s.ID, URL: s.URL("repodata/repomd.xml"), MaxSize: maxRepomd})
	if err != nil {
		return index, "", err
	}
	if s.Signed {
		// From the address that gave the document itself: mirrors are not always at the same state.
		sig, err := c.Text(ctx, fetch.Request{Item: "repomd.xml.asc of " + s.ID, URL: a.URL + ".asc", NoMirrors: true, MaxSize: maxRepomd})
		if fetch.IsNotFound(err) {
			return index, "", fmt.Errorf("%w: its index is not signed; say signedMetadata: false in the catalogue and rely on the signatures of the packages, or use a mirror that has the signature", err)
		}
		if err != nil {
			return index, "", err
		}
		if err := s.Key.VerifyDetached(a.Body, sig.Body); err != nil {
			return index, "", fmt.Errorf("%s: %w", a.URL, err)
		}
	}
	if index, err = ParseRepomd(a.Body); err != nil {
		return index, "", fmt.Errorf("%s: %w", a.URL, err)
	}
	return index, a.URL, nil
}

// read gets the list of packages and returns the wanted ones by name.
func (s Source) read(ctx context.Context, c *fetch.Client, index Index, wanted []Wanted) (map[string][]Package, error) {
	addr := s.URL(index.Path)
	if _, err := c.Get(ctx, fetch.Request{Item: "index of " + s.ID, URL: addr, SHA256: index.SHA256, Size: index.Size, MaxSize: maxPrimary}); err != nil {
		return nil, err
	}
	f, err := c.Store().Open(index.SHA256)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := decompress(index.Path, &contextReader{ctx, f})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	defer z.Close()
	names := map[string]bool{}
	for _, w := range wanted {
		names[w.Name] = true
	}
	all := map[string][]Package{}
	if err := ReadPrimary(z, names, func(p Package) { all[p.Name] = append(all[p.Name], p) }); err != nil {
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	return all, nil
}

// pick finds the wanted version, or says what there is.
func pick(w Wanted, list []Package) (Package, error) {
	var match []Package
	var have []string
	for _, p := range list {
		if p.Arch == w.Arch && p.EVR() == strings.TrimPrefix(w.EVR, "0:") {
			match = append(match, p)
		}
		have = append(have, p.EVR()+"."+p.Arch)
	}
	switch {
	case len(list) == 0:
		return Package{}, fmt.Errorf("it has no package %q", w.Name)
	case len(match) == 0:
		slices.Sort(have)
		have = slices.Compact(have)
		if n := len(have); n > 10 {
			have = append(have[:10], fmt.Sprintf("and %d more", n-10))
		}
		return Package{}, fmt.Errorf("it has no %s; of %s it has %s", w, w.Name, strings.Join(have, ", "))
	}
	for _, p := range match[1:] {
		if p.SHA256 != match[0].SHA256 {
			return Package{}, fmt.Errorf("it lists %s twice, with different content", w)
		}
	}
	return match[0], nil
}
