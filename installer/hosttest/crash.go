package hosttest

import (
	"os"
	"path/filepath"
	"testing"
)

// CrashTest kills the installer at every change of a plan, before and after its effect, and compares what the host is
// like in the end with what it should be. The plan runs once: what a kill leaves of it is a copy of the host, made when
// the change comes.
type CrashTest struct {
	New   func(t testing.TB) *Host
	Use   func(h *Host)       // makes h the host that others see from now on; nil when there are no others
	Apply func(h *Host) error // the whole plan, with a journal in the host's own state directory
	Undo  func(h *Host) error // everything
	State string              // the state directory; the journal and the lock in it are not compared
	Kept  []string            // names that begin so may differ after an undo
}

// Run returns the number of crashes that it tried. It fails the test with the names that differ.
func (c CrashTest) Run(t *testing.T) (crashes int) {
	t.Helper()
	ref := c.New(t)
	before := ref.Tree(t, c.Kept...)
	must(t, "applying without a crash", c.Apply(ref))
	applied, want := ref.Changes(), c.tree(t, ref)
	ref.Revive()
	must(t, "applying a second time", c.Apply(ref))
	if n := ref.Changes(); n != 0 {
		t.Fatalf("applying a second time made %d changes: %q", n, ref.Ran)
	}
	ref.Revive()
	must(t, "undoing without a crash", c.Undo(ref))
	undone := ref.Changes()
	if d := Diff(before, ref.Tree(t, c.Kept...)); d != "" {
		t.Fatalf("undone, without a crash:\n%s", d)
	}
	if applied == 0 || undone == 0 {
		t.Fatalf("the plan made %d changes and its undo %d", applied, undone)
	}
	h, skipped := c.New(t), 0
	h.watch = func(n int, after bool) {
		last := n
		if n == applied {
			last = max(applied, undone) // an undo of more changes is killed at the rest of them here
		}
		for i := n; i <= last && !t.Failed(); i++ {
			if !Tried(i, after) {
				skipped += 2
				continue
			}
			c.one(t, h, point{n, min(i, undone), after, i%2 == 0}, want, before)
			crashes += 2
		}
		c.use(h)
	}
	must(t, "applying", c.Apply(h))
	if want := 4 * max(applied, undone); crashes+skipped != want && !t.Failed() {
		t.Fatalf("there were %d crashes, %d left out, not %d: the plan made %d changes, then %d", crashes, skipped, want, applied, h.Changes())
	}
	return crashes
}

// Tried thins the kills out: one of every few changes, in turn before and after it. OFFGRID_KILLS=all tries every change on both
// sides.
func Tried(n int, after bool) bool {
	return os.Getenv("OFFGRID_KILLS") == "all" || n%every == 0 && (n%2 == 0) == after
}

// use is Use, which may be missing.
func (c CrashTest) use(h *Host) {
	if c.Use != nil {
		c.Use(h)
	}
}

// point is where the installer dies: in the plan, then in its undo.
type point struct {
	apply, undo int
	after       bool
	torn        bool // half a record is at the journal's end
}

// one kills an installation, at work on that host right now, and later its uninstall.
func (c CrashTest) one(t *testing.T, working *Host, at point, want, before Tree) {
	t.Helper()
	h := working.clone(t, c.State+"/journal.jsonl", c.State+"/lock")
	c.use(h)
	if at.torn {
		c.tear(t, h)
	}
	must(t, "resuming", c.Apply(h))
	if d := Diff(want, c.tree(t, h)); d != "" {
		t.Errorf("killed at %+v and resumed:\n%s", at, d)
	}
	h.Crash(at.undo, at.after)
	if h.Survives(func() { must(t, "undoing", c.Undo(h)) }) {
		t.Fatalf("%+v: there was no such change in the undo", at)
	}
	h.Revive()
	must(t, "undoing again", c.Undo(h))
	if d := Diff(before, h.Tree(t, c.Kept...)); d != "" {
		t.Errorf("undo killed at %+v and repeated:\n%s", at, d)
	}
	must(t, "removing the host", os.RemoveAll(h.Root))
}

// tree is the host without what differs from run to run.
func (c CrashTest) tree(t *testing.T, h *Host) Tree {
	return h.Tree(t, c.State+"/journal.jsonl", c.State+"/lock")
}

// tear leaves what a power cut leaves of a record.
func (c CrashTest) tear(t *testing.T, h *Host) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(h.Root, c.State, "journal.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if os.IsNotExist(err) {
		return
	}
	must(t, "tearing the journal", err)
	_, err = f.WriteString(`{"seq":7,"time":"20`)
	must(t, "tearing the journal", err)
	must(t, "tearing the journal", f.Close())
}

func must(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
