//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"
)

// A stick as careful hosts mount it: nothing can be written to it, run from it or get rights from it. The installer is copied to
// the disk by hand; the bundle is read where it is, and the stick may go as soon as the run has ended.
func TestAMediumThatIsReadOnlyAndRunsNothingIsEnough(t *testing.T) {
	h := lab(t).hosts(t, "node01")[0]
	h.bring("etcd")
	h.must("sh", "-ec", `mkdir -p /media/stick
		mount -t tmpfs -o size=512m tmpfs /media/stick
		cp install etcd.bundle /media/stick/ && rm etcd.bundle
		mount -o remount,ro,noexec,nosuid,nodev /media/stick`)
	before := h.must("sh", "-c", "cd /media/stick && sha256sum *")
	if r := h.try("/media/stick/install", "status"); r.code != 126 && !strings.Contains(r.out, "ermission denied") {
		t.Fatalf("the medium runs programs, so that this test shows nothing: %d\n%s", r.code, r.out)
	}
	cmd := h.installing("etcd")
	cmd.Args = append(cmd.Args, "--bundle", "/media/stick")
	if r := finish(t, cmd, 10*time.Minute); r.code != 0 {
		t.Fatalf("./install --role etcd --bundle /media/stick ended with %d:\n%s", r.code, r.out)
	}
	if after := h.must("sh", "-c", "cd /media/stick && sha256sum *"); after != before {
		t.Errorf("the medium was changed:\n%s\nbefore:\n%s", after, before)
	}
	h.must("umount", "/media/stick") // nothing holds on to it
	h.must("/var/lib/offgrid/install", "verify")
	h.must("/var/lib/offgrid/install", "resume")
}
