package installer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"offgrid/installer/host"
)

const kindOldKernels = "oldkernels"

// OldKernelsStep removes the kernels that the new one follows, never the one that runs. The rescue image stays.
type OldKernelsStep struct {
	Release string
	Main    RPM // the carried kernel's own package: older versions of it go, too
}

// oldKernelsBefore is an OldKernelsStep's begin record.
type oldKernelsBefore struct {
	Packages []string `json:"packages"` // that go
}

// ID implements Step.
func (s *OldKernelsStep) ID() string { return kindOldKernels + ":" + s.Release }

// Line implements Step.
func (s *OldKernelsStep) Line() Line {
	return Line{Verb: "remove", Object: "older kernels", Why: "the cluster file says host.kernel.removeOld: true"}
}

// old are the packages to remove.
func (s *OldKernelsStep) old(ctx context.Context, h host.Host) ([]string, error) {
	running, err := runningKernel(h)
	if err != nil {
		return nil, err
	}
	ids := []string{"kernel." + s.Main.Arch}
	if s.Main.Name != "kernel" {
		ids = append(ids, s.Main.id())
	}
	installed, err := queryIDs(ctx, h, ids)
	if err != nil {
		return nil, err
	}
	var old []string
	for _, id := range ids {
		name := strings.TrimSuffix(id, "."+s.Main.Arch)
		for _, evr := range installed[id] {
			_, version, release := splitEVR(evr)
			if r := version + "-" + release + "." + s.Main.Arch; r != s.Release && r != running && compareReleases(r, s.Release) < 0 {
				old = append(old, name+"-"+r)
			}
		}
	}
	slices.Sort(old)
	return old, nil
}

// Check implements Step.
func (s *OldKernelsStep) Check(ctx context.Context, h host.Host) (Status, error) {
	running, err := runningKernel(h)
	if err != nil || running != s.Release {
		return Status{State: Needed, Why: "the one that runs stays until another one does"}, err
	}
	old, err := s.old(ctx, h)
	if err != nil || len(old) > 0 {
		return Status{State: Needed, Why: "to remove: " + strings.Join(old, ", ")}, err
	}
	return Status{State: Satisfied}, nil
}

// Before implements Undoer.
func (s *OldKernelsStep) Before(ctx context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	old, err := s.old(ctx, h)
	if err != nil {
		return nil, err
	}
	return json.Marshal(oldKernelsBefore{append([]string{}, old...)})
}

// Do implements Step.
func (s *OldKernelsStep) Do(ctx context.Context, h host.Host) error {
	old, err := s.old(ctx, h)
	if err != nil || len(old) == 0 {
		return err
	}
	running, err := runningKernel(h)
	if err != nil {
		return err
	}
	if running != s.Release {
		return fmt.Errorf("removing older kernels: internal error: %s does not run", s.Release)
	}
	if err := runRPM(ctx, h, rpmTestTime, append([]string{"rpm", "-e", "--test"}, old...)); err != nil {
		return fmt.Errorf("removing older kernels: %w", err)
	}
	if err := runRPM(ctx, h, rpmRunTime, append([]string{"rpm", "-e"}, old...)); err != nil {
		return fmt.Errorf("removing older kernels: %w", err)
	}
	return nil
}

// undoOldKernels says what does not come back: the packages are not at hand.
func undoOldKernels(_ context.Context, u Undoing) error {
	for _, raw := range u.Begins {
		var b oldKernelsBefore
		if err := decodeBefore(raw, &b); err != nil {
			return err
		}
		if len(b.Packages) > 0 {
			u.note("%s was removed and does not come back", strings.Join(b.Packages, ", "))
		}
	}
	return nil
}
