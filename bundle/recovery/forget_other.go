//go:build !linux

package recovery

import "os"

// Forget asks the system to drop what it keeps in memory of n bytes of the file from off on. This system has no such call.
func Forget(*os.File, int64, int64) {}
