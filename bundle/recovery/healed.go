package recovery

import "io"

// healed is what is read instead of the medium's bytes.
type healed struct {
	size, block int64
	scratch     *scratch
}

func (h *healed) close() error { return h.scratch.close() }

// readAt reads block by block: from the scratch what is there, else from raw.
func (h *healed) readAt(raw io.ReaderAt, b []byte, off int64) (n int, err error) {
	for n < len(b) && off < h.size {
		i := int(off / h.block)
		if !h.scratch.has(i) {
			want := h.run(i, off, int64(len(b)-n))
			m, err := raw.ReadAt(b[n:n+int(want)], off)
			n, off = n+m, off+int64(m)
			if int64(m) < want {
				return n, err
			}
			continue
		}
		at := off - int64(i)*h.block
		want := min(int64(len(b)-n), h.block-at, h.size-off)
		if err := h.scratch.read(i, at, b[n:n+int(want)]); err != nil {
			return n, err
		}
		n, off = n+int(want), off+want
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// run returns how many bytes from off on, at most limit, come from the medium in one go.
func (h *healed) run(i int, off, limit int64) int64 {
	end := min(off+limit, h.size)
	for i++; int64(i)*h.block < end; i++ {
		if h.scratch.has(i) {
			return int64(i)*h.block - off
		}
	}
	return end - off
}
