package hosttest

import (
	"os"
	"testing"
)

// Kills runs work on h and shows each what a kill of it leaves, before and after every change: a host of its own, which is
// removed afterwards. written are the files that are written into, such as a journal. It returns how many there were.
func (h *Host) Kills(t testing.TB, written []string, work func(), each func(left *Host, n int, after bool)) (kills int) {
	t.Helper()
	h.Revive()
	h.watch = func(n int, after bool) {
		if t.Failed() {
			return
		}
		left := h.clone(t, written...)
		each(left, n, after)
		kills++
		must(t, "removing the host", os.RemoveAll(left.Root))
	}
	defer func() { h.watch = nil }()
	work()
	return kills
}
