package installer

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"offgrid/installer/hosttest"
)

const rpmLockHeld = "error: can't create transaction lock on /var/lib/rpm/.rpm.lock (Resource temporarily unavailable)"

func TestRPMIsTriedAgainWhileAnotherOneHoldsItsLock(t *testing.T) {
	h := busyHost(t)
	tries := 0
	h.Script("rpm -U /mnt/usb/docker.rpm", func(_ string, argv []string) (string, error) {
		if tries++; tries == 1 {
			return "", hosttest.Exit(argv, 21, "", rpmLockHeld)
		}
		h.Script("rpm -U /mnt/usb/docker.rpm", nil)
		_, err := h.Run(context.Background(), nil, argv...)
		return "", err
	})
	must(t, applyAll(h, "node", []Step{dockerPackages()}))
	if tries != 2 {
		t.Errorf("rpm ran %d times, want 2", tries)
	}
}

func TestALockThatIsNeverGivenBackIsNamedWithItsHolder(t *testing.T) {
	h := busyHost(t)
	h.Script("rpm -U", hosttest.Fails(21, rpmLockHeld))
	err := runRPM(t.Context(), h, time.Nanosecond, []string{"rpm", "-U", "x"})
	if err == nil || !strings.Contains(err.Error(), "fuser -v /var/lib/rpm/.rpm.lock") {
		t.Errorf("error is %v", err)
	}
}

func TestWhatRPMSaysNamesPackagesAndNoDigests(t *testing.T) {
	h := busyHost(t)
	h.Script("rpm -U", func(_ string, argv []string) (string, error) {
		return "", hosttest.Exit(argv, 1, "", "warning: /var/blobs/0521904e: Header V4 RSA/SHA256 Signature, key ID ae66c2f1: NOKEY\n"+
			"error: unpacking of archive failed on file /usr/bin/dockerd: cpio: read\nerror: /var/blobs/0521904e: install failed\n")
	})
	p := RPM{Name: "docker-ce", Arch: "x86_64", File: "/var/blobs/0521904e"}
	err := runRPM(t.Context(), h, time.Minute, []string{"rpm", "-U", p.File}, p)
	want := "rpm -U (1 files): exit 1: error: unpacking of archive failed on file /usr/bin/dockerd: cpio: read\nerror: docker-ce.x86_64: install failed"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestPackagesGoAfterTheFilesThatWereChangedInThem(t *testing.T) {
	var claims []Claim
	for _, step := range []string{"carry:node", "dir:/opt/kubernetes", "packages:node", "file:/etc/chrony.conf", "unit:chronyd.service", "carry:etcd", "dir:/opt/etcd", "packages:etcd", "user:etcd"} {
		claims = append(claims, Claim{Step: step})
	}
	var got []string
	for _, c := range undoOrder(claims) {
		got = append(got, c.Step)
	}
	want := []string{"user:etcd", "unit:chronyd.service", "file:/etc/chrony.conf", "packages:etcd", "packages:node", "dir:/opt/etcd", "carry:etcd", "dir:/opt/kubernetes", "carry:node"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
