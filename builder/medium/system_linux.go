package medium

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// kinds are the numbers of <linux/magic.h> and of the file systems that are not in it.
func kinds() map[int64]string {
	return map[int64]string{
		unix.MSDOS_SUPER_MAGIC: "vfat", unix.EXFAT_SUPER_MAGIC: "exfat", unix.EXT4_SUPER_MAGIC: "ext4", unix.ISOFS_SUPER_MAGIC: "iso9660",
		unix.UDF_SUPER_MAGIC: "udf", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs",
		unix.FUSE_SUPER_MAGIC: "fuse", unix.NFS_SUPER_MAGIC: "nfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.F2FS_SUPER_MAGIC: "f2fs",
		0x5346544e: "ntfs", 0x7366746e: "ntfs3", 0x482b: "hfsplus",
	}
}

// Look asks the system about the file system of a directory.
func Look(dir string) (FileSystem, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return FileSystem{}, fmt.Errorf("looking at the file system of %s: %w", dir, err)
	}
	free := int64(st.Bavail) * int64(st.Bsize)
	return FileSystem{Kind: kinds()[int64(st.Type)], ReadOnly: st.Flags&unix.ST_RDONLY != 0, Free: free}.limits(), nil
}

// flush waits until everything of the file system of dir is on the medium.
func flush(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("writing out the file system of %s: %w", dir, err)
	}
	return nil
}

// sameDevice reports whether two directories are in one file system.
func sameDevice(a, b string) bool {
	var x, y unix.Stat_t
	return unix.Stat(a, &x) == nil && unix.Stat(b, &y) == nil && x.Dev == y.Dev
}
