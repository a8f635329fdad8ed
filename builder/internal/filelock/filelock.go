// Package filelock keeps processes from working on one directory at the same time, on every system that builds.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gofrs/flock"
)

// ErrHeld is the cause when another process holds the lock.
var ErrHeld = errors.New("another process holds the lock")

// poll is how often a waiting process looks whether the other one is through.
const poll = 100 * time.Millisecond

// Lock is a held lock. The system releases it when the process ends, however it ends; the file stays.
type Lock struct{ file *flock.Flock }

// Try takes the lock on path, a file that is made when it is not there, for this process alone. It does not wait: ErrHeld says
// that another process has it.
func Try(path string) (*Lock, error) { return take(path, (*flock.Flock).TryLock) }

// TryShared is Try for any number of processes that take it so.
func TryShared(path string) (*Lock, error) { return take(path, (*flock.Flock).TryRLock) }

// Wait is Try that waits for the other process as long as ctx lasts. Waiting, which may be nil, is called once, before.
func Wait(ctx context.Context, path string, waiting func()) (*Lock, error) {
	l, err := Try(path)
	if !errors.Is(err, ErrHeld) {
		return l, err
	}
	if waiting != nil {
		waiting()
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
		if l, err = Try(path); !errors.Is(err, ErrHeld) {
			return l, err
		}
	}
}

func take(path string, try func(*flock.Flock) (bool, error)) (*Lock, error) {
	f := flock.New(path, flock.SetPermissions(0o600))
	got, err := try(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %q: %w", path, err), f.Close())
	}
	if !got {
		f.Close()
		return nil, fmt.Errorf("locking %q: %w", path, ErrHeld)
	}
	return &Lock{f}, nil
}

// Release gives the lock back.
func (l *Lock) Release() error { return l.file.Close() }
