package installer

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"offgrid/installer/host"
)

// restarting is a host whose kubelet is in one state after the other.
type restarting struct {
	host.Host
	states []string
}

func (h *restarting) Run(_ context.Context, _ io.Reader, argv ...string) ([]byte, error) {
	state := "active running"
	if argv[len(argv)-1] == "kubelet.service" && len(h.states) > 0 {
		state, h.states = h.states[0], h.states[1:]
	}
	active, sub, _ := strings.Cut(state, " ")
	return fmt.Appendf(nil, "LoadState=loaded\nActiveState=%s\nSubState=%s\n", active, sub), nil
}

func (h *restarting) Readlink(string) (string, error) { return "", nil }

func TestAServiceThatEndsFourTimesIsNotWaitedForAnyLonger(t *testing.T) {
	const up, again, failed = "active running", "activating auto-restart", "failed failed"
	for _, c := range []struct {
		name   string
		states []string
		blame  bool
		looks  int // the error comes with this look; 0: it does not
	}{
		{"it starts well after two tries", []string{again, up, again, again, up, up, up, up}, true, 0},
		{"it ends again and again", []string{again, up, again, again, up, again, up, again}, true, 8},
		{"it fails for good each time", []string{failed, up, failed, up, failed, up, failed}, true, 7},
		{"it stays down", []string{again, again, again, again, again, again, again, again}, true, 0},
		{"what it needs is not there", []string{again, up, again, up, again, up, again, up}, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &restarting{states: c.states}
			w := &crashWatch{units: []string{"kube-proxy.service", "kubelet.service"}, down: map[string]bool{}, counts: map[string]int{},
				blame: func(context.Context) bool { return c.blame }}
			plan := w.over(&Plan{Phases: []Phase{{Steps: []Step{&WaitStep{Name: "the node", Probe: func(context.Context, host.Host) (Status, error) {
				return pending("not yet")
			}}}}}})
			got := 0
			for i := 1; i <= len(c.states) && got == 0; i++ {
				_, err := plan.Steps()[0].Check(t.Context(), h)
				if err != nil {
					got = i
					if want := "kubelet.service has ended 4 times by itself; see: journalctl -u kubelet -n 20"; err.Error() != want {
						t.Errorf("it says %q, want %q", err, want)
					}
				}
			}
			if got != c.looks {
				t.Errorf("the error came with look %d, want %d", got, c.looks)
			}
		})
	}
}
