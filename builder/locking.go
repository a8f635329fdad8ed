package builder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"offgrid/builder/internal/pki"
	"offgrid/bundle"
)

// MirrorError says that a mirror cannot be used.
type MirrorError struct{ Err error }

func (e *MirrorError) Error() string { return e.Err.Error() }
func (e *MirrorError) Unwrap() error { return e.Err }

// LockResult says what a lock decided.
type LockResult struct {
	Path    string        `json:"path"`
	Changed bool          `json:"changed"` // false: the file was as it had to be
	Bytes   int64         `json:"bytes"`   // of all downloads
	Entries []LockedEntry `json:"entries"` // in the file's order
}

// LockedEntry is one download, for people.
type LockedEntry struct {
	ID      string        `json:"id"`
	Version string        `json:"version"`
	URL     string        `json:"url"`
	Size    int64         `json:"size"`
	SHA256  bundle.Digest `json:"sha256"`
	Vouched string        `json:"vouched"`
}

// CatalogueError says that the catalogue has not what the cluster file asks for.
type CatalogueError struct{ Err error }

func (e *CatalogueError) Error() string { return e.Err.Error() }
func (e *CatalogueError) Unwrap() error { return e.Err }

// download says how this site's downloads are made: the user's own mirrors come first, then those of the sets.
func (s *Site) download() (Download, error) {
	d := Download{Parallel: s.opts.Parallel, Attempts: s.opts.Attempts, Stall: s.opts.Stall}
	for _, rule := range s.opts.Mirrors {
		m, err := ParseMirror(rule)
		if err != nil {
			return d, &MirrorError{err}
		}
		d.Mirrors = append(d.Mirrors, m)
	}
	for _, name := range s.opts.MirrorSets {
		rules, ok := s.catalogue.MirrorSet(name)
		if !ok {
			return d, &MirrorError{fmt.Errorf("using mirrors %q: the catalogue %q has no such set", name, s.catalogue.Name)}
		}
		d.Mirrors = append(d.Mirrors, rules...)
	}
	return d, nil
}

// Lock asks upstream for everything that the site needs and writes bundle.lock. When nothing but the date would change,
// the file stays as it is, and with it what is built from it.
func (s *Site) Lock(ctx context.Context) (*LockResult, error) {
	download, err := s.download()
	if err != nil {
		return nil, err
	}
	if _, err := Select(s.cluster, s.catalogue); err != nil {
		return nil, &CatalogueError{fmt.Errorf("locking: %w", err)}
	}
	lock, err := MakeLock(ctx, LockOptions{
		Cluster: s.cluster, Catalogue: s.catalogue, CatalogueBytes: s.opts.Catalogue, Baseline: s.baseline, Store: s.store,
		Download: download, Now: s.opts.Now(), Report: s.opts.Report,
	})
	if err != nil {
		return nil, err
	}
	r := &LockResult{Path: s.path(LockName), Entries: []LockedEntry{}}
	for _, e := range lock.Entries {
		r.Entries = append(r.Entries, LockedEntry{e.ID, e.Version, e.URL, e.bytes(), e.SHA256, e.Vouched})
		r.Bytes += e.bytes()
	}
	if r.Changed, err = s.replacesLock(lock); err != nil || !r.Changed {
		return r, err
	}
	if err := s.dateAfter(lock); err != nil {
		return r, err
	}
	return r, WriteLock(r.Path, lock)
}

// dateAfter makes the lock later than the one that it replaces and than the last renewal, whatever the clock says: the serial of
// bundles follows from it, and hosts refuse a smaller one.
func (s *Site) dateAfter(lock *Lock) error {
	last, err := pki.Serial(s.path(PKIName))
	if err != nil {
		return err
	}
	if was, err := ReadLock(s.path(LockName)); err == nil {
		last = max(last, was.Date.Unix())
	}
	if at := time.Unix(last+1, 0).UTC(); lock.Date.Before(at) {
		lock.Date = at
	}
	return nil
}

// replacesLock reports whether the lock on disk, if any, says something else than lock, its date apart.
func (s *Site) replacesLock(lock *Lock) (bool, error) {
	old, err := os.ReadFile(s.path(LockName))
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading lock: %w", err)
	}
	was, err := ParseLock(LockName, old)
	if err != nil {
		return true, nil // whatever it is, it is not a lock
	}
	dated := *lock
	dated.Date = was.Date
	data, err := dated.Bytes()
	return !bytes.Equal(data, old), err
}

// bytes is what is downloaded for the entry; of an image, all its parts.
func (e LockEntry) bytes() int64 {
	if e.Image == nil {
		return e.Size
	}
	n := e.Image.Manifest.Size + e.Image.Config.Size
	for _, l := range e.Image.Layers {
		n += l.Size
	}
	return n
}
