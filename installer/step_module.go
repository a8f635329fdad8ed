package installer

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"strings"

	"offgrid/installer/host"
)

const kindModule = "module"

// ModuleStep loads a kernel module for the time until the next boot. One that is built into the kernel counts as loaded.
type ModuleStep struct {
	Name string // "br_netfilter"
}

// moduleBefore is a ModuleStep's begin record.
type moduleBefore struct{}

// ID implements Step.
func (s *ModuleStep) ID() string { return kindModule + ":" + s.Name }

// Line implements Step.
func (s *ModuleStep) Line() Line { return Line{Verb: "load", Object: "kernel module " + s.Name} }

// Check implements Step.
func (s *ModuleStep) Check(_ context.Context, h host.Host) (Status, error) {
	there, err := moduleThere(h, s.Name)
	if err != nil || !there {
		return Status{State: Needed, Why: "it is not loaded"}, err
	}
	return Status{State: Satisfied}, nil
}

// Before implements Undoer.
func (s *ModuleStep) Before(context.Context, host.Host, bool) (json.RawMessage, error) {
	return json.Marshal(moduleBefore{})
}

// Do implements Step.
func (s *ModuleStep) Do(ctx context.Context, h host.Host) error {
	_, err := h.Run(ctx, nil, "modprobe", s.Name)
	return err
}

// undoModule unloads the module when nothing uses it. One that is in use goes with the next boot.
func undoModule(ctx context.Context, u Undoing) error {
	loaded, err := host.Exists(u.Host, moduleDir(u.Object))
	if err != nil || !loaded {
		return err
	}
	if _, err := u.Host.Run(ctx, nil, "modprobe", "-r", u.Object); err != nil {
		u.note("kernel module %s stays loaded until the next boot: %v", u.Object, err)
	}
	return nil
}

// moduleDir is where the kernel shows a loaded module, and many of those built in.
func moduleDir(name string) string { return "/sys/module/" + strings.ReplaceAll(name, "-", "_") }

// moduleThere reports whether the kernel can do what a module is for.
func moduleThere(h host.Host, name string) (bool, error) {
	// What shows itself elsewhere: a module that was built in without parameters has no directory below /sys/module.
	signs := map[string]string{
		"br_netfilter": "/proc/sys/net/bridge",
		"nf_conntrack": "/proc/sys/net/netfilter/nf_conntrack_max",
		"ip_vs":        "/proc/net/ip_vs",
	}
	for _, sign := range []string{moduleDir(name), signs[name]} {
		if sign == "" {
			continue
		}
		if there, err := host.Exists(h, sign); err != nil || there {
			return there, err
		}
	}
	if name == "overlay" {
		systems, err := readOptional(h, "/proc/filesystems")
		if err != nil {
			return false, err
		}
		for line := range strings.Lines(systems) {
			if fields := strings.Fields(line); len(fields) > 0 && fields[len(fields)-1] == name {
				return true, nil
			}
		}
	}
	return builtIn(h, name)
}

// builtIn looks a module up in the list that comes with the running kernel.
func builtIn(h host.Host, name string) (bool, error) {
	release, err := readOptional(h, "/proc/sys/kernel/osrelease")
	if err != nil || release == "" {
		return false, err
	}
	list, err := readOptional(h, path.Join("/lib/modules", strings.TrimSpace(release), "modules.builtin"))
	if err != nil {
		return false, err
	}
	want := strings.ReplaceAll(name, "-", "_")
	for line := range strings.Lines(list) {
		file, _, _ := strings.Cut(path.Base(strings.TrimSpace(line)), ".ko")
		if strings.ReplaceAll(file, "-", "_") == want {
			return true, nil
		}
	}
	return false, nil
}

// readOptional returns the content of a file, "" when there is none.
func readOptional(h host.Host, name string) (string, error) {
	data, err := host.ReadFile(h, name, saveMax)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(data), err
}
