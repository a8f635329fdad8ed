package recovery

import (
	"os"
	"syscall"
)

// fadviseDontNeed is POSIX_FADV_DONTNEED of <fcntl.h>, the same on amd64 and arm64.
const fadviseDontNeed = 4

// Forget asks the system to drop what it keeps in memory of n bytes of the file from off on, so that the next reading comes
// from the medium. n 0 is to the end. What was written and not synced is kept. It is advice: there is no error.
func Forget(f *os.File, off, n int64) {
	_, _, _ = syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), uintptr(off), uintptr(n), fadviseDontNeed, 0, 0)
}
