package host

import (
	"context"
	"fmt"
	"strings"
)

// Unit is what systemd says of one of its units.
type Unit struct {
	Load   string // "loaded", "not-found", "masked"
	Active string // "active", "activating", "inactive", "failed", ...
	Sub    string // "running", "auto-restart", ...
	File   string // UnitFileState: "enabled", "disabled", "static", "masked"; "" when there is no unit file
	Path   string // FragmentPath: the unit file
	Stale  bool   // the unit file is newer than what systemd has read
	Job    bool   // a job for it is queued or running
}

// Known reports whether there is such a unit, masked ones included.
func (u Unit) Known() bool { return u.Load != "" && u.Load != "not-found" }

// Up reports whether the unit runs, or is on its way: a Type=notify service that waits for its peers is "activating".
func (u Unit) Up() bool {
	switch u.Active {
	case "active", "activating", "reloading":
		return true
	}
	return false
}

// Enabled reports whether the unit comes back by itself after a boot, or has no [Install] section to say so.
func (u Unit) Enabled() bool {
	switch u.File {
	case "enabled", "static", "indirect", "generated":
		return true
	}
	return false
}

// ShowUnit asks systemd for a unit. One that does not exist is no error. systemd 219 has neither "show --value" nor
// "show -P", so the properties are cut at the "=".
func ShowUnit(ctx context.Context, h Host, name string) (Unit, error) {
	out, err := h.Run(ctx, nil, "systemctl", "show", "-p", "LoadState", "-p", "ActiveState", "-p", "SubState", "-p",
		"UnitFileState", "-p", "FragmentPath", "-p", "NeedDaemonReload", "-p", "Job", name)
	if err != nil {
		return Unit{}, fmt.Errorf("asking systemd for %s: %w", name, err)
	}
	var u Unit
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\n"), "=")
		switch key {
		case "LoadState":
			u.Load = value
		case "ActiveState":
			u.Active = value
		case "SubState":
			u.Sub = value
		case "UnitFileState":
			u.File = value
		case "FragmentPath":
			u.Path = value
		case "NeedDaemonReload":
			u.Stale = value == "yes"
		case "Job":
			u.Job = value != "" && value != "0"
		}
	}
	u.Path = ownPath(h, u.Path)
	return u, nil
}

// ownPath names a unit file by its own path: where /lib is a link to /usr/lib, some versions of systemd name it through the link.
func ownPath(h Host, path string) string {
	if !strings.HasPrefix(path, "/lib/") {
		return path
	}
	if target, err := h.Readlink("/lib"); err == nil && (target == "usr/lib" || target == "/usr/lib") {
		return "/usr" + path
	}
	return path
}
