//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// memoryLimit is what an installation may need at its peak, whatever the size of the bundle, in KiB; memoryScrypt is what comes
// on top where a passphrase is typed, on purpose: it makes guessing expensive.
const (
	memoryLimit  = 60 << 10
	memoryScrypt = 256 << 10
)

func TestAnInstallationNeedsAtMost60MiBOfMemory(t *testing.T) {
	if !*full {
		t.Skip("with -full")
	}
	all := lab(t).hosts(t, "master01", "node02")
	for _, h := range all {
		h.bring("etcd", "master", "node")
	}
	for _, one := range []struct {
		h    *host
		role string
	}{{all[0], "etcd"}, {all[1], "etcd"}, {all[0], "master"}, {all[1], "node"}} {
		r := one.h.start("./install", "--yes", "--role", one.role, "--ip", one.h.ip)
		peak := 0
		if r.until(func() bool { peak = max(peak, residentPeak(r.pid)); return false }) || r.last.code != 0 {
			t.Fatalf("%s on %s ended with %d:\n%s", one.role, one.h.name, r.last.code, r.last.out)
		}
		limit := memoryLimit
		if !keyed(one.h.name) {
			limit += memoryScrypt
		}
		t.Logf("%s on %s: peak %d KiB", one.role, one.h.name, peak)
		if peak == 0 || peak > limit {
			t.Errorf("%s on %s: the installer's peak was %d KiB, the limit is %d", one.role, one.h.name, peak, limit)
		}
	}
}

// residentPeak is the most memory that a process has had so far, in KiB; 0 when it is gone.
func residentPeak(pid int) int {
	if pid == 0 {
		return 0
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kib
		}
	}
	return 0
}
