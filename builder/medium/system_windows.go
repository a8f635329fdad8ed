package medium

import (
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
)

// Look asks the system about the file system of a directory.
func Look(dir string) (FileSystem, error) {
	f := FileSystem{Free: -1}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return f, err
	}
	path, err := windows.UTF16PtrFromString(absolute)
	if err != nil {
		return f, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, nil, nil); err != nil {
		return f, fmt.Errorf("looking at the file system of %s: %w", dir, err)
	}
	f.Free = int64(min(free, 1<<62))
	root, err := windows.UTF16PtrFromString(filepath.VolumeName(absolute) + `\`)
	if err != nil {
		return f, err
	}
	name := make([]uint16, windows.MAX_PATH)
	var flags uint32
	if windows.GetVolumeInformation(root, nil, 0, nil, nil, &flags, &name[0], uint32(len(name))) != nil {
		return f, nil // a share: nothing is known of it
	}
	f.Kind = strings.ToLower(windows.UTF16ToString(name))
	if f.Kind == "fat32" || f.Kind == "fat" {
		f.Kind = "vfat"
	}
	f.ReadOnly = flags&windows.FILE_READ_ONLY_VOLUME != 0
	return f.limits(), nil
}

// flush has nothing to do: each file was written out before.
func flush(string) error { return nil }

// sameDevice reports whether two directories are in one volume.
func sameDevice(a, b string) bool {
	x, errX := filepath.Abs(a)
	y, errY := filepath.Abs(b)
	return errX == nil && errY == nil && strings.EqualFold(filepath.VolumeName(x), filepath.VolumeName(y))
}
