package builder

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"offgrid/builder/internal/durable"
	"offgrid/bundle"
)

// tempMark stands between the name of a file and a random number while the file is being written: ".node.bundle.new-123".
const tempMark = ".new-"

// WriteFile replaces the file at path with what fill writes: all of it or nothing, durable on return, whatever the umask.
func WriteFile(path string, mode os.FileMode, fill func(io.Writer) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+tempMark+"*")
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	err = fill(f)
	if err == nil {
		err = errors.Join(f.Chmod(mode), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("writing %q: %w", path, err)
	}
	return durable.Dir(dir)
}

// removeTemp removes from dir what killed processes left of the file name, or with "" of any file. Nobody else may be
// writing it.
func removeTemp(dir, name string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "."+name) && strings.Contains(e.Name()[len(name):], tempMark) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

func writeBytes(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

// FileDigest returns the sha256 of a file's content.
func FileDigest(path string) (bundle.Digest, error) {
	d, _, err := digestFile(path)
	return d, err
}

func digestFile(path string) (d bundle.Digest, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return d, 0, fmt.Errorf("reading %q: %w", path, err)
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return d, 0, fmt.Errorf("reading %q: %w", path, err)
	}
	return bundle.Digest(h.Sum(nil)), size, nil
}

// readLimited reads a text file whole, if it is not larger than any such file can sensibly be.
func readLimited(path string) ([]byte, error) { return readAtMost(path, maxYAML) }

// readAtMost reads a file of at most limit bytes.
func readAtMost(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	n, err := b.ReadFrom(io.LimitReader(f, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", path, err)
	}
	return b.Bytes(), nil
}
