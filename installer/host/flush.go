package host

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// copyBuffer is how much of a file Write holds in memory, bytes.
	copyBuffer = 1 << 20
	// flushFrom is the size of a piece of a file from which on the disk is told at once to write it, bytes. For less a disk's
	// own order of work is better.
	flushFrom = 1 << 20
)

// copyInto writes the content of r to a new file.
func copyInto(f *os.File, r io.Reader) error {
	w := &flushing{file: f}
	if p, ok := r.(Placer); ok {
		_, _, err := p.Place(w)
		return err
	}
	_, err := io.CopyBuffer(w, struct{ io.Reader }{r}, make([]byte, copyBuffer)) // whatever else r can
	return err
}

// flushing writes to a file and lets the disk begin at once, so that little is left to be waited for when the file is made
// durable.
type flushing struct {
	file *os.File
	end  int64 // of what Write wrote
}

// Write implements io.Writer.
func (w *flushing) Write(p []byte) (int, error) {
	n, err := w.WriteAt(p, w.end)
	w.end += int64(n)
	return n, err
}

// WriteAt implements io.WriterAt.
func (w *flushing) WriteAt(p []byte, offset int64) (int, error) {
	n, err := w.file.WriteAt(p, offset)
	if err == nil && n >= flushFrom {
		// Some file systems cannot; what goes wrong is found by the Sync at the end.
		_ = unix.SyncFileRange(int(w.file.Fd()), offset, int64(n), unix.SYNC_FILE_RANGE_WRITE)
	}
	return n, err
}
