package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

const kindUnit = "unit"

// UnitStep enables a unit and starts it. A running one is restarted when a file it was started with has changed since.
// Nothing waits for the unit to be ready: a member of a cluster may wait for its peers for days, and a WaitStep after this
// one judges.
type UnitStep struct {
	Unit     string   // "etcd.service"
	Restarts []string // paths of files whose change restarts it
}

// unitBefore is a UnitStep's begin record: the unit as it was.
type unitBefore struct {
	Active bool   `json:"active"`
	File   string `json:"file"` // UnitFileState; "" when there was no such unit
}

// startedWith is /var/lib/offgrid/units/UNIT.json: the files that a unit was last started with.
type startedWith struct {
	Format int             `json:"format"` // 0
	Files  []startedDigest `json:"files"`  // sorted by path
}

// startedDigest is one of those files. A file that was not there has the zero digest.
type startedDigest struct {
	Path   string        `json:"path"`
	Digest bundle.Digest `json:"digest"`
}

// ID implements Step.
func (s *UnitStep) ID() string { return kindUnit + ":" + s.Unit }

// Line implements Step.
func (s *UnitStep) Line() Line { return Line{Verb: "enable and start", Object: s.Unit} }

// Check implements Step.
func (s *UnitStep) Check(ctx context.Context, h host.Host) (Status, error) {
	u, err := host.ShowUnit(ctx, h, s.Unit)
	if err != nil {
		return Status{}, err
	}
	switch {
	case !u.Known():
		return Status{State: Needed, Why: "systemd does not know it yet"}, nil
	case u.Load == "masked":
		return Status{State: Conflict, Why: fmt.Sprintf("%s is masked; systemctl unmask %s", s.Unit, s.Unit)}, nil
	case u.Stale:
		return Status{State: Needed, Why: "its unit file is newer than what systemd has read"}, nil
	case !u.Enabled():
		return Status{State: Needed, Why: "it is " + u.File}, nil
	case !u.Up() && !u.Job:
		return Status{State: Needed, Why: "it is " + u.Active}, nil
	}
	changed, err := s.changedSinceStart(h)
	if err != nil || changed != "" {
		return Status{State: Needed, Why: changed + " changed since it was started"}, err
	}
	return Status{State: Satisfied}, nil
}

// Before implements Undoer.
func (s *UnitStep) Before(ctx context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	u, err := host.ShowUnit(ctx, h, s.Unit)
	if err != nil {
		return nil, err
	}
	return json.Marshal(unitBefore{Active: u.Up(), File: u.File})
}

// Do implements Step.
func (s *UnitStep) Do(ctx context.Context, h host.Host) error {
	u, err := host.ShowUnit(ctx, h, s.Unit)
	if err != nil {
		return err
	}
	if u.Stale || !u.Known() {
		if _, err := h.Run(ctx, nil, "systemctl", "daemon-reload"); err != nil {
			return err
		}
		stale := u.Stale
		if u, err = host.ShowUnit(ctx, h, s.Unit); err != nil {
			return err
		}
		u.Stale = stale
	}
	if !u.Enabled() {
		if _, err := h.Run(ctx, nil, "systemctl", "enable", s.Unit); err != nil {
			return err
		}
	}
	now, err := s.digests(h)
	if err != nil {
		return err
	}
	if err := s.start(ctx, h, u); err != nil {
		return err
	}
	return s.remember(h, now)
}

// start starts the unit, or restarts it when it runs with what is no longer right.
func (s *UnitStep) start(ctx context.Context, h host.Host, u host.Unit) error {
	verb := "start"
	if u.Up() {
		changed, err := s.changedSinceStart(h)
		if err != nil {
			return err
		}
		if changed == "" && !u.Stale {
			return nil
		}
		verb = "restart"
	}
	if u.Active == "failed" {
		// Clears the count of starts, too: a unit that failed too often is not started again without.
		if _, err := h.Run(ctx, nil, "systemctl", "reset-failed", s.Unit); err != nil {
			return err
		}
	}
	_, err := h.Run(ctx, nil, "systemctl", verb, "--no-block", s.Unit)
	return err
}

// recordPath is where the digests are kept that the unit was started with.
func unitRecord(unit string) string { return path.Join(StateDir, "units", unit+".json") }

