package installer

import (
	"context"
	"time"

	"offgrid/installer/host"
)

const kindWait = "wait"

// waitEvery is how often a WaitStep looks again.
const waitEvery = time.Second

// WaitStep waits for something that other hosts or time bring about. When that takes longer than Wait, the step stays
// Pending, the run ends well and says what is still missing. It changes nothing, so it leaves no record, and an interrupt
// ends it at once.
type WaitStep struct {
	Name  string        // "etcd quorum"
	Wait  time.Duration // 0: look once
	Probe func(ctx context.Context, h host.Host) (Status, error)
}

// ID implements Step.
func (s *WaitStep) ID() string { return kindWait + ":" + s.Name }

// Line implements Step.
func (s *WaitStep) Line() Line { return Line{Verb: "wait for", Object: s.Name} }

// Check implements Step.
func (s *WaitStep) Check(ctx context.Context, h host.Host) (Status, error) { return s.Probe(ctx, h) }

// Do implements Step.
func (s *WaitStep) Do(ctx context.Context, h host.Host) error {
	if s.Wait <= 0 {
		return nil
	}
	end := time.NewTimer(s.Wait)
	defer end.Stop()
	again := time.NewTicker(min(waitEvery, s.Wait))
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return nil
		case <-again.C:
		}
		st, err := s.Probe(ctx, h)
		if err != nil || st.State == Satisfied || st.State == Conflict {
			return err
		}
	}
}
