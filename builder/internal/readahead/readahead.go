// Package readahead lets one goroutine produce what another consumes, so that the two use two processors.
package readahead

import (
	"io"
	"sync"
)

const (
	blockSize = 256 << 10 // bytes
	blocks    = 4         // that exist: the one that is read from, and those ahead of it
)

// Reader reads what a goroutine of its own has read from the source. It is for one goroutine and holds 1 MiB.
type Reader struct {
	full    chan block
	free    chan []byte
	stop    chan struct{}
	stopped sync.Once
	ended   chan struct{}
	now     block
	rest    []byte
}

// block is what one round of reads gave.
type block struct {
	buf []byte
	n   int
	err error // after the n bytes
}

// New begins to read r. The source is the reader's own until Close returns.
func New(r io.Reader) *Reader {
	a := &Reader{full: make(chan block, blocks), free: make(chan []byte, blocks), stop: make(chan struct{}), ended: make(chan struct{})}
	for range blocks {
		a.free <- nil
	}
	go a.run(r)
	return a
}

func (a *Reader) run(r io.Reader) {
	defer close(a.ended)
	for err := error(nil); err == nil; {
		var buf []byte
		select {
		case buf = <-a.free:
		case <-a.stop:
			return
		}
		if buf == nil {
			buf = make([]byte, blockSize)
		}
		n := 0
		for n < len(buf) && err == nil {
			select {
			case <-a.stop:
				return
			default:
			}
			var k int
			k, err = r.Read(buf[n:])
			n += k
		}
		a.full <- block{buf, n, err} // has room: there are no more blocks than that
	}
}

// Read implements io.Reader. Bytes that come before an error of the source are handed out before it.
func (a *Reader) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.now.err != nil {
			return 0, a.now.err
		}
		if a.now.buf != nil {
			a.free <- a.now.buf
		}
		select {
		case a.now = <-a.full:
		case <-a.stop:
			return 0, io.ErrClosedPipe
		}
		a.rest = a.now.buf[:a.now.n]
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Close waits until the source is no longer read. What was read of it and not handed out is lost. It may be called twice
// and returns nil.
func (a *Reader) Close() error {
	a.stopped.Do(func() { close(a.stop) })
	<-a.ended
	return nil
}