// digests hashes the files whose change restarts the unit.
func (s *UnitStep) digests(h host.Host) ([]startedDigest, error) {
	names := slices.Clone(s.Restarts)
	slices.Sort(names)
	files := []startedDigest{}
	for _, name := range slices.Compact(names) {
		d, _, err := host.DigestFile(h, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		files = append(files, startedDigest{Path: name, Digest: d})
	}
	return files, nil
}

// changedSinceStart names the first file that is not as it was when the unit was started by us. A unit that we never
// started knows nothing of our files.
func (s *UnitStep) changedSinceStart(h host.Host) (string, error) {
	if len(s.Restarts) == 0 {
		return "", nil
	}
	now, err := s.digests(h)
	if err != nil {
		return "", err
	}
	text, err := readOptional(h, unitRecord(s.Unit))
	if err != nil {
		return "", err
	}
	var was startedWith
	if text != "" {
		if err := bundle.DecodeStrict([]byte(text), &was, saveMax); err != nil {
			return "", fmt.Errorf("reading %s: %w", unitRecord(s.Unit), err)
		}
	}
	for _, f := range now {
		if !slices.Contains(was.Files, f) {
			return f.Path, nil
		}
	}
	return "", nil
}

// remember records what the unit was started with.
func (s *UnitStep) remember(h host.Host, files []startedDigest) error {
	if len(files) == 0 {
		return nil
	}
	if err := stateDir(h, "units"); err != nil {
		return err
	}
	return writeJSON(h, unitRecord(s.Unit), startedWith{Files: files}, 0o600)
}

// undoUnit stops and disables the unit unless it ran or was enabled before.
func undoUnit(ctx context.Context, u Undoing) error {
	var b unitBefore
	if err := u.first(&b); err != nil {
		return err
	}
	now, err := host.ShowUnit(ctx, u.Host, u.Object)
	if err != nil {
		return err
	}
	if now.Known() && now.Load != "masked" {
		if (now.Up() || now.Job) && !b.Active {
			if _, err := u.Host.Run(ctx, nil, "systemctl", "stop", u.Object); err != nil {
				return err
			}
		}
		if !b.Active {
			if err := leftRunning(ctx, u); err != nil {
				return err
			}
		}
		if now.File == "enabled" && b.File != "enabled" {
			if _, err := u.Host.Run(ctx, nil, "systemctl", "disable", u.Object); err != nil {
				return err
			}
		}
		if now.Active == "failed" {
			if _, err := u.Host.Run(ctx, nil, "systemctl", "reset-failed", u.Object); err != nil {
				return err
			}
		}
	}
	return u.Host.Remove(unitRecord(u.Object))
}

// leftRunning takes away what a service makes outside its own control group and leaves there when it ends: kubelet the
// slices of pods, docker its bridge, a timer the service that it has started.
func leftRunning(ctx context.Context, u Undoing) error {
	if name, ok := strings.CutSuffix(u.Object, ".timer"); ok {
		return stopStarted(ctx, u, name+".service")
	}
	var argv []string
	switch u.Object {
	case "kubelet.service":
		if slice, err := host.ShowUnit(ctx, u.Host, podSlice); err != nil || !slice.Up() {
			return err
		}
		argv = []string{"systemctl", "stop", podSlice}
	case "docker.service":
		if there, err := host.Exists(u.Host, "/sys/class/net/"+dockerBridge); err != nil || !there {
			return err
		}
		argv = []string{"ip", "link", "delete", dockerBridge}
	default:
		return nil
	}
	_, err := u.Host.Run(ctx, nil, argv...)
	return err
}

// stopStarted ends what a timer has started. One that failed would stand in the list of failed units until the next boot.
func stopStarted(ctx context.Context, u Undoing, service string) error {
	now, err := host.ShowUnit(ctx, u.Host, service)
	switch {
	case err == nil && now.Up():
		_, err = u.Host.Run(ctx, nil, "systemctl", "stop", service)
	case err == nil && now.Active == "failed":
		_, err = u.Host.Run(ctx, nil, "systemctl", "reset-failed", service)
	}
	return err
}

const (
	podSlice     = "kubepods.slice"
	dockerBridge = "docker0"
)
