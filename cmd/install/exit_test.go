package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"offgrid/bundle"
	"offgrid/cmd/internal/console"
	"offgrid/installer"
)

func TestExitCodesAndHints(t *testing.T) {
	step := func(err error) error { return &installer.StepError{Step: "file:/etc/x", Err: err} }
	for _, c := range []struct {
		err  error
		code int
		hint string // a part of it
	}{
		{nil, 0, ""},
		{errors.New("something"), 1, ""},
		{step(errors.New("something")), 1, "it goes on at this step"},
		{step(&fs.PathError{Op: "write", Path: "/etc/x", Err: syscall.ENOSPC}), 1, "df -h shows it"},
		{&installer.StepError{Step: "packages:base", Err: errors.New("x")}, 1, "rpm changed nothing"},
		{fmt.Errorf("x: %w", fs.ErrPermission), 1, "run this as root"},
		{&kernelError{&installer.KernelOutcome{State: installer.KernelFailed, Running: "3.10"}}, 1, "this host runs kernel 3.10 as before"},
		{&kernelError{&installer.KernelOutcome{State: installer.KernelUnproven}}, 1, "put that right"},
		{&usageError{"no", "./install token"}, 2, "./install token --help"},
		{&installer.UsageError{Hint: "ls"}, 2, "ls"},
		{&installer.RefusedError{}, 2, "do what is said above"},
		{&bundle.FormatError{}, 2, "together with this bundle"},
		{&bundle.NotABundleError{}, 2, "ls -l *.bundle"},
		{&console.NoAnswerError{}, 2, "add --yes"},
		{errDeclined, 2, ""},
		{&rebootError{"a reboot is owed", []string{"systemctl reboot"}}, 3, "systemctl reboot"},
		{&bundle.DamageError{Path: "node.bundle", Err: bundle.ErrCutShort}, 4, "this host was not changed"},
		{step(&bundle.DamageError{Path: installer.StateDir + "/roles/node/x", Err: bundle.ErrCutShort}), 4, "kept on this host's disk is not whole"},
		{&installer.RefusedError{Class: installer.ClassHost}, 5, "do what is said above"},
		{step(&installer.ConflictError{}), 5, "uninstall takes back"},
		{&installer.LockedError{PID: "17"}, 5, "ps -f -p 17"},
		{&installer.DrainError{}, 5, "--drain-timeout 30m"},
		{&installer.RestoreRefusedError{}, 5, "in their order"},
		{errUnhealthy, 6, ""},
		{&installer.PutBackError{Role: "node", Cause: step(errors.New("x"))}, 6, "-u kubelet"},
		{&installer.PutBackError{Role: "etcd", Cause: errors.New("x"), Back: errors.New("y")}, 6, "clear what the put-back names"},
		{fmt.Errorf("%w: %w", step(errors.New("x")), context.Canceled), 130, "the step at work was finished"},
	} {
		got := judge(c.err)
		if got.code != c.code {
			t.Errorf("%T %v: exit code %d, want %d", c.err, c.err, got.code, c.code)
		}
		if hint := strings.Join(got.hints, "; "); !strings.Contains(hint, c.hint) || c.hint == "" && hint != "" {
			t.Errorf("%T %v: hint %q, want %q", c.err, c.err, hint, c.hint)
		}
	}
}
