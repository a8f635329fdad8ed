package installer

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"offgrid/installer/host"
)

const kindRestore = "restore"

// restoreStep is a part of a restore of etcd's data. Undoing it removes what was not put in place; the data itself, old
// and new, stays or goes with etcd's directory.
type restoreStep struct {
	name   string
	line   Line
	remove []string // what an undo takes away
	check  func(ctx context.Context, h host.Host) (Status, error)
	do     func(ctx context.Context, h host.Host) error
}

// restoreBefore is a restoreStep's begin record.
type restoreBefore struct {
	Remove []string `json:"remove"`
}

// ID implements Step.
func (s *restoreStep) ID() string { return kindRestore + ":" + s.name }

// Line implements Step.
func (s *restoreStep) Line() Line { return s.line }

// Check implements Step.
func (s *restoreStep) Check(ctx context.Context, h host.Host) (Status, error) { return s.check(ctx, h) }

// Before implements Undoer.
func (s *restoreStep) Before(context.Context, host.Host, bool) (json.RawMessage, error) {
	return json.Marshal(restoreBefore{Remove: s.remove})
}

// Do implements Step.
func (s *restoreStep) Do(ctx context.Context, h host.Host) error { return s.do(ctx, h) }

// undoRestore removes what a restore that was never finished left beside the data.
func undoRestore(_ context.Context, u Undoing) error {
	for _, raw := range u.Begins {
		var b restoreBefore
		if err := decodeBefore(raw, &b); err != nil {
			return err
		}
		for _, name := range b.Remove {
			if err := u.Host.RemoveAll(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// restoreSteps are all that a restore does on this host.
func (s *Session) restoreSteps(j *RestoreJob) []Step {
	record := restoreRecord{Digest: j.Record.Digest, Token: j.token, Old: j.places.old, Began: j.began}
	unit := &UnitStep{Unit: etcdUnit}
	for _, u := range j.etcd.Input.Index.Units {
		if u.Name == etcdUnit {
			unit.Restarts = u.Restarts
		}
	}
	finished := record
	finished.Finished = true
	wait := &WaitStep{Name: "most members of the restored etcd", Wait: min(peerPatience, s.Patience), Probe: j.quorum}
	if j.Already {
		return []Step{unit, wait}
	}
	return []Step{
		recordStep("record", "that a restore begins", record), j.extractStep(), j.swapStep(), unit,
		recordStep("finished", "that the restore is in place", finished), wait,
	}
}

// recordStep writes down where the restore is. The first of them does not take back what the last one says.
func recordStep(name, what string, r restoreRecord) Step {
	return &restoreStep{
		name: r.Token + ":" + name, line: Line{Verb: "record", Object: restorePath(), Why: what},
		check: func(_ context.Context, h host.Host) (Status, error) {
			text, err := readOptional(h, restorePath())
			want, merr := json.Marshal(r)
			if err != nil || merr != nil {
				return Status{}, fmt.Errorf("reading %s: %w", restorePath(), err)
			}
			if strings.TrimSpace(text) == string(want) {
				return Status{State: Satisfied}, nil
			}
			return Status{State: Needed}, nil
		},
		do: func(_ context.Context, h host.Host) error { return writeJSON(h, restorePath(), r, 0o600) },
	}
}

// swapped reports whether the data was exchanged already.
func (p restorePlaces) swapped(h host.Host) (bool, error) {
	next, err := host.Exists(h, p.next)
	if err != nil || next {
		return false, err
	}
	old, err := host.Exists(h, p.old)
	if err != nil || !old {
		return false, err
	}
	return host.Exists(h, p.live)
}

// extractStep lets etcdctl make the new data. It has its name only when it is complete and on the disk.
func (j *RestoreJob) extractStep() Step {
	p := j.places
	return &restoreStep{
		name: j.token + ":extract", line: Line{Verb: "restore", Object: j.File + " to " + p.done}, remove: []string{p.part, p.done},
		check: func(_ context.Context, h host.Host) (Status, error) {
			done, err := host.Exists(h, p.done)
			if err == nil && !done {
				done, err = p.swapped(h)
			}
			if err != nil || !done {
				return Status{State: Needed}, err
			}
			return Status{State: Satisfied}, nil
		},
		do: func(ctx context.Context, h host.Host) error {
			if err := h.RemoveAll(p.part); err != nil {
				return err
			}
			argv := []string{etcdctlPath, "snapshot", "restore", "--data-dir=" + p.part, "--name=" + j.Member, "--initial-cluster=" + j.initialCluster(),
				"--initial-cluster-token=" + j.token, "--initial-advertise-peer-urls=" + peerURL(j.etcd.Host)}
			if j.Record.Size%512 == 0 { // a copy of a data directory's file has no hash at its end
				argv = append(argv, "--skip-hash-check=true")
			}
			for _, argv := range [][]string{append(argv, j.File), {"chown", "-R", "etcd:etcd", p.part}, {"sync"}, {"mv", "-T", p.part, p.done}} {
				if _, err := h.Run(ctx, nil, argv...); err != nil {
					return err
				}
			}
			return syncDirectory(h, path.Dir(p.done))
		},
	}
}

// swapStep puts the new data in the place of the old one.
func (j *RestoreJob) swapStep() Step {
	p := j.places
	return &restoreStep{
		name: j.token + ":swap", line: Line{Verb: "exchange", Object: p.live, Why: "what is there now is kept as " + p.old},
		check: func(_ context.Context, h host.Host) (Status, error) {
			done, err := p.swapped(h)
			if err != nil || !done {
				return Status{State: Needed}, err
			}
			if left, err := host.Exists(h, p.done); err != nil || left {
				return Status{State: Needed}, err
			}
			return Status{State: Satisfied}, nil
		},
		do: func(ctx context.Context, h host.Host) error {
			done, err := p.swapped(h)
			if err == nil && !done {
				if err = p.putAside(ctx, h); err == nil {
					_, err = h.Run(ctx, nil, "mv", "-T", p.next, p.live)
				}
			}
			if err != nil {
				return err
			}
			if p.next != p.done {
				if err := h.Remove(p.done); err != nil {
					return err
				}
			}
			return syncDirectory(h, path.Dir(p.live))
		},
	}
}

// putAside gives the data from before its other name. It is never removed.
func (p restorePlaces) putAside(ctx context.Context, h host.Host) error {
	old, err := host.Exists(h, p.old)
	if err != nil {
		return err
	}
	live, err := host.Exists(h, p.live)
	switch {
	case err != nil || old && !live:
		return err
	case old: // it was put aside before a crash, and somebody has made an empty one since
		return h.Remove(p.live)
	case !live:
		if err := h.Mkdir(p.live, host.Meta{Mode: 0o700, Owner: "etcd", Group: "etcd"}); err != nil {
			return err
		}
	}
	_, err = h.Run(ctx, nil, "mv", "-T", p.live, p.old)
	return err
}
