package main

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"offgrid/builder"
	"offgrid/builder/cluster"
	"offgrid/bundle"
)

// diffExitText is that of bundle diff, which has 1 to say that there are differences, as diff(1) does.
const diffExitText = `Exit codes:
  0    the bundles are the same
  1    they differ
  2    they could not be compared
  4    bundle damaged
  130  interrupted`

// Exit codes. They are told in the help of every command and in the README.
const (
	exitDone        = 0
	exitFailed      = 1
	exitRefused     = 2
	exitDamaged     = 4
	exitInterrupted = 130
)

const exitText = `Exit codes:
  0    done
  1    something failed: network, disk, upstream's bytes
  2    refused: usage, cluster file, catalogue, stale lock
  4    bundle damaged
  130  interrupted; run the same command again to go on`

// errDifferent is what bundle diff returns when there are differences: no failure, and nothing to print.
var errDifferent = errors.New("the bundles differ")

// errInterrupted is the cause when a signal ended the work.
var errInterrupted = errors.New("interrupted")

// usageError is a command line that cannot be meant.
type usageError struct {
	text    string
	command string // whose help tells more
}

func (e *usageError) Error() string { return e.text }

// refusal is input that must be changed before the command can work.
type refusal struct {
	err  error
	hint string
}

func (e *refusal) Error() string { return e.err.Error() }
func (e *refusal) Unwrap() error { return e.err }

// exitCode chooses the exit code; nothing else does.
func exitCode(err error) int {
	var (
		usage   *usageError
		refused *refusal
		damage  *bundle.DamageError
		format  *bundle.FormatError
		not     *bundle.NotABundleError
	)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &damage):
		return exitDamaged
	case errors.Is(err, errDifferent):
		return exitFailed
	case errors.As(err, &usage), errors.As(err, &refused), errors.As(err, &format), errors.As(err, &not), builder.Refused(err):
		return exitRefused
	}
	return exitFailed
}

// hints returns the one command, or the one thing, that helps.
func hints(err error) []string {
	var (
		usage    *usageError
		refused  *refusal
		problems *cluster.Problems
		damage   *bundle.DamageError
		format   *bundle.FormatError
		not      *bundle.NotABundleError
		stale    *builder.StaleError
	)
	switch {
	case errors.Is(err, errInterrupted):
		return []string{"run the same command again: it goes on where it stopped"}
	case errors.As(err, &usage):
		return []string{"`" + usage.command + " --help` shows how it is used"}
	case errors.As(err, &refused):
		return []string{refused.hint}
	case errors.As(err, &problems):
		return []string{"correct these lines of " + problems.Name + " and run the command again"}
	case errors.As(err, &stale):
		return []string{"run `bundle lock`, and look at what changed in bundle.lock before the next build"}
	case errors.As(err, &damage):
		return []string{"copy the file again from dist/ where it was built, and run `sha256sum -c SHA256SUMS` there"}
	case errors.As(err, &format):
		return []string{"use the bundle program of the release that made the file"}
	case errors.As(err, &not):
		return []string{"bundles are the files ROLE.bundle that `bundle build` writes to dist/"}
	}
	return diskHints(err)
}

func diskHints(err error) []string {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return []string{"make room there, or choose other places with --dir and --store, and run the same command again: it goes on where it stopped"}
	case errors.Is(err, fs.ErrPermission):
		return []string{"run the command as the user that owns the directory"}
	}
	return builder.Hints(err)
}
