//go:build e2e

package e2e

import (
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestOneKillOrPowerCutAtAnyMomentIsMadeGood ends the installer once, at a moment of its own, on a host of its own each time.
// Nobody else is there: what is compared is a host that waits for the others.
func TestOneKillOrPowerCutAtAnyMomentIsMadeGood(t *testing.T) {
	if !*full {
		t.Skip("only with -full: a fresh host for every moment")
	}
	const moments = 16
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)

	want, took := alone(t)
	for i := range moments {
		at := time.Duration(random.Int64N(int64(took)))
		cut := i%4 == 3
		name := "killed"
		if cut {
			name = "without power"
		}
		t.Run(name+" after "+at.Round(time.Millisecond).String(), func(t *testing.T) {
			h := lab(t).hosts(t, "node01")[0]
			h.bring("etcd", "node")
			h.must("sync") // the stick's files are there whatever happens
			begin := time.Now()
			for _, role := range []string{"etcd", "node"} {
				r := h.start("./install", "--yes", "--role", role, "--ip", h.ip)
				if !r.until(func() bool { return time.Since(begin) >= at }) {
					continue // it was quicker: the next role's run is the one that is ended
				}
				if cut {
					h.lab("--cut")
					r.wait()
					h.lab("--start")
				} else {
					killed(r)
				}
				break
			}
			h.install("etcd")
			h.install("node")
			got := waiting(h)
			if cut {
				got = withoutBoot(got)
				same(t, "a host whose power failed once, against one that had power", withoutBoot(maps.Clone(want)), got)
				return
			}
			same(t, "a host whose installer was killed once, against one that was left alone", want, got)
		})
	}
}

// alone is what node01 looks like when both of its roles wait for others, and how long that takes.
func alone(t *testing.T) (want snapshot, took time.Duration) {
	t.Helper()
	t.Run("undisturbed", func(t *testing.T) {
		h := lab(t).hosts(t, "node01")[0]
		h.bring("etcd", "node")
		begin := time.Now()
		h.install("etcd")
		h.install("node")
		took = time.Since(begin)
		want = waiting(h)
	})
	if want == nil {
		t.FailNow()
	}
	return want, took
}

// waiting is what the host looks like, without the rules that kube-proxy makes at a time of its own.
func waiting(h *host) snapshot {
	s := strip(h.snapshot())
	maps.DeleteFunc(s, func(name, _ string) bool { return strings.HasPrefix(name, "rules :KUBE-") })
	return s
}

// withoutBoot leaves out what a boot changes: SELinux is off for good, and modules are loaded by what boots.
func withoutBoot(s snapshot) snapshot {
	maps.DeleteFunc(s, func(name, _ string) bool {
		return strings.HasPrefix(name, "module ") || strings.HasPrefix(name, "selinux ")
	})
	return s
}
