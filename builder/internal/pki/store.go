package pki

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"offgrid/builder/internal/durable"
)

const (
	maxFile    = 64 << 10 // bytes; the biggest key is 2 KiB
	tempPrefix = ".new-"
)

// prepare makes the directory, ends a renewal that was cut off, and removes what a crash left half written an hour ago or
// earlier.
func prepare(dir string, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the directory of certificates: %w", err)
	}
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return fmt.Errorf("reading the directory of certificates: %w", err)
	case !info.IsDir():
		return fmt.Errorf("reading the directory of certificates: %q is not a directory", dir)
	case isOpen(info):
		return &Problems{Dir: dir, Items: []Problem{{"", "other users of this machine can read it; run: chmod -R go= " + dir}}}
	}
	if Locked(dir) {
		return &LockedError{dir}
	}
	if err := finish(dir); err != nil {
		return fmt.Errorf("bringing a renewal to its end that was cut off: %w", err)
	}
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() || !strings.HasPrefix(e.Name(), tempPrefix) {
			return err
		}
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > time.Hour {
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("removing what a crash left: %w", err)
			}
		}
		return filepath.SkipDir
	})
}

// isOpen reports whether somebody else may read it. Windows has no such bits.
func isOpen(info fs.FileInfo) bool { return runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 }

// readSecret reads a small regular file that only its owner may read.
func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing: %w", filepath.Base(path), os.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > maxFile:
		return nil, fmt.Errorf("%s is not a small file", filepath.Base(path))
	case isOpen(info):
		return nil, fmt.Errorf("other users of this machine can read %s (run: chmod -R go= on the directory)", filepath.Base(path))
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

func readPair(dir, cert, key string) (Pair, error) {
	certPEM, err := readSecret(filepath.Join(dir, cert))
	if err != nil {
		return Pair{}, err
	}
	keyPEM, err := readSecret(filepath.Join(dir, key))
	if err != nil {
		return Pair{}, err
	}
	return parsePair(certPEM, keyPEM)
}

// writeDir puts files into a new directory parent/name: all of them or none, whatever happens.
func writeDir(parent, name string, files map[string][]byte) error {
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return fmt.Errorf("writing %q: %w", filepath.Join(parent, name), err)
	}
	temp, err := os.MkdirTemp(parent, tempPrefix)
	if err != nil {
		return fmt.Errorf("writing %q: %w", filepath.Join(parent, name), err)
	}
	err = fill(temp, files)
	if err == nil {
		err = os.Rename(temp, filepath.Join(parent, name))
	}
	for _, dir := range []string{parent, filepath.Dir(parent)} { // the parent may be new as well
		if err == nil {
			err = durable.Dir(dir)
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %q: %w", filepath.Join(parent, name), err), os.RemoveAll(temp))
	}
	return nil
}

func fill(dir string, files map[string][]byte) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(files[name])
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return durable.Dir(dir)
}
