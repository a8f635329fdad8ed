package filelock

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

func TestALockIsHeldByOneAndFreeAfterRelease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Try(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Try(path); !errors.Is(err, ErrHeld) {
		t.Errorf("second lock: %v, want ErrHeld", err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := Try(path)
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	if err := again.Release(); err != nil {
		t.Error(err)
	}
}

func TestALockInAMissingDirectoryNamesThePath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no", "lock")
	if _, err := Try(path); err == nil || errors.Is(err, ErrHeld) {
		t.Errorf("got %v, want an error about the path", err)
	}
}

func TestManyShareALockAndNobodyHasItAloneMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var held []*Lock
	for range 2 {
		l, err := TryShared(path)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, l)
	}
	for i, l := range held {
		if _, err := Try(path); !errors.Is(err, ErrHeld) {
			t.Errorf("beside %d that share it: %v, want ErrHeld", len(held)-i, err)
		}
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
	}
	alone, err := Try(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := TryShared(path); !errors.Is(err, ErrHeld) {
		t.Errorf("shared beside one who has it alone: %v, want ErrHeld", err)
	}
	if err := alone.Release(); err != nil {
		t.Error(err)
	}
}

func TestAWaitEndsWithTheReleaseOrTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Try(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	if _, err := Wait(ctx, path, func() { cancel(enough) }); !errors.Is(err, enough) {
		t.Errorf("got %v, want the context's cause", err)
	}
	second, err := Wait(t.Context(), path, func() {
		if err := first.Release(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Release(); err != nil {
		t.Error(err)
	}
}
