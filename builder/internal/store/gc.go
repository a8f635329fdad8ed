package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"offgrid/builder/internal/filelock"
	"offgrid/bundle"
)

// Keep says what GC leaves in the store.
type Keep struct {
	Blobs   map[bundle.Digest]bool
	Records map[bundle.Digest]bool
	After   time.Time // what was used later than this stays too; the zero time keeps everything, so it must be set
}

// Removed says what GC took away.
type Removed struct {
	Blobs    int   `json:"blobs"`
	Records  int   `json:"records"`
	Partials int   `json:"partials"` // unfinished downloads
	Bytes    int64 `json:"bytes"`
}

// GC removes blobs, records and unfinished downloads that nobody needs. It needs the store for itself: another process
// that uses it is an error.
func (s *Store) GC(ctx context.Context, keep Keep) (Removed, error) {
	var r Removed
	if keep.After.IsZero() {
		return r, errors.New("internal error: GC without a time")
	}
	// Ours is a shared lock; it is given up first, so that nobody waits for himself.
	if err := s.lock.Release(); err != nil {
		return r, fmt.Errorf("cleaning the store: %w", err)
	}
	name := filepath.Join(s.dir, "lock")
	all, err := filelock.Try(name)
	if err == nil {
		err = errors.Join(s.sweep(ctx, keep, &r), all.Release())
	} else if errors.Is(err, filelock.ErrHeld) {
		err = fmt.Errorf("cleaning the store %q: another process uses it", s.dir)
	}
	again, lockErr := filelock.TryShared(name)
	if lockErr == nil {
		s.lock = again
	}
	return r, errors.Join(err, lockErr)
}

func (s *Store) sweep(ctx context.Context, keep Keep, r *Removed) error {
	err := s.each(ctx, "blobs/sha256", func(name string, info fs.FileInfo) error {
		d, err := bundle.ParseDigest("sha256:" + filepath.Base(name))
		if err == nil && (keep.Blobs[d] || info.ModTime().After(keep.After)) {
			return nil
		}
		r.Blobs++
		r.Bytes += info.Size()
		return os.Remove(name)
	})
	err = errors.Join(err, s.each(ctx, "records", func(name string, info fs.FileInfo) error {
		d, err := bundle.ParseDigest("sha256:" + filepath.Base(name))
		if err == nil && (keep.Records[d] || info.ModTime().After(keep.After)) {
			return nil
		}
		r.Records++
		r.Bytes += info.Size()
		return os.Remove(name)
	}))
	err = errors.Join(err, s.each(ctx, "partial", func(name string, info fs.FileInfo) error {
		if info.ModTime().After(keep.After) {
			return nil
		}
		if strings.HasSuffix(name, ".part") {
			r.Partials++
			r.Bytes += info.Size()
		}
		return os.Remove(name)
	}))
	// Nobody else is here, so all of tmp is what killed processes left.
	return errors.Join(err, s.each(ctx, "tmp", func(name string, info fs.FileInfo) error {
		r.Bytes += info.Size()
		return os.Remove(name)
	}))
}

// each calls f for the regular files below a directory of the store, in the order of their names.
func (s *Store) each(ctx context.Context, sub string, f func(name string, info fs.FileInfo) error) error {
	return filepath.WalkDir(filepath.Join(s.dir, filepath.FromSlash(sub)), func(name string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return f(name, info)
	})
}
