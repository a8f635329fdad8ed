package installer

import (
	"context"
	"encoding/json"
	"fmt"
	"path"

	"offgrid/installer/host"
)

const kindDisable = "disable"

// DisableUnitStep stops, disables and masks a unit. One that is not installed is fine as it is. A unit whose file is an
// administrator's own, in /etc/systemd/system, cannot be masked and is only disabled.
type DisableUnitStep struct {
	Unit string // "firewalld.service"
	Why  string
}

// disableBefore is a DisableUnitStep's begin record.
type disableBefore struct {
	Active bool   `json:"active"`
	File   string `json:"file"` // UnitFileState
}

// ID implements Step.
func (s *DisableUnitStep) ID() string { return kindDisable + ":" + s.Unit }

// Line implements Step.
func (s *DisableUnitStep) Line() Line {
	return Line{Verb: "stop, disable and mask", Object: s.Unit, Why: s.Why}
}

// Check implements Step.
func (s *DisableUnitStep) Check(ctx context.Context, h host.Host) (Status, error) {
	u, err := host.ShowUnit(ctx, h, s.Unit)
	switch {
	case err != nil:
		return Status{}, err
	case !u.Known():
		return Status{State: Satisfied, Why: "it is not installed"}, nil
	case u.Up():
		return Status{State: Needed, Why: "it is " + u.Active}, nil
	case u.Load == "masked" || u.File == "masked":
		return Status{State: Satisfied}, nil
	case ownFile(u, s.Unit) && u.File != "enabled":
		return Status{State: Satisfied}, nil
	}
	return Status{State: Needed, Why: fmt.Sprintf("it is %s", u.File)}, nil
}

// Before implements Undoer.
func (s *DisableUnitStep) Before(ctx context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	u, err := host.ShowUnit(ctx, h, s.Unit)
	if err != nil {
		return nil, err
	}
	return json.Marshal(disableBefore{Active: u.Up(), File: u.File})
}

// Do implements Step.
func (s *DisableUnitStep) Do(ctx context.Context, h host.Host) error {
	u, err := host.ShowUnit(ctx, h, s.Unit)
	if err != nil {
		return err
	}
	if u.Up() {
		if _, err := h.Run(ctx, nil, "systemctl", "stop", s.Unit); err != nil {
			return err
		}
	}
	if u.File == "enabled" {
		if _, err := h.Run(ctx, nil, "systemctl", "disable", s.Unit); err != nil {
			return err
		}
	}
	if ownFile(u, s.Unit) {
		return nil
	}
	_, err = h.Run(ctx, nil, "systemctl", "mask", s.Unit)
	return err
}

// ownFile reports whether the unit's file lies where masking would have to put its link.
func ownFile(u host.Unit, unit string) bool {
	return u.Load != "masked" && u.Path == path.Join("/etc/systemd/system", unit)
}

// undoDisable makes the unit what it was.
func undoDisable(ctx context.Context, u Undoing) error {
	var b disableBefore
	if err := u.first(&b); err != nil {
		return err
	}
	run := func(verb string) error {
		_, err := u.Host.Run(ctx, nil, "systemctl", verb, u.Object)
		return err
	}
	now, err := host.ShowUnit(ctx, u.Host, u.Object)
	if err != nil || !now.Known() {
		return err
	}
	if now.File == "masked" && b.File != "masked" {
		if err := run("unmask"); err != nil {
			return err
		}
		if now, err = host.ShowUnit(ctx, u.Host, u.Object); err != nil {
			return err
		}
	}
	if b.File == "enabled" && now.File != "enabled" {
		if err := run("enable"); err != nil {
			return err
		}
	}
	if b.Active && !now.Up() {
		return run("start")
	}
	return nil
}
