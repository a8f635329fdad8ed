package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"offgrid/builder/internal/durable"
	"offgrid/bundle"
)

// SizeUnknown stands for the size of content that nobody has told.
const SizeUnknown int64 = -1

// Put stores the content of r under want. It is idempotent: a nil error means that the content is in the store, not that
// this call put it there. Wrong content is a *bundle.DigestError and leaves nothing behind. Size is in bytes or
// SizeUnknown; one byte more or less than it is an error.
func (s *Store) Put(ctx context.Context, r io.Reader, want bundle.Digest, size int64) error {
	if s.Has(want) {
		return nil
	}
	w, err := s.Create()
	if err != nil {
		return err
	}
	defer w.Abort()
	in := io.Reader(&ctxReader{ctx, r})
	if size >= 0 {
		in = io.LimitReader(in, size+1)
	}
	n, err := io.Copy(w, in)
	if err != nil {
		return fmt.Errorf("storing %s: %w", want.Short(), err)
	}
	if size >= 0 && n != size {
		return fmt.Errorf("storing %s: got %s, want %d bytes", want.Short(), describeCount(n, size), size)
	}
	return w.Commit(want)
}

func describeCount(n, size int64) string {
	if n > size {
		return "more"
	}
	return fmt.Sprintf("%d", n)
}

// PutBytes stores b and returns its digest.
func (s *Store) PutBytes(ctx context.Context, b []byte) (bundle.Digest, error) {
	d := bundle.DigestOf(b)
	if s.Has(d) {
		return d, nil
	}
	w, err := s.Create()
	if err != nil {
		return d, err
	}
	defer w.Abort()
	if _, err := w.Write(b); err != nil {
		return d, err
	}
	return d, w.Commit(d)
}

// Writer takes content whose digest is not known before it is written.
type Writer struct {
	store *Store
	file  *os.File
	out   io.Writer
	sum   hash.Hash
	size  int64
}

// Create begins a new blob. Nothing of it can be seen before Commit. The caller must Abort it at the end in any case.
func (s *Store) Create() (*Writer, error) {
	f, err := os.CreateTemp(filepath.Join(s.dir, "tmp"), "blob-")
	if err != nil {
		return nil, fmt.Errorf("writing to the store: %w", s.explain(err))
	}
	return &Writer{store: s, file: f, out: s.writer(f), sum: sha256.New()}, nil
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.out.Write(p)
	w.sum.Write(p[:n])
	w.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("writing to the store: %w", w.store.explain(err))
	}
	return n, nil
}

// ReadAt implements io.ReaderAt for what was written so far: content that is needed for a while and not kept.
func (w *Writer) ReadAt(p []byte, at int64) (int, error) { return w.file.ReadAt(p, at) }

// Sum returns the digest and the size in bytes of what was written so far.
func (w *Writer) Sum() (bundle.Digest, int64) { return bundle.Digest(w.sum.Sum(nil)), w.size }

// Commit gives the blob its name, when its digest is want. On return the blob is durable.
func (w *Writer) Commit(want bundle.Digest) error {
	if got, size := w.Sum(); got != want {
		return &bundle.DigestError{Name: "content for the store", Want: want, Got: got, Size: size}
	}
	name := w.file.Name()
	err := finish(w.file)
	w.file = nil
	if err == nil {
		err = w.store.place(name, want)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("storing %s: %w", want.Short(), w.store.explain(err)), os.RemoveAll(name))
	}
	return nil
}

// Abort removes what was written, unless it was committed.
func (w *Writer) Abort() {
	if w.file == nil {
		return
	}
	w.file.Close()
	os.Remove(w.file.Name())
	w.file = nil
}

// finish makes a written file durable and read-only.
func finish(f *os.File) error {
	err := f.Sync()
	if err == nil {
		err = f.Chmod(0o444)
	}
	return errors.Join(err, f.Close())
}

// place renames a finished file to the blob's name and makes the name durable. Where another process was first, its file
// is replaced by the same bytes.
func (s *Store) place(file string, d bundle.Digest) error {
	target := s.Path(d)
	dir := filepath.Dir(target)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.Rename(file, target); err != nil {
		if s.Has(d) { // a system that does not replace: the other's bytes were checked as ours were
			return os.Remove(file)
		}
		return err
	}
	return errors.Join(durable.Dir(dir), durable.Dir(filepath.Dir(dir)))
}

// writeFile replaces a small file atomically and durably.
func (s *Store) writeFile(name string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Join(s.dir, "tmp"), "file-")
	if err != nil {
		return fmt.Errorf("writing %q: %w", name, s.explain(err))
	}
	_, err = s.writer(f).Write(data)
	err = errors.Join(err, f.Sync(), f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err == nil {
		err = durable.Dir(filepath.Dir(name))
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("writing %q: %w", name, s.explain(err))
	}
	return nil
}
