//go:build !windows

package builder_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"offgrid/builder"
	"offgrid/bundle"
)

// The installer refuses a host whose clock is before the floor, and says which command sets it.
func TestTheClocksFloorIsTheDateOfALockThatIsYoungerThanEveryCertificate(t *testing.T) {
	s := newBuildSite(t)
	floor := func() time.Time {
		if _, err := s.build(); err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Open(filepath.Join(s.dir, "dist", "etcd.bundle"))
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		return b.Role.Cluster.NotBefore
	}
	now := time.Now().UTC().Truncate(time.Second)
	s.opts.Now = func() time.Time { return now }
	if got := floor(); !got.Equal(now) {
		t.Errorf("the floor is %s, want %s", got, now)
	}
	// The machine's clock was two days ahead when the lock was made anew, and is right again.
	if err := os.Remove(filepath.Join(s.dir, builder.LockName)); err != nil {
		t.Fatal(err)
	}
	ahead := now.Add(48 * time.Hour)
	s.opts.Now = func() time.Time { return ahead }
	if got := floor(); !got.Equal(ahead) {
		t.Errorf("with a lock of the future the floor is %s, want %s", got, ahead)
	}
	s.opts.Now = func() time.Time { return now }
	if got := floor(); !got.Equal(ahead) {
		t.Errorf("with the clock right again the floor is %s, want the lock's %s", got, ahead)
	}
}
