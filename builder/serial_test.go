//go:build !windows

package builder_test

import (
	"testing"
	"time"

	"offgrid/builder"
)

// A clock that was set back must not make a newer bundle the older one: hosts would refuse it.
func TestEachLockIsLaterThanTheOneBefore(t *testing.T) {
	s := newBuildSite(t)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i, clock := range []time.Time{at, at.Add(-1000 * time.Hour), at.Add(time.Hour)} {
		s.opts.Now = func() time.Time { return clock }
		s.opts.Catalogue = append(s.opts.Catalogue, "# another one\n"...)
		site, err := builder.OpenSite(s.opts)
		if err != nil {
			t.Fatal(err)
		}
		r, err := site.Lock(t.Context())
		if err != nil || !r.Changed {
			t.Fatalf("changed %v, %v", r, err)
		}
		if err := site.Close(); err != nil {
			t.Fatal(err)
		}
		lock, err := builder.ReadLock(r.Path)
		if err != nil {
			t.Fatal(err)
		}
		if want := []time.Time{at, at.Add(time.Second), at.Add(time.Hour)}[i]; !lock.Date.Equal(want) {
			t.Errorf("lock %d with the clock at %s is of %s, want %s", i, clock, lock.Date, want)
		}
	}
}
