package installer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"offgrid/bundle"
	"offgrid/bundle/progress"
	"offgrid/installer/host"
)

const (
	kindDrain    = "drain"
	kindUncordon = "uncordon"
	cordonName   = "cordon.json"
)

// DrainTimeout is how long a node's pods may take to go when Session.DrainTimeout does not say otherwise.
const DrainTimeout = 5 * time.Minute

func (s *Session) drainTimeout() time.Duration {
	if s.DrainTimeout > 0 {
		return s.DrainTimeout
	}
	return DrainTimeout
}

// cordonMark is old/node/cordon.json: what is known of the node's schedulability. It is written before the node is
// cordoned, so that an upgrade that is killed between the two still uncordons it.
type cordonMark struct {
	Format  int    `json:"format"` // 0
	Node    string `json:"node"`
	Ours    bool   `json:"ours"`    // pods could be scheduled to it before: it is uncordoned in the end
	Ready   bool   `json:"ready"`   // it was Ready before
	Drained bool   `json:"drained"` // its pods have gone
}

func cordonPath() string { return path.Join(OldDir(bundle.RoleNode), cordonName) }

// readCordon returns the mark, nil when there is none.
func readCordon(h host.Host) (*cordonMark, error) {
	data, err := host.ReadFile(h, cordonPath(), inlineMax)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m cordonMark
	if err := bundle.DecodeStrict(data, &m, inlineMax); err != nil {
		return nil, fmt.Errorf("reading %s: %w", cordonPath(), err)
	}
	return &m, nil
}

// DrainError says which pod does not leave a node. Nothing on the host was changed, and pods may be scheduled to it again.
type DrainError struct {
	Node string
	Pod  string // "default/web-0"
	Why  string // what the API server said last: it names the PodDisruptionBudget
	Wait time.Duration
}

func (e *DrainError) Error() string {
	return fmt.Sprintf("draining node %s: pod %s does not go within %s: %s", e.Node, e.Pod, e.Wait, e.Why)
}

// DrainStep cordons this host's node and has its pods started elsewhere, with kubelet's own certificate. Pods that the
// node runs whatever happens stay: those of DaemonSets, those from files, those that have ended, and those that belong to
// no controller, which nobody would start anew. It changes the cluster and not the host, so it leaves no record.
type DrainStep struct {
	node nodeClient
}

// ID implements Step.
func (s *DrainStep) ID() string { return kindDrain + ":" + s.node.own.NodeName }

// Line implements Step.
func (s *DrainStep) Line() Line {
	return Line{Verb: "drain", Object: "node " + s.node.own.NodeName, Why: "its pods go to other nodes first; at most " + s.node.limit.String()}
}

// Check implements Step. A node is drained once per upgrade: later only pods that tolerate it come to it.
func (s *DrainStep) Check(_ context.Context, h host.Host) (Status, error) {
	mark, err := readCordon(h)
	if err != nil || mark != nil && mark.Drained {
		return Status{State: Satisfied}, err
	}
	return Status{State: Needed, Why: "services that pods feel are started anew"}, nil
}

// Do implements Step.
func (s *DrainStep) Do(ctx context.Context, h host.Host) error {
	mark, err := readCordon(h)
	if err != nil {
		return err
	}
	c, err := s.node.connect(h)
	if err != nil {
		return s.nothing(h, mark, err.Error())
	}
	if mark == nil {
		var n drainNode
		waitFor(ctx, s.node.wait, func() (string, bool) {
			n, err = c.node(ctx)
			return "", err == nil || !silent(err)
		})
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, fs.ErrNotExist):
			return s.nothing(h, nil, "the cluster does not know the node yet")
		case err != nil && silent(err): // preflight has said so
			return s.nothing(h, nil, "no API server answers: "+err.Error())
		case err != nil:
			return err
		}
		mark = &cordonMark{Node: s.node.own.NodeName, Ours: !n.Spec.Unschedulable, Ready: n.ready()}
		if err := writeJSON(h, cordonPath(), mark, 0o600); err != nil {
			return err
		}
	}
	if mark.Ours {
		if err := c.schedulable(ctx, false); err != nil {
			return err
		}
	}
	if err := c.evictAll(ctx); err != nil {
		return err
	}
	mark.Drained = true
	return writeJSON(h, cordonPath(), mark, 0o600)
}

// nothing records that there is nothing to drain, and why.
func (s *DrainStep) nothing(h host.Host, mark *cordonMark, why string) error {
	if mark != nil {
		return fmt.Errorf("draining node %s: %s", s.node.own.NodeName, why) // it could be asked a moment ago
	}
	s.node.report.Report(progress.Event{Phase: "apply", Kind: progress.Note, Text: "the node is not drained: " + why})
	return writeJSON(h, cordonPath(), cordonMark{Node: s.node.own.NodeName, Drained: true}, 0o600)
}

// UncordonStep lets pods be scheduled to the node again once its new kubelet is Ready, if it was the upgrade that had
// cordoned it.
type UncordonStep struct {
	node nodeClient
	wait time.Duration
}

// ID implements Step.
func (s *UncordonStep) ID() string { return kindUncordon + ":" + s.node.own.NodeName }

// Line implements Step.
func (s *UncordonStep) Line() Line {
	return Line{Verb: "uncordon", Object: "node " + s.node.own.NodeName, Why: "unless it was cordoned before"}
}

// Check implements Step.
func (s *UncordonStep) Check(ctx context.Context, h host.Host) (Status, error) {
	mark, err := readCordon(h)
	if err != nil || mark == nil || !mark.Ours {
		return Status{State: Satisfied}, err
	}
	c, err := s.node.connect(h)
	if err != nil {
		return pending("waiting for the node in the cluster: %v", err)
	}
	n, err := c.node(ctx)
	switch {
	case err != nil:
		return pending("waiting for the API server: %v", err)
	case mark.Ready && !n.ready():
		return pending("waiting for the node to be Ready again")
	}
	return Status{State: Needed, Why: "the upgrade cordoned it"}, nil
}

// Do implements Step.
func (s *UncordonStep) Do(ctx context.Context, h host.Host) error {
	waited := &WaitStep{Name: "node", Wait: s.wait, Probe: func(ctx context.Context, h host.Host) (Status, error) {
		now, err := s.Check(ctx, h)
		if now.State == Needed {
			now.State = Satisfied // it can be done now
		}
		return now, err
	}}
	now, err := waited.Check(ctx, h)
	if err == nil && now.State == Pending {
		err = waited.Do(ctx, h)
	}
	if err != nil {
		return err
	}
	if now, err = s.Check(ctx, h); err != nil || now.State != Needed {
		return err
	}
	return s.node.uncordon(ctx, h)
}

// uncordon makes the node schedulable if the upgrade made it otherwise, and remembers that this is done.
func (n nodeClient) uncordon(ctx context.Context, h host.Host) error {
	mark, err := readCordon(h)
	if err != nil || mark == nil || !mark.Ours {
		return err
	}
	c, err := n.connect(h)
	if err == nil {
		err = c.schedulable(ctx, true)
	}
	if err != nil {
		return fmt.Errorf("%w; when it answers again: kubectl uncordon %s", err, mark.Node)
	}
	mark.Ours = false
	return writeJSON(h, cordonPath(), mark, 0o600)
}
