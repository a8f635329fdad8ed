package builder_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestADamagedCopyInTheStoreIsFetchedAgain(t *testing.T) {
	s := newSite(t)
	l, err := s.lock(t)
	if err != nil {
		t.Fatal(err)
	}
	kube := l.Entries[3]
	// What was encoded is gone, and the archive has rotted.
	records, _ := filepath.Glob(filepath.Join(s.store.Dir(), "records", "*"))
	for _, r := range records {
		os.Remove(r)
	}
	rot(t, s.store.Path(kube.SHA256))
	if _, err := s.materialise(t, l); err != nil {
		t.Fatal(err)
	}
	if err := s.store.Verify(t.Context(), kube.SHA256); err != nil {
		t.Error(err)
	}
}

func TestALockFetchesAgainWhatRottedInTheStore(t *testing.T) {
	s := newSite(t)
	l, err := s.lock(t)
	if err != nil {
		t.Fatal(err)
	}
	records, _ := filepath.Glob(filepath.Join(s.store.Dir(), "records", "*"))
	for _, r := range records {
		os.Remove(r)
	}
	for _, i := range []int{1, 4} { // etcd, an archive, and docker-ce, a package
		rot(t, s.store.Path(l.Entries[i].SHA256))
	}
	again, err := s.lock(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{1, 4} {
		if err := s.store.Verify(t.Context(), again.Entries[i].SHA256); err != nil {
			t.Error(err)
		}
	}
	if !reflect.DeepEqual(again.Entries, l.Entries) {
		t.Errorf("got %+v, want %+v", again.Entries, l.Entries)
	}
}

// rot flips a bit in the middle of a file.
func rot(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	os.Chmod(path, 0o644)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAMemberMayBeNamedWithADotInFront(t *testing.T) {
	s := newSite(t)
	for i := range s.cat.Downloads {
		for j := range s.cat.Downloads[i].Members {
			s.cat.Downloads[i].Members[j].Path = "./" + s.cat.Downloads[i].Members[j].Path
		}
	}
	if _, err := s.lock(t); err != nil {
		t.Error(err)
	}
}
