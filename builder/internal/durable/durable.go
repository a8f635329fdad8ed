// Package durable makes what was written outlast a power cut.
package durable

import (
	"errors"
	"os"
	"runtime"
)

// Dir makes the names in a directory durable: what was renamed into it is there after a power cut. Windows has no such call.
func Dir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
