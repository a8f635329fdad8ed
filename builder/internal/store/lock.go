package store

import (
	"context"
	"errors"
	"os"
	"time"
)

type lockMode int

const (
	shared lockMode = iota
	exclusive
)

var errLocked = errors.New("locked by another process")

// lockPoll is how often a waiting process looks whether the other one is through.
const lockPoll = 100 * time.Millisecond

type fileLock struct{ file *os.File }

func (l *fileLock) release() error { return l.file.Close() }

// acquireWait takes the exclusive lock on name and waits for it as long as ctx lasts. Waiting is called once, before.
func acquireWait(ctx context.Context, name string, waiting func()) (*fileLock, error) {
	l, err := acquire(name, exclusive)
	if !errors.Is(err, errLocked) {
		return l, err
	}
	if waiting != nil {
		waiting()
	}
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
		if l, err = acquire(name, exclusive); !errors.Is(err, errLocked) {
			return l, err
		}
	}
}
