package rpmrepo

import (
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"offgrid/builder/internal/fetch"
	"offgrid/builder/internal/inflate"
	"offgrid/bundle"
)

// Source is a repository to ask.
type Source struct {
	ID      string
	BaseURL string
	Key     *Key     // signs the metadata, where that is signed
	Signed  bool     // repomd.xml.asc must be there and verify
	Arches  []string // machines whose packages are of interest: "x86_64", "noarch"
}

// Repository is what a source lists.
type Repository struct {
	Source
	Packages []*Listed
	// Vouched says for people who vouches for the digests: the signed index, or the address that it came from.
	Vouched string

	files Index // the index of files
}

// URL returns the address of a path in the repository.
func (s Source) URL(path string) string { return strings.TrimSuffix(s.BaseURL, "/") + "/" + path }

// Load asks the source for its list of packages.
func Load(ctx context.Context, c *fetch.Client, src Source) (*Repository, error) {
	r := &Repository{Source: src}
	index, from, err := src.index(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", src.ID, err)
	}
	r.files = index.Filelists
	err = src.open(ctx, c, "index", index.Primary, func(in io.Reader) error {
		return ReadPrimary(in, src.Arches, func(l *Listed) { r.Packages = append(r.Packages, l) })
	})
	if err != nil {
		return nil, fmt.Errorf("repository %s: %w", src.ID, err)
	}
	r.Vouched = "primary index of " + src.ID + " at " + from
	if src.Signed {
		r.Vouched = "primary index of " + src.ID + " signed by " + src.Key.Fingerprint
	}
	return r, nil
}

// AddFiles asks the source's list of files who holds the paths, and tells the packages.
func (r *Repository) AddFiles(ctx context.Context, c *fetch.Client, paths []string) error {
	if r.files.Path == "" {
		return nil // it has none
	}
	wanted, byDigest := map[string]bool{}, map[bundle.Digest]*Listed{}
	for _, p := range paths {
		wanted[p] = true
	}
	for _, l := range r.Packages {
		byDigest[l.SHA256] = l
	}
	err := r.open(ctx, c, "list of files", r.files, func(in io.Reader) error {
		return ReadFilelists(in, wanted, func(pkg bundle.Digest, file string) {
			if l := byDigest[pkg]; l != nil {
				l.Files = append(l.Files, file)
			}
		})
	})
	if err != nil {
		return fmt.Errorf("repository %s: %w", r.ID, err)
	}
	return nil
}

// index gets repomd.xml and checks its signature. From is the address that gave it.
func (s Source) index(ctx context.Context, c *fetch.Client) (index Indexes, from string, err error) {
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

// open gets one of the indexes and reads it.
func (s Source) open(ctx context.Context, c *fetch.Client, what string, index Index, read func(io.Reader) error) error {
	addr := s.URL(index.Path)
	if _, err := c.Get(ctx, fetch.Request{Item: what + " of " + s.ID, URL: addr, SHA256: index.SHA256, Size: index.Size, MaxSize: maxIndex}); err != nil {
		return err
	}
	f, err := c.Store().Open(index.SHA256)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := c.Store().Size(index.SHA256)
	if err != nil {
		return err
	}
	z, err := decompress(index.Path, &contextReader{ctx, f})
	if err != nil {
		return fmt.Errorf("%s: %w", addr, err)
	}
	defer z.Close()
	if err := read(&limited{z, openedLimit(size)}); err != nil {
		return fmt.Errorf("%s: %w", addr, err)
	}
	return nil
}

// openedLimit is how many bytes an index may have when it is opened. Real ones become 10 to 20 times as long.
func openedLimit(size int64) int64 {
	const floor, ratio = 16 << 20, 100
	return min(maxOpened, max(floor, size*ratio))
}

// limited fails instead of ending when there is more than the limit.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("it becomes too large when it is opened")
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// decompress opens a file as its name says.
func decompress(name string, r io.Reader) (io.ReadCloser, error) {
	switch path.Ext(name) {
	case ".xml":
		return io.NopCloser(r), nil
	case ".gz":
		z, err := inflate.NewReader(r)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(z), nil
	case ".zst":
		return bundle.Unzstd(r)
	case ".bz2":
		return io.NopCloser(bzip2.NewReader(r)), nil
	case ".xz":
		z, err := openXZ(r)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(z), nil
	}
	return nil, fmt.Errorf("the form of %q is not known, want .gz, .xz, .bz2 or .zst", path.Base(name))
}
