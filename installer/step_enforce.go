package installer

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os/exec"
	"strings"

	"offgrid/installer/host"
)

const kindEnforce = "enforce"

// EnforceStep makes SELinux permissive for the time until the next boot.
type EnforceStep struct{}

// enforceBefore is an EnforceStep's begin record.
type enforceBefore struct{}

// ID implements Step.
func (s *EnforceStep) ID() string { return kindEnforce + ":selinux" }

// Line implements Step.
func (s *EnforceStep) Line() Line {
	return Line{Verb: "make permissive", Object: "SELinux, until the next boot"}
}

// Check implements Step.
func (s *EnforceStep) Check(ctx context.Context, h host.Host) (Status, error) {
	mode, err := selinuxMode(ctx, h)
	if err != nil || mode != "Enforcing" {
		return Status{State: Satisfied, Why: "it is " + strings.ToLower(mode)}, err
	}
	return Status{State: Needed, Why: "it is enforcing"}, nil
}

// Before implements Undoer.
func (s *EnforceStep) Before(context.Context, host.Host, bool) (json.RawMessage, error) {
	return json.Marshal(enforceBefore{})
}

// Do implements Step.
func (s *EnforceStep) Do(ctx context.Context, h host.Host) error {
	_, err := h.Run(ctx, nil, "setenforce", "0")
	return err
}

// selinuxMode returns what getenforce says: "Enforcing", "Permissive" or "Disabled", which a host without it is, too.
func selinuxMode(ctx context.Context, h host.Host) (string, error) {
	out, err := h.Run(ctx, nil, "getenforce")
	if notInstalled(err) {
		return "Disabled", nil
	}
	return strings.TrimSpace(string(out)), err
}

// notInstalled reports whether a command could not be started because the host does not have it.
func notInstalled(err error) bool {
	return errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist)
}

// undoEnforce makes it enforcing again. After a boot with SELinux off there is nothing to enforce.
func undoEnforce(ctx context.Context, u Undoing) error {
	mode, err := selinuxMode(ctx, u.Host)
	if err != nil || mode != "Permissive" {
		return err
	}
	_, err = u.Host.Run(ctx, nil, "setenforce", "1")
	return err
}
