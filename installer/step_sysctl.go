package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"offgrid/installer/host"
)

const kindSysctl = "sysctl"

// SysctlStep sets a kernel setting for the time until the next boot; a file in /etc/sysctl.d, placed by another step,
// sets it then.
type SysctlStep struct {
	Key   string // "net.ipv4.ip_forward"
	Value string
}

// sysctlBefore is a SysctlStep's begin record.
type sysctlBefore struct {
	Ours string `json:"ours"`
	Was  string `json:"was"`
}

// ID implements Step.
func (s *SysctlStep) ID() string { return kindSysctl + ":" + s.Key }

// Line implements Step.
func (s *SysctlStep) Line() Line { return Line{Verb: "set", Object: s.Key + " = " + s.Value} }

// Check implements Step.
func (s *SysctlStep) Check(_ context.Context, h host.Host) (Status, error) {
	now, err := readSysctl(h, s.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return Status{State: Needed, Why: "the kernel has no such setting yet: its module is not loaded"}, nil
	}
	if err != nil {
		return Status{}, err
	}
	if now != oneSpace(s.Value) {
		return Status{State: Needed, Why: "it is " + now}, nil
	}
	return Status{State: Satisfied}, nil
}

// Before implements Undoer.
func (s *SysctlStep) Before(_ context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	was, err := readSysctl(h, s.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("setting %s: the kernel has no such setting: its module is not loaded", s.Key)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(sysctlBefore{Ours: oneSpace(s.Value), Was: was})
}

// Do implements Step.
func (s *SysctlStep) Do(ctx context.Context, h host.Host) error {
	_, err := h.Run(ctx, nil, "sysctl", "-w", s.Key+"="+s.Value)
	return err
}

// undoSysctl sets the old value again, unless somebody set another one since.
func undoSysctl(ctx context.Context, u Undoing) error {
	var b sysctlBefore
	if err := u.first(&b); err != nil {
		return err
	}
	now, err := readSysctl(u.Host, u.Object)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // went with its module
	}
	if err != nil || now == b.Was {
		return err
	}
	ours := false
	for _, raw := range u.Begins {
		var each sysctlBefore
		if err := decodeBefore(raw, &each); err != nil {
			return err
		}
		ours = ours || now == each.Ours
	}
	if !ours {
		u.note("%s was set to %q since and stays so", u.Object, now)
		return nil
	}
	_, err = u.Host.Run(ctx, nil, "sysctl", "-w", u.Object+"="+b.Was)
	return err
}

// readSysctl returns a setting with its fields one space apart.
func readSysctl(h host.Host, key string) (string, error) {
	data, err := host.ReadFile(h, "/proc/sys/"+strings.ReplaceAll(key, ".", "/"), inlineMax)
	return oneSpace(string(data)), err
}

// oneSpace makes the white space between fields one space each: the kernel prints tabs.
func oneSpace(s string) string { return strings.Join(strings.Fields(s), " ") }
