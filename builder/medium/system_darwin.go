package medium

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Look asks the system about the file system of a directory.
func Look(dir string) (FileSystem, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return FileSystem{}, fmt.Errorf("looking at the file system of %s: %w", dir, err)
	}
	kind := unix.ByteSliceToString(st.Fstypename[:])
	if kind == "msdos" {
		kind = "vfat"
	}
	return FileSystem{Kind: kind, ReadOnly: st.Flags&unix.MNT_RDONLY != 0, Free: int64(st.Bavail) * int64(st.Bsize)}.limits(), nil
}

// flush asks the system to write everything out. Each file was written out before, which here includes the drive's cache.
func flush(string) error {
	unix.Sync()
	return nil
}

// sameDevice reports whether two directories are in one file system.
func sameDevice(a, b string) bool {
	var x, y unix.Stat_t
	return unix.Stat(a, &x) == nil && unix.Stat(b, &y) == nil && x.Dev == y.Dev
}
