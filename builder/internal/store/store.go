// Package store keeps verified bytes on the build machine, each under its sha256, and what was derived from them.
//
// A blob has its final name only after its digest was checked and its bytes were synced, so whatever is there is right:
// a process that is killed at any moment leaves at worst a file in tmp/ or a partial download, never a wrong blob. Several
// processes may use one store at the same time.
//
//	DIR/format                    "offgrid store 1"
//	DIR/lock                      held shared by every user, exclusively by GC
//	DIR/blobs/sha256/ab/abcd...   content, named by its digest
//	DIR/records/abcd...           what was derived, by the digest of the question
//	DIR/partial/KEY.{part,json}   downloads to be continued, with KEY.lock held by whoever does
//	DIR/tmp/                      files being written
package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"offgrid/builder/internal/filelock"
	"offgrid/bundle"
)

const formatLine = "offgrid store 1\n"

// Store is an open store. Its methods may be called from several goroutines.
type Store struct {
	dir  string
	lock *filelock.Lock
	// wrap is a test's way to put a full disk under the writers; nil means none.
	wrap func(io.Writer) io.Writer
}

// Open opens the store in dir and makes it when there is none. The caller must Close it.
func Open(dir string) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening store %q: %w", dir, err)
	}
	for _, sub := range []string{"blobs/sha256", "records", "partial", "tmp"} {
		if err := os.MkdirAll(filepath.Join(abs, sub), 0o755); err != nil {
			return nil, fmt.Errorf("making store %q: %w", dir, err)
		}
	}
	lock, err := filelock.TryShared(filepath.Join(abs, "lock"))
	if errors.Is(err, filelock.ErrHeld) {
		return nil, fmt.Errorf("opening store %q: it is being cleaned by another process; wait until that is through", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("locking store %q: %w", dir, err)
	}
	s := &Store{dir: abs, lock: lock}
	if err := s.checkFormat(); err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	s.sweepTemp(time.Now())
	return s, nil
}

// abandoned is how long nobody has written to a file in tmp/ that a killed process left: whoever lives writes all the time.
const abandoned = time.Hour

// sweepTemp removes what killed processes left in tmp/. What cannot be removed does no harm but takes room.
func (s *Store) sweepTemp(now time.Time) {
	entries, _ := os.ReadDir(filepath.Join(s.dir, "tmp"))
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && now.Sub(info.ModTime()) > abandoned {
			os.Remove(filepath.Join(s.dir, "tmp", e.Name()))
		}
	}
}

func (s *Store) checkFormat() error {
	name := filepath.Join(s.dir, "format")
	got, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return s.writeFile(name, []byte(formatLine), 0o644)
	}
	if err != nil {
		return fmt.Errorf("opening store: %w", err)
	}
	if string(got) != formatLine {
		return fmt.Errorf("opening store %q: its format is %q, this program knows %q", s.dir, strings.TrimSpace(string(got)), strings.TrimSpace(formatLine))
	}
	return nil
}

// Close lets go of the store.
func (s *Store) Close() error { return s.lock.Release() }

// Dir returns the directory of the store.
func (s *Store) Dir() string { return s.dir }

// Path returns the file that holds or would hold the blob d.
func (s *Store) Path(d bundle.Digest) string {
	hex := d.Hex()
	return filepath.Join(s.dir, "blobs", "sha256", hex[:2], hex)
}

// Has reports whether the blob d is there.
func (s *Store) Has(d bundle.Digest) bool {
	_, err := s.Size(d)
	return err == nil
}

// Size returns the length of the blob d in bytes, or an error that is fs.ErrNotExist.
func (s *Store) Size(d bundle.Digest) (int64, error) {
	info, err := os.Lstat(s.Path(d))
	if err != nil {
		return 0, fmt.Errorf("looking for %s in the store: %w", d.Short(), err)
	}
	return info.Size(), nil
}

// Open opens the blob d, or fails with an error that is fs.ErrNotExist. It also marks the blob as used now, which GC
// looks at.
func (s *Store) Open(d bundle.Digest) (*os.File, error) {
	f, err := os.Open(s.Path(d))
	if err != nil {
		return nil, fmt.Errorf("opening %s in the store: %w", d.Short(), err)
	}
	now := time.Now()
	_ = os.Chtimes(s.Path(d), now, now) // only a hint for GC: a store on a read-only disk serves as well
	return f, nil
}

// Verify reads the blob d again and returns a *bundle.DigestError when its bytes have changed.
func (s *Store) Verify(ctx context.Context, d bundle.Digest) error {
	f, err := s.Open(d)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, &ctxReader{ctx, f})
	if err != nil {
		return fmt.Errorf("reading %s in the store: %w", d.Short(), err)
	}
	if got := bundle.Digest(h.Sum(nil)); got != d {
		return &bundle.DigestError{Name: s.Path(d), Want: d, Got: got, Size: n}
	}
	return nil
}

// Discard removes the blob d, for one whose bytes were found to have changed. A blob that is not there is no error.
func (s *Store) Discard(d bundle.Digest) error {
	if err := os.Remove(s.Path(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("discarding %s from the store: %w", d.Short(), err)
	}
	return nil
}

// explain puts the disk's name into the error of a full one.
func (s *Store) explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("the disk that holds the store %q is full: %w", s.dir, err)
	}
	return err
}

func (s *Store) writer(w io.Writer) io.Writer {
	if s.wrap != nil {
		return s.wrap(w)
	}
	return w
}

// ctxReader ends a copy when its context does.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *ctxReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
