package installer

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// What is carried of a file that holds program and bundle is the program alone: the bundle's blobs are carried by themselves.

// programSize is how many bytes of a file of this machine are the program, when a bundle was appended to it; 0: all.
func programSize(executable string) (int64, error) {
	a, found, err := bundle.FileAppended(executable)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // a program that was removed while it runs: carrying says so, if it has to
	}
	if err != nil || !found {
		return 0, err
	}
	return a.Offset, nil
}

// installerInPlace reports whether the carried installer is the running one.
func (s *CarryStep) installerInPlace(h host.Host) (bool, error) {
	if s.Executable == InstallPath() {
		return true, nil
	}
	now, err := h.Lstat(InstallPath())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	size := s.Program
	if size == 0 {
		want, err := h.Stat(s.Executable)
		if err != nil {
			return false, err
		}
		size = want.Size()
	}
	if now.Size() != size {
		return false, nil
	}
	a, _, err := host.DigestFile(h, InstallPath())
	if err != nil {
		return false, err
	}
	r, err := s.program(h)
	if err != nil {
		return false, err
	}
	defer r.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, r); err != nil {
		return false, fmt.Errorf("hashing %s: %w", s.Executable, err)
	}
	return a == bundle.Digest(hash.Sum(nil)), nil
}

// program opens the running installer, without what was appended to it.
func (s *CarryStep) program(h host.Host) (io.ReadCloser, error) {
	r, err := h.Open(s.Executable)
	if err != nil || s.Program == 0 {
		return r, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, s.Program), r}, nil
}

// copyInstaller copies the running installer to where it stays.
func (s *CarryStep) copyInstaller(h host.Host) error {
	r, err := s.program(h)
	if err != nil {
		return err
	}
	defer r.Close()
	return h.Write(InstallPath(), r, host.Meta{Mode: 0o700})
}
