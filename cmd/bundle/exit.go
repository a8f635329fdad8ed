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

// verdict is what an error means for whoever typed the command.
type verdict struct {
	code  int
	hints []string // the one command, or the one thing, that helps
}

// judge chooses the exit code and what helps; nothing else does.
func judge(err error) verdict {
	var (
		usage   *usageError
		refused *refusal
		damage  *bundle.DamageError
		format  *bundle.FormatError
		not     *bundle.NotABundleError
		strange *bundle.UntrustedError
	)
	switch {
	case err == nil:
		return verdict{code: exitDone}
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return verdict{exitInterrupted, []string{"run the same command again: it goes on where it stopped"}}
	case recoveryHints(err) != nil:
		return verdict{exitDamaged, recoveryHints(err)}
	case mediumHints(err) != nil:
		return verdict{mediumCode(err), mediumHints(err)}
	case errors.As(err, &damage):
		return verdict{exitDamaged, []string{"copy the file again from dist/ where it was built, and run `sha256sum -c SHA256SUMS` there"}}
	case errors.Is(err, errDifferent):
		return verdict{code: exitFailed}
	case errors.As(err, &usage):
		return verdict{exitRefused, []string{"`" + usage.command + " --help` shows how it is used"}}
	case errors.As(err, &refused):
		return verdict{exitRefused, []string{refused.hint}}
	case errors.As(err, &strange):
		return verdict{exitRefused, []string{"that key has not signed it; whose signature it has: `bundle inspect " + strange.Path + "`"}}
	case errors.As(err, &format):
		return verdict{exitRefused, []string{"use the bundle program of the release that made the file"}}
	case errors.As(err, &not):
		return verdict{exitRefused, []string{"bundles are the files ROLE.bundle that `bundle build` writes to dist/"}}
	case builder.Refused(err):
		return verdict{exitRefused, builderHints(err)}
	}
	return verdict{exitFailed, builderHints(err)}
}

func builderHints(err error) []string {
	var (
		problems *cluster.Problems
		stale    *builder.StaleError
	)
	switch {
	case errors.As(err, &problems):
		return []string{"correct these lines of " + problems.Name + " and run the command again"}
	case errors.As(err, &stale):
		return []string{"run `bundle lock`, and look at what changed in bundle.lock before the next build"}
	case errors.Is(err, syscall.ENOSPC):
		return []string{"make room there, or choose other places with --dir and --store, and run the same command again: it goes on where it stopped"}
	case errors.Is(err, syscall.EROFS):
		return []string{"that file system is mounted read-only: choose other places, with --dir and --store where the command has them"}
	case errors.Is(err, syscall.ENOTDIR):
		return []string{"a file stands where a directory is wanted: ls -ld " + blocked(err)}
	case errors.Is(err, fs.ErrPermission):
		return []string{"run the command as the user that owns the directory"}
	}
	return builder.Hints(err)
}

// blocked is the path that a file stands in the way of.
func blocked(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return quoted(path.Path)
	}
	return "DIR"
}
