package hosttest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"offgrid/installer/host"
)

// Where systemd looks for unit files, what it makes of "enable" and of "mask".
const (
	unitAdmin  = "/etc/systemd/system/"
	unitVendor = "/usr/lib/systemd/system/"
	unitWants  = "/etc/systemd/system/multi-user.target.wants/"
)

// Unit makes a unit file with an [Install] section and gives the unit a state.
func (h *Host) Unit(t testing.TB, name string, enabled, active bool) {
	t.Helper()
	h.Put(t, unitVendor+name, "[Service]\nExecStart=/bin/"+name+"\n[Install]\nWantedBy=multi-user.target\n")
	if enabled {
		must(t, "enabling", h.link(unitVendor+name, unitWants+name))
	}
	if active {
		h.Put(t, state+"active/"+name, "active\n")
	}
}

// Boot is what a boot changes: kernel settings of the time are not restored, but units are started that are enabled.
func (h *Host) Boot(t testing.TB) {
	t.Helper()
	h.Revive()
	h.bootKernel(t)
	clear(h.loaded)
	must(t, "booting", os.RemoveAll(h.real(state+"active", true)))
	h.Put(t, state+"active/", "")
	names, err := h.ReadDir(unitWants)
	must(t, "booting", err)
	for _, name := range names {
		h.Put(t, state+"active/"+name, h.startState(name)+"\n")
	}
}

func (h *Host) startState(unit string) string {
	if s := h.Starting[unit]; s != "" {
		return s
	}
	return "active"
}

// unitFile returns the path and content of a unit's file.
func (h *Host) unitFile(name string) (file, content string) {
	for _, dir := range []string{unitAdmin, unitVendor} {
		if target, err := os.Readlink(h.real(dir+name, false)); err == nil && target == "/dev/null" {
			return "/dev/null", ""
		}
		if data, err := os.ReadFile(h.real(dir+name, true)); err == nil {
			return dir + name, string(data)
		}
	}
	return "", ""
}

// showUnit prints what "systemctl show" prints of the properties that host.ShowUnit asks for.
func (h *Host) showUnit(name string) string {
	load, file, stale := "loaded", "disabled", "no"
	at, content := h.unitFile(name)
	_, wanted := os.Lstat(h.real(unitWants+name, false))
	switch {
	case at == "/dev/null":
		load, file = "masked", "masked"
	case at == "":
		load, file = "not-found", ""
	case wanted == nil:
		file = "enabled"
	case !strings.Contains(content, "[Install]"):
		file = "static"
	}
	if read, ok := h.loaded[name]; ok && read != content {
		stale = "yes"
	} else if at != "" {
		h.loaded[name] = content
	}
	active := strings.TrimSpace(h.Get(state + "active/" + name))
	if active == "" {
		active = "inactive"
	}
	return fmt.Sprintf("LoadState=%s\nActiveState=%s\nSubState=\nUnitFileState=%s\nFragmentPath=%s\nNeedDaemonReload=%s\n",
		load, active, file, at, stale)
}

// systemctl is the fake. It knows what systemd 219 knows and the installer uses.
func (h *Host) systemctl(_ string, argv []string) (string, error) {
	verb, names := "", []string(nil)
	for i := 1; i < len(argv); i++ {
		switch a := argv[i]; {
		case a == "-p":
			i++
		case a == "--no-block" || a == "-q" || a == "--quiet" || a == "--no-pager":
		case strings.HasPrefix(a, "-"):
			return "", Exit(argv, 1, "", "systemctl: unrecognized option '"+a+"'")
		case verb == "":
			verb = a
		default:
			names = append(names, a)
		}
	}
	if verb == "daemon-reload" {
		return "", h.change(func() error { clear(h.loaded); return nil })
	}
	var out strings.Builder
	for _, name := range names {
		text, err := h.unitVerb(argv, verb, name)
		out.WriteString(text)
		if err != nil {
			return out.String(), err
		}
	}
	return out.String(), nil
}

// unitVerb does one verb to one unit.
func (h *Host) unitVerb(argv []string, verb, name string) (string, error) {
	if verb == "show" {
		return h.showUnit(name), nil
	}
	at, _ := h.unitFile(name)
	active := state + "active/" + name
	switch verb {
	case "is-active", "is-enabled":
		return h.isVerb(argv, verb, name)
	case "unmask":
		return "", h.change(func() error { return h.drop(unitAdmin + name) })
	case "mask":
		if at == unitAdmin+name {
			return "", Exit(argv, 1, "", "Failed to execute operation: File exists")
		}
		return "", h.change(func() error { return h.link("/dev/null", unitAdmin+name) })
	}
	if at == "" && !((verb == "stop" || verb == "reset-failed") && h.Get(active) != "") {
		return "", Exit(argv, 5, "", "Failed to "+verb+" "+name+": Unit "+name+" not loaded.")
	}
	switch verb {
	case "enable":
		return "", h.change(func() error { return h.link(at, unitWants+name) })
	case "disable":
		return "", h.change(func() error { return h.drop(unitWants + name) })
	case "start", "restart":
		if at == "/dev/null" {
			return "", Exit(argv, 1, "", "Failed to start "+name+": Unit is masked.")
		}
		return "", h.change(func() error { return h.put(active, []byte(h.startState(name)+"\n"), host.Meta{Mode: 0o644}) })
	case "stop":
		return "", h.change(func() error { return h.drop(active) })
	case "reset-failed":
		if strings.TrimSpace(h.Get(active)) != "failed" {
			return "", nil
		}
		return "", h.change(func() error { return h.drop(active) })
	}
	return "", Exit(argv, 1, "", "Unknown operation '"+verb+"'.")
}

// isVerb is is-active and is-enabled.
func (h *Host) isVerb(argv []string, verb, name string) (string, error) {
	key, good, code := "ActiveState=", "active", 3
	if verb == "is-enabled" {
		key, good, code = "UnitFileState=", "enabled", 1
	}
	for line := range strings.Lines(h.showUnit(name)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), key); ok {
			if value == good {
				return value + "\n", nil
			}
			return value + "\n", Exit(argv, code, value+"\n", "")
		}
	}
	return "", Exit(argv, code, "", "")
}

// drop removes a file that may not be there.
func (h *Host) drop(name string) error {
	if err := os.Remove(h.real(name, false)); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
