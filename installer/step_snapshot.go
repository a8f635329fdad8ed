package installer

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"offgrid/bundle"
	"offgrid/bundle/progress"
	"offgrid/installer/host"
)

const kindSnapshot = "snapshot"

// SnapshotStep takes a snapshot of etcd before an upgrade, once for each. It stays when everything else is taken back, as
// one does that was taken by hand, so it leaves no record.
type SnapshotStep struct {
	File   string
	Take   func(ctx context.Context, file string) error
	Report progress.Func

	cold bool // there was nobody to ask
}

// ID implements Step.
func (s *SnapshotStep) ID() string { return kindSnapshot + ":" + s.File }

// Line implements Step.
func (s *SnapshotStep) Line() Line {
	return Line{Verb: "take a snapshot of etcd to", Object: s.File, Why: "it stays, whatever becomes of the upgrade"}
}

// Check implements Step.
func (s *SnapshotStep) Check(_ context.Context, h host.Host) (Status, error) {
	there, err := host.Exists(h, s.File)
	if err != nil || there || s.cold {
		return Status{State: Satisfied}, err
	}
	return Status{State: Needed, Why: "there is none of this moment"}, nil
}

// Do implements Step. On a site that is off there is nothing to ask, and its data stays where it is.
func (s *SnapshotStep) Do(ctx context.Context, h host.Host) error {
	err := s.Take(ctx, s.File)
	var down *EtcdDownError
	if s.cold = errors.As(err, &down); s.cold {
		s.Report.Report(progress.Event{Phase: "apply", Item: s.Line().Verb + " " + s.File, Kind: progress.Warn, Text: "none is taken: " + down.Error()})
		return nil
	}
	if err != nil {
		return fmt.Errorf("taking a snapshot before the upgrade: %w", err)
	}
	return nil
}

// snapshotStep is the snapshot before the upgrade of a role, nil when this host holds no member of etcd.
func (s *Session) snapshotStep(r *RoleJob) *SnapshotStep {
	dir := r.Input.Index.Cluster.Policy.SnapshotDir
	installed, err := InstalledRoles(s.Host)
	if err != nil || dir == "" || r.Plan.Role != bundle.RoleEtcd && r.Plan.Role != bundle.RoleMaster ||
		!slices.ContainsFunc(installed, func(in Installed) bool { return in.Role == bundle.RoleEtcd }) {
		return nil
	}
	file := path.Join(dir, fmt.Sprintf("before-%s-%s.db", r.Plan.Role, r.Plan.Upgrade.To.Bundle.Short()))
	return &SnapshotStep{File: file, Report: s.Report, Take: func(ctx context.Context, file string) error {
		_, err := s.Snapshot(ctx, SnapshotRequest{File: file})
		return err
	}}
}
