package hosttest

import (
	"os"
	"path/filepath"
	"testing"
)

// CrashTest kills the installer at every change of a plan, before and after its effect, and compares what the host is
// like in the end with what it should be.
type CrashTest struct {
	New   func(t testing.TB) *Host
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
	for n := 1; n <= max(applied, undone); n++ {
		for _, after := range []bool{false, true} {
			at := point{min(n, applied), min(n, undone), after, n%2 == 0}
			c.one(t, at, want, before)
			crashes += 2
			if t.Failed() {
				return crashes
			}
		}
	}
	return crashes
}

// point is where the installer dies: in the plan, then in its undo.
type point struct {
	apply, undo int
	after       bool
	torn        bool // half a record is at the journal's end
}

// one kills an installation and its uninstall at one point each.
func (c CrashTest) one(t *testing.T, at point, want, before Tree) {
	t.Helper()
	h := c.New(t)
	h.Crash(at.apply, at.after)
	if h.Survives(func() { must(t, "applying", c.Apply(h)) }) {
		t.Fatalf("%+v: there was no such change", at)
	}
	if at.torn {
		c.tear(t, h)
	}
	h.Revive()
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
