package filelock

import (
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
