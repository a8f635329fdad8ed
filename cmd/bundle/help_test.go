package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"offgrid/builder"
	"offgrid/bundle"
	"offgrid/cmd/internal/console"
)

func TestEveryCommandTellsItsExitCodesAndAnExample(t *testing.T) {
	var out bytes.Buffer
	a := &app{console: console.New(console.Options{Program: "bundle", In: &out, Out: &out, Err: &out}), out: &out}
	var seen []string
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		seen = append(seen, cmd.CommandPath())
		if !strings.Contains(cmd.Long, exitText) && !strings.Contains(cmd.Long, diffExitText) || cmd.Example == "" || cmd.Short == "" {
			t.Errorf("%s: its help lacks the exit codes, an example or a summary", cmd.CommandPath())
		}
		out.Reset()
		if err := cmd.Help(); err != nil {
			t.Error(err)
		}
		for line := range strings.Lines(out.String()) {
			if len(line) > 81 {
				t.Errorf("%s: a line of its help is %d characters long: %s", cmd.CommandPath(), len(line)-1, line)
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	root := newRoot(a)
	root.SetOut(&out)
	walk(root)
	want := "bundle, bundle build, bundle diff, bundle init, bundle inspect, bundle inventory, bundle keygen, bundle list, bundle lock, bundle pki, bundle pki lock, bundle pki renew, bundle pki rotate, bundle pki show, bundle pki unlock, bundle pull, bundle push, bundle repair, bundle repo, bundle sbom, " +
		"bundle store, bundle store export, bundle store gc, bundle store import, bundle verify, bundle version, bundle write"
	if got := strings.Join(seen, ", "); got != want {
		t.Errorf("commands\n%s, want\n%s", got, want)
	}
}

func TestExitCodesAndHints(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		hint string
	}{
		{nil, 0, ""},
		{errors.New("something"), 1, ""},
		{&usageError{"which file?", "bundle verify"}, 2, "`bundle verify --help` shows how it is used"},
		{fmt.Errorf("building: %w", &builder.StaleError{Changed: []string{"the catalogue has changed"}}), 2, "run `bundle lock`, and look at what changed in bundle.lock before the next build"},
		{&builder.BusyError{Dir: "."}, 2, "wait until the other command is through, and run this one again"},
		{&bundle.NotABundleError{Path: "x", Why: "it is empty"}, 2, "bundles are the files ROLE.bundle that `bundle build` writes to dist/"},
		{fmt.Errorf("opening: %w", &bundle.DamageError{Path: "x", Artifact: "kubelet", Err: bundle.ErrCutShort}), 4, "copy the file again from dist/ where it was built, and run `sha256sum -c SHA256SUMS` there"},
		{&fs.PathError{Op: "write", Path: "dist/node.bundle", Err: syscall.ENOSPC}, 1, "make room there, or choose other places with --dir and --store, and run the same command again: it goes on where it stopped"},
		{fmt.Errorf("making store: %w", &fs.PathError{Op: "mkdir", Path: "/mnt/store", Err: syscall.EROFS}), 1, "that file system is mounted read-only: choose other places, with --dir and --store where the command has them"},
		{fmt.Errorf("making dist: %w", &fs.PathError{Op: "mkdir", Path: "my site/dist", Err: syscall.ENOTDIR}), 1, "a file stands where a directory is wanted: ls -ld 'my site/dist'"},
		{fmt.Errorf("%w: %w", errInterrupted, errors.New("context canceled")), 130, "run the same command again: it goes on where it stopped"},
	} {
		got := judge(c.err)
		if got.code != c.code {
			t.Errorf("%v: exit code %d, want %d", c.err, got.code, c.code)
		}
		if hint := strings.Join(got.hints, "; "); hint != c.hint {
			t.Errorf("%v: hint %q, want %q", c.err, hint, c.hint)
		}
	}
}
