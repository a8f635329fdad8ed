//go:build e2e

package e2e

import (
	"maps"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// peers are a master, a balancer and two members of etcd, so that node01 finds a cluster.
func peers(t *testing.T) []*host {
	t.Helper()
	all := lab(t).hosts(t, "master01", "node02", "lb01")
	roles := []string{"etcd", "etcd", "lb"}
	var wait sync.WaitGroup
	for i, h := range all {
		h.bring("etcd", "master", "lb")
		wait.Go(func() { h.install(roles[i]) })
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
	all[0].install("master")
	return all
}

// undisturbed is what node01 looks like when nothing goes wrong: etcd and node on it, in a cluster that is its own.
// It is looked at once: hosts are the same each time they are made.
func undisturbed(t *testing.T) snapshot {
	t.Helper()
	if quiet != nil {
		return quiet
	}
	var want snapshot
	t.Run("undisturbed", func(t *testing.T) {
		peers(t)
		h := lab(t).hosts(t, "node01")[0]
		h.bring("etcd", "node")
		h.install("etcd")
		h.install("node")
		eventually(t, 2*time.Minute, h.converged)
		want = strip(h.snapshot())
	})
	if want == nil {
		t.FailNow()
	}
	quiet = want
	return want
}

// quiet is what undisturbed saw.
var quiet snapshot

func TestAHostThatIsKilledAgainAndAgainEndsLikeOneThatNeverWas(t *testing.T) {
	want := undisturbed(t)
	peers(t)
	h := lab(t).hosts(t, "node01")[0]
	h.bring("etcd", "node")
	etcd, node := 2, 6
	if *full {
		etcd, node = 1, 1
	}
	// A step that takes less than a look at the journal cannot be told from the next one, so there are fewer lives than steps.
	kills := h.chain("etcd", etcd, killed)
	kills += h.chain("node", node, killed)
	t.Logf("killed %d times; %d records in the journal", kills, len(h.journal()))
	if kills < 24 {
		t.Errorf("killed only %d times", kills)
	}
	eventually(t, 2*time.Minute, h.converged)
	same(t, "a host whose installer was killed again and again, against one that was left alone", want, strip(h.snapshot()))
}

func TestAHostWhosePowerFailsAgainAndAgainEndsLikeOneThatHadPower(t *testing.T) {
	want := maps.Clone(undisturbed(t))
	peers(t)
	h := lab(t).hosts(t, "node01")[0]
	h.bring("etcd", "node")
	h.must("sync")
	every := 17
	if *full {
		every = 3
	}
	cut := func(r *running) {
		h.lab("--cut")
		r.wait()
		h.lab("--start")
	}
	cuts := h.chain("etcd", every, cut)
	cuts += h.chain("node", every, cut)
	t.Logf("the power failed %d times; %d records in the journal", cuts, len(h.journal()))
	if cuts < 3 {
		t.Errorf("the power failed only %d times", cuts)
	}
	eventually(t, 2*time.Minute, h.converged)
	got := strip(h.snapshot())
	// Since then it has booted: SELinux is off for good, and modules are loaded by what boots.
	for _, s := range []snapshot{want, got} {
		maps.DeleteFunc(s, func(name, _ string) bool {
			return strings.HasPrefix(name, "module ") || strings.HasPrefix(name, "selinux ")
		})
	}
	same(t, "a host whose power failed again and again, against one that had power", want, got)
}

func TestASecondInstallerAtTheSameTimeIsRefused(t *testing.T) {
	h := lab(t).hosts(t, "node01")[0]
	h.bring("etcd")
	first := h.start("./install", "--yes", "--role", "etcd", "--ip", h.ip)
	if !first.until(func() bool { return h.done() >= 3 }) {
		t.Fatalf("the first installer ended with %d:\n%s", first.last.code, first.last.out)
	}
	if !first.signal(syscall.SIGSTOP) {
		t.Fatal("the first installer is not there to be stopped")
	}
	second := h.try("./install", "--yes", "--role", "etcd", "--ip", h.ip)
	if second.code != 5 {
		t.Errorf("the second installer ended with %d, want 5:\n%s", second.code, second.out)
	}
	if !strings.Contains(second.out, "installer") {
		t.Errorf("the message does not say that another installer runs:\n%s", second.out)
	}
	first.signal(syscall.SIGCONT)
	if r := first.wait(); r.code != 0 {
		t.Errorf("the first installer ended with %d:\n%s", r.code, r.out)
	}
}

func TestATooSmallDiskIsRefusedBeforeAnythingChanges(t *testing.T) {
	h := lab(t).hosts(t, "node01")[0]
	h.bring("etcd")
	h.lab("--stop")
	h.lab("--small", "/opt", "16M")
	h.lab("--start")
	before := h.snapshot()
	got := finish(t, h.installing("etcd"), time.Minute)
	if got.code != 5 || !strings.Contains(got.out, "/opt") {
		t.Errorf("exit code %d, want 5 and a word on /opt:\n%s", got.code, got.out)
	}
	same(t, "after a disk was too small", before, h.snapshot())
}

func TestADiskThatFillsWhileInstallingIsSaidAndTheNextRunGoesOn(t *testing.T) {
	h := lab(t).hosts(t, "node01")[0]
	h.bring("etcd")
	r := h.start("./install", "--yes", "--role", "etcd", "--ip", h.ip)
	if !r.until(func() bool { return h.done() >= 2 }) {
		t.Fatalf("the installer ended with %d:\n%s", r.last.code, r.last.out)
	}
	r.signal(syscall.SIGSTOP)
	h.lab("--fill", "/")
	r.signal(syscall.SIGCONT)
	got := r.wait()
	if got.code != 1 || !strings.Contains(got.out, "no space left") {
		t.Errorf("exit code %d, want 1 and a word on the space:\n%s", got.code, got.out)
	}
	h.lab("--unfill", "/")
	if out := h.install("etcd"); !strings.Contains(out, "waits") {
		t.Errorf("the next run does not end by waiting for the other members:\n%s", out)
	}
}
