package store

import (
	"errors"
	"os"
	"syscall"
)

const errorSharingViolation syscall.Errno = 32

// acquire takes the lock on the file name without waiting: the system refuses a second open of a file that is not shared,
// and lets go of it when the process ends, however it ends.
func acquire(name string, mode lockMode) (*fileLock, error) {
	path, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	if err := touch(name); err != nil {
		return nil, err
	}
	access, share := uint32(syscall.GENERIC_READ), uint32(syscall.FILE_SHARE_READ)
	if mode == exclusive {
		access, share = access|syscall.GENERIC_WRITE, 0
	}
	h, err := syscall.CreateFile(path, access, share, nil, syscall.OPEN_EXISTING, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, errorSharingViolation) {
		return nil, errLocked
	}
	if err != nil {
		return nil, err
	}
	return &fileLock{os.NewFile(uintptr(h), name)}, nil
}

// touch makes the lock file when it is not there yet.
func touch(name string) error {
	if _, err := os.Lstat(name); err == nil {
		return nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o644)
	if errors.Is(err, errorSharingViolation) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// syncDir does nothing: the system has no such call for directories.
func syncDir(string) error { return nil }
