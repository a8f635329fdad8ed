package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"offgrid/bundle"
)

// change makes the site's lock name another archive in place of its smallest one: the same, but for one program, which is
// longer. It returns the new archive.
func (in *inputs) change(site string) (added string, err error) {
	i := in.smallest()
	if i < 0 {
		return "", errors.New("the lock names no archive")
	}
	e := in.lock.Entries[i]
	m := e.Members[0]
	added = filepath.Join(in.opts.work, "changed.tar.gz")
	program, err := repack(filepath.Join(in.downs, filepath.Base(e.URL)), added, m.Path)
	if err != nil {
		return "", err
	}
	archive, err := os.ReadFile(added)
	if err != nil {
		return "", err
	}
	lock := filepath.Join(site, "bundle.lock")
	text, err := os.ReadFile(lock)
	if err != nil {
		return "", err
	}
	s := string(text)
	for _, r := range [][2]string{
		{fmt.Sprintf("size: %d\n    sha256: %s\n", e.Size, e.SHA256), fmt.Sprintf("size: %d\n    sha256: %s\n", len(archive), bundle.DigestOf(archive))},
		{fmt.Sprintf("size: %d\n        sha256: %s\n", m.Size, m.SHA256), fmt.Sprintf("size: %d\n        sha256: %s\n", m.Size+int64(len(more)), program)},
	} {
		if strings.Count(s, r[0]) != 1 {
			return "", fmt.Errorf("%s does not have %q once", lock, r[0])
		}
		s = strings.Replace(s, r[0], r[1], 1)
	}
	return added, os.WriteFile(lock, []byte(s), 0o644)
}

// more is what the changed program has at its end.
const more = "a changed program"

// smallest is the archive that is changed, -1 when there is none.
func (in *inputs) smallest() int {
	found := -1
	for i, e := range in.lock.Entries {
		if e.Kind == "archive" && (found < 0 || e.Size < in.lock.Entries[found].Size) {
			found = i
		}
	}
	return found
}

// repack copies an archive with a longer member, and returns that member's digest.
func repack(from, to, member string) (program bundle.Digest, err error) {
	in, err := os.Open(from)
	if err != nil {
		return program, err
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		return program, err
	}
	out, err := os.Create(to)
	if err != nil {
		return program, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	zw := gzip.NewWriter(out)
	r, w := tar.NewReader(z), tar.NewWriter(zw)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return program, firstError(w.Close(), zw.Close())
		}
		if err != nil {
			return program, err
		}
		content := io.Reader(r)
		sum := sha256.New()
		if path.Clean(h.Name) == path.Clean(member) {
			h.Size += int64(len(more))
			content = io.TeeReader(io.MultiReader(r, strings.NewReader(more)), sum)
		}
		if err := w.WriteHeader(h); err != nil {
			return program, err
		}
		if _, err := io.Copy(w, content); err != nil {
			return program, err
		}
		if path.Clean(h.Name) == path.Clean(member) {
			program = bundle.Digest(sum.Sum(nil))
		}
	}
}

// link puts a file into a store.
func (in *inputs) link(file, store string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	to := in.stored(store, bundle.DigestOf(data).String())
	return firstError(os.MkdirAll(filepath.Dir(to), 0o755), os.Link(file, to), os.Chmod(to, 0o444))
}
