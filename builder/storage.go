package builder

import (
	"context"
	"errors"
	"io"
	"time"

	"offgrid/builder/internal/store"
	"offgrid/bundle"
)

// Imported says what ImportStore took in.
type Imported = store.Imported

// Removed says what CleanStore took away.
type Removed = store.Removed

// ExportStore writes the whole store in dir to w as one plain tar.
func ExportStore(ctx context.Context, dir string, w io.Writer) error {
	return withStore(dir, func(s *store.Store) error { return s.Export(ctx, w, nil) })
}

// ImportStore takes what ExportStore wrote into the store in dir.
func ImportStore(ctx context.Context, dir string, r io.Reader) (done Imported, err error) {
	err = withStore(dir, func(s *store.Store) error {
		done, err = s.Import(ctx, r)
		return err
	})
	return done, err
}

// CleanStore removes from the store in dir what was not used since after and what none of the locks needs.
func CleanStore(ctx context.Context, dir string, after time.Time, locks ...*Lock) (gone Removed, err error) {
	err = withStore(dir, func(s *store.Store) error {
		keep := store.Keep{After: after, Blobs: map[bundle.Digest]bool{}, Records: map[bundle.Digest]bool{}}
		for _, lock := range locks {
			needs(s, lock, &keep)
		}
		gone, err = s.GC(ctx, keep)
		return err
	})
	return gone, err
}

func withStore(dir string, work func(*store.Store) error) error {
	s, err := store.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(work(s), s.Close())
}
