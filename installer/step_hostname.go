package installer

import (
	"context"
	"encoding/json"
	"strings"

	"offgrid/installer/host"
)

const kindHostname = "hostname"

// Where a host's name is kept, and where the kernel shows the one in force.
const (
	hostnameFile   = "/etc/hostname"
	kernelHostname = "/proc/sys/kernel/hostname"
)

// HostnameStep gives the host its name.
type HostnameStep struct {
	Name string // lower case
}

// hostnameBefore is a HostnameStep's begin record.
type hostnameBefore struct {
	Ours   string   `json:"ours"`
	Static snapshot `json:"static"` // /etc/hostname
	Kernel string   `json:"kernel"`
}

// ID implements Step.
func (s *HostnameStep) ID() string { return kindHostname + ":" + s.Name }

// Line implements Step.
func (s *HostnameStep) Line() Line { return Line{Verb: "name", Object: "this host " + s.Name} }

// Check implements Step. It reads the files: what answers for hostnamectl need not run.
func (s *HostnameStep) Check(_ context.Context, h host.Host) (Status, error) {
	static, kernel, err := hostnames(h)
	switch {
	case err != nil:
		return Status{}, err
	case static != s.Name:
		return Status{State: Needed, Why: "it is " + orNone(static)}, nil
	case kernel != s.Name:
		return Status{State: Needed, Why: "the kernel calls it " + orNone(kernel)}, nil
	}
	return Status{State: Satisfied}, nil
}

// Before implements Undoer.
func (s *HostnameStep) Before(_ context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	b := hostnameBefore{Ours: s.Name}
	var err error
	if b.Static, err = takeSnapshot(h, hostnameFile, false); err != nil {
		return nil, err
	}
	if _, b.Kernel, err = hostnames(h); err != nil {
		return nil, err
	}
	return json.Marshal(b)
}

// Do implements Step. With --static alone the pretty name, and so /etc/machine-info, stays as it is; the name in force
// follows the static one.
func (s *HostnameStep) Do(ctx context.Context, h host.Host) error {
	return setHostname(ctx, h, s.Name)
}

// setHostname sets the static name and makes the kernel follow where it did not by itself.
func setHostname(ctx context.Context, h host.Host, name string) error {
	if _, err := h.Run(ctx, nil, "hostnamectl", "--static", "set-hostname", name); err != nil {
		return err
	}
	_, kernel, err := hostnames(h)
	if err != nil || kernel == name || name == "" {
		return err
	}
	_, err = h.Run(ctx, nil, "hostnamectl", "--transient", "set-hostname", name)
	return err
}

// hostnames returns the static name and the kernel's.
func hostnames(h host.Host) (static, kernel string, err error) {
	if static, err = readOptional(h, hostnameFile); err != nil {
		return "", "", err
	}
	kernel, err = readOptional(h, kernelHostname)
	return strings.TrimSpace(static), strings.TrimSpace(kernel), err
}

// orNone is a name for messages.
func orNone(name string) string {
	if name == "" {
		return "without a name"
	}
	return name
}

// undoHostname gives the old name back, and then the file its old bytes.
func undoHostname(ctx context.Context, u Undoing) error {
	var b hostnameBefore
	if err := u.first(&b); err != nil {
		return err
	}
	static, kernel, err := hostnames(u.Host)
	if err != nil {
		return err
	}
	was, err := b.Static.bytes(u.Host)
	if err != nil {
		return err
	}
	old := strings.TrimSpace(string(was))
	if static != b.Ours && static != old {
		u.note("the host was named %s since and keeps that name", static)
		return nil
	}
	if old != "" && static != old {
		if err := setHostname(ctx, u.Host, old); err != nil {
			return err
		}
		kernel = old
	}
	if kernel != b.Kernel && b.Kernel != "" {
		if _, err := u.Host.Run(ctx, nil, "hostnamectl", "--transient", "set-hostname", b.Kernel); err != nil {
			return err
		}
	}
	now, err := takeSnapshot(u.Host, hostnameFile, false)
	if err != nil || now.Kind == b.Static.Kind && now.Digest == b.Static.Digest {
		return err
	}
	return b.Static.restore(u.Host, hostnameFile)
}
