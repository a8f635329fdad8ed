// Package filelock keeps two processes from working on one directory at the same time, on every system that builds.
package filelock

import (
	"errors"
	"fmt"

	"github.com/gofrs/flock"
)

// ErrHeld is the cause when another process holds the lock.
var ErrHeld = errors.New("another process holds the lock")

// Lock is a held lock. The system releases it when the process ends, however it ends; the file stays.
type Lock struct{ file *flock.Flock }

// Try takes the lock on path, a file that is made when it is not there. It does not wait: ErrHeld says that another
// process has it.
func Try(path string) (*Lock, error) {
	f := flock.New(path, flock.SetPermissions(0o600))
	got, err := f.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking %q: %w", path, err)
	}
	if !got {
		f.Close()
		return nil, fmt.Errorf("locking %q: %w", path, ErrHeld)
	}
	return &Lock{f}, nil
}

// Release gives the lock back.
func (l *Lock) Release() error { return l.file.Close() }
