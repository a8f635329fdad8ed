package installer

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"offgrid/bundle"
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

func TestADatabaseInWhichRPMDiedIsRepairedAndItGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		put     map[string]string
		rebuilt int
	}{
		"a dead process":              {map[string]string{hosttest.RPMDead: "dead", "/var/lib/rpm/__db.002": ""}, 0},
		"a dead process and damage":   {map[string]string{hosttest.RPMDead: "dead", hosttest.RPMDamaged: "damaged"}, 1},
		"indexes that cannot be read": {map[string]string{hosttest.RPMDamaged: "damaged"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := busyHost(t)
			for file, text := range c.put {
				h.Put(t, file, text)
			}
			st, err := dockerPackages().Check(t.Context(), h)
			if err != nil || st != (Status{Needed, "rpm's database has to be repaired first"}) {
				t.Errorf("the check says %+v, %v", st, err)
			}
			must(t, applyAll(h, "node", []Step{dockerPackages()}))
			rebuilt := 0
			for _, line := range h.Ran {
				if line == "rpm --rebuilddb" {
					rebuilt++
				}
			}
			if rebuilt != c.rebuilt {
				t.Errorf("the database was made anew %d times, want %d: %q", rebuilt, c.rebuilt, h.Ran)
			}
			if h.Get(hosttest.RPMDead) != "" || h.Get("/var/lib/rpm/hosttest/docker-ce.x86_64") == "" {
				t.Errorf("it did not go on")
			}
		})
	}
}

func TestADatabaseInWhichRPMWaitsForADeadProcessIsRepaired(t *testing.T) {
	h := busyHost(t)
	h.Put(t, hosttest.RPMDead, "a lock that nobody holds")
	h.Script("rpm -q", func(string, []string) (string, error) {
		if h.Get(hosttest.RPMDead) != "" {
			return "", context.DeadlineExceeded
		}
		h.Script("rpm -q", nil)
		return "", hosttest.Exit([]string{"rpm", "-q"}, 1, "package rpm is not installed\n", "")
	})
	st, err := dockerPackages().Check(t.Context(), h)
	if err != nil || st != (Status{Needed, "rpm's database has to be repaired first"}) {
		t.Errorf("the check says %+v, %v", st, err)
	}
	must(t, applyAll(h, "node", []Step{dockerPackages()}))
	if h.Get(hosttest.RPMDead) != "" || h.Get("/var/lib/rpm/hosttest/docker-ce.x86_64") == "" || slices.Contains(h.Ran, "rpm --rebuilddb") {
		t.Errorf("the lock was not all that went: ran %q", h.Ran)
	}
}

func TestAnEndedRunIsNoDamageOfRPMsDatabase(t *testing.T) {
	h := busyHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	h.Script("rpm -q", func(string, []string) (string, error) {
		cancel()
		return "", context.Canceled
	})
	if _, err := dockerPackages().Check(ctx, h); !errors.Is(err, context.Canceled) || errors.As(err, new(*rpmDatabaseError)) {
		t.Errorf("got %v", err)
	}
}

func TestADatabaseThatFailsInTheMiddleIsRepairedAndTheSetInstalledOnceMore(t *testing.T) {
	h := busyHost(t)
	h.Script("rpm -U /mnt/usb/docker.rpm", func(_ string, argv []string) (string, error) {
		h.Script("rpm -U /mnt/usb/docker.rpm", nil)
		h.Put(t, hosttest.RPMDead, "dead")
		return "", hosttest.Exit(argv, 1, "", "error: db5 error(-30973) from dbcursor->c_put: BDB0087 DB_RUNRECOVERY: Fatal error, run database recovery\n")
	})
	must(t, applyAll(h, "node", []Step{dockerPackages()}))
	if want := "rpm -U --replacepkgs /mnt/usb/docker.rpm /mnt/usb/containerd.rpm"; !slices.Contains(h.Ran, want) {
		t.Errorf("ran %q, want %q among it", h.Ran, want)
	}
}

func TestADatabaseIsNotRepairedUnderALivingProcess(t *testing.T) {
	h := busyHost(t)
	h.Put(t, hosttest.RPMDead, "dead")
	h.Put(t, "/proc/812/comm", "yum\n")
	err := applyAll(h, "node", []Step{dockerPackages()})
	if err == nil || !strings.Contains(err.Error(), "yum is at work with it, process 812") {
		t.Errorf("error is %v", err)
	}
	if h.Get(hosttest.RPMDead) != "dead" {
		t.Error("its files were removed")
	}
}

func TestOnlyBerkeleyDBsOwnTroubleIsRepaired(t *testing.T) {
	for said, want := range map[string]bool{
		"CRITICAL:yum.main:\n\nError: rpmdb open failed\n":                                                                                   true,
		"rpmdb: PANIC: fatal region error detected; run recovery\n":                                                                          true,
		"error: cannot open Packages index using db5 -  (-30973)\n":                                                                          true,
		"error: cannot open Packages index using db5 - No space left on device (28)\nerror: cannot open Packages database in /var/lib/rpm\n": false,
		"error: cannot open Packages index using db5 - Permission denied (13)\n":                                                             false,
		"error: Failed dependencies:\n\tbash is needed by docker-ce":                                                                         false,
		rpmLockHeld: false,
	} {
		if got := rpmBroken(hosttest.Exit(nil, 1, "", said)); got != want {
			t.Errorf("%q: %v, want %v", said, got, want)
		}
	}
}

func TestAPackageThatIsNotTheBundlesNeverReachesRPM(t *testing.T) {
	h := busyHost(t)
	set := dockerPackages()
	for i := range set.Packages {
		set.Packages[i].Digest = bundle.DigestOf([]byte(h.Get(set.Packages[i].File)))
	}
	h.Put(t, "/mnt/usb/containerd.rpm", h.Get("/mnt/usb/docker.rpm"))
	err := applyAll(h, "node", []Step{set})
	var damage *bundle.DamageError
	if !errors.As(err, &damage) || damage.Path != "/mnt/usb/containerd.rpm" {
		t.Errorf("error is %v", err)
	}
	if slices.ContainsFunc(h.Ran, func(line string) bool { return strings.HasPrefix(line, "rpm -U") }) {
		t.Errorf("rpm ran: %q", h.Ran)
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
