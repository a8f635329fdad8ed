// Package host is the machine being installed. Every change that the installer makes goes through the Host interface, so
// that a directory with scripted commands can take the machine's place in tests.
package host

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"offgrid/bundle"
)

// Meta is what a file or directory gets besides its content.
type Meta struct {
	Mode  fs.FileMode // permission bits
	Owner string      // user name; "" means root
	Group string      // group name; "" means root
}

// Host is a machine. Names are absolute paths on it.
type Host interface {
	Lstat(name string) (fs.FileInfo, error)
	// Stat is Lstat of what a link points to.
	Stat(name string) (fs.FileInfo, error)
	// ReadDir returns the names in a directory, sorted.
	ReadDir(name string) ([]string, error)
	Readlink(name string) (string, error)
	Open(name string) (io.ReadCloser, error)
	// Owner returns the user and group names of name itself, not of what a link points to.
	Owner(name string) (user, group string, err error)
	// Write replaces name with the content of r: at once or not at all, and durable on return. Missing parents are an
	// error: the plan makes them. An r that is a Placer may be asked to place its content instead of being read.
	Write(name string, r io.Reader, meta Meta) error
	// Symlink makes name a link to target, replacing a link that is there.
	Symlink(target, name string) error
	// Link gives the regular file from a second name, replacing a file that is there. Both are on one file system: else the
	// error is syscall.EXDEV, and a copy does.
	Link(from, name string) error
	// Mkdir makes one directory, or gives an existing one the meta.
	Mkdir(name string, meta Meta) error
	// Remove removes a file, a link or an empty directory, and what a Write or Symlink of it left that was killed. What is
	// not there is not an error.
	Remove(name string) error
	// RemoveAll removes a directory with all that is below it, or a file or link. It follows no link and does not enter
	// another file system: what is mounted below is an error. What is not there is not an error.
	RemoveAll(name string) error
	// Run runs a command in the C locale and returns its standard output. Ends other than 0 are a *RunError. stdin may be nil;
	// it is read as fast as the command does, nothing of it is kept, and an error of it is the error of Run, wrapped.
	Run(ctx context.Context, stdin io.Reader, argv ...string) ([]byte, error)
}

// Placer is a reader that can write its content itself: each byte once, at its place, from several goroutines.
type Placer interface {
	io.Reader
	// Place writes all of the content to w, in any order, and returns its digest and its size in bytes. It is called instead
	// of Read. After an error w holds a part of the content.
	Place(w io.WriterAt) (bundle.Digest, int64, error)
}

// RunError is a command that ended with a code other than 0, or could not be started.
type RunError struct {
	Argv   []string
	Code   int // exit code; -1 when it did not start or was killed
	Stdout string
	Stderr string
	Err    error
}

func (e *RunError) Error() string {
	said := strings.TrimSpace(e.Stderr)
	if said == "" {
		said = strings.TrimSpace(e.Stdout)
	}
	if said == "" && e.Err != nil {
		said = e.Err.Error()
	}
	return fmt.Sprintf("%s: exit %d: %s", strings.Join(e.Argv, " "), e.Code, said)
}

func (e *RunError) Unwrap() error { return e.Err }
