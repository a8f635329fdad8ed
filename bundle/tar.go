package bundle

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
)

const (
	tarBlock = 512
	tarEnd   = 2 * tarBlock // the end mark: two zero blocks
)

// tarHeader returns the ustar header of a member. It depends on name and size alone: owner and group are 0 and have no
// names, the time is 0, the mode is 0644. name has at most 100 bytes, size at most MaxBlobSize.
func tarHeader(name string, size int64) [tarBlock]byte {
	var h [tarBlock]byte
	copy(h[0:100], name)
	copy(h[100:], "0000644\x00")                  // mode
	copy(h[108:], "0000000\x00")                  // uid
	copy(h[116:], "0000000\x00")                  // gid
	copy(h[124:], fmt.Sprintf("%011o\x00", size)) // size
	copy(h[136:], "00000000000\x00")              // mtime
	copy(h[148:], "        ")                     // checksum: blank while it is summed
	copy(h[156:], "0")                            // a regular file
	copy(h[257:], "ustar\x0000")                  // magic and version
	copy(h[329:], "0000000\x00")                  // device numbers
	copy(h[337:], "0000000\x00")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

// parseTarHeader reads a header. It accepts only what tarHeader makes: any other byte is an error.
func parseTarHeader(h []byte) (name string, size int64, err error) {
	raw, _, _ := bytes.Cut(h[0:100], []byte{0})
	size, err = strconv.ParseInt(string(h[124:135]), 8, 64)
	if err != nil || size < 0 {
		return "", 0, fmt.Errorf("tar header: size field %q", h[124:136])
	}
	name = string(raw)
	want := tarHeader(name, size)
	if i := firstDifference(h, want[:]); i < tarBlock {
		return "", 0, fmt.Errorf("tar header of %q: byte %d is %#02x, want %#02x", name, i, h[i], want[i])
	}
	return name, size, nil
}

// tarPadding is the number of zero bytes after a member of the given size.
func tarPadding(size int64) int64 { return -size & (tarBlock - 1) }

// tarWriter writes members. Their content is checked against size and digest on its way.
type tarWriter struct {
	w io.Writer
	n int64 // bytes written
}

func (t *tarWriter) write(b []byte) error {
	n, err := t.w.Write(b)
	t.n += int64(n)
	return err
}

func (t *tarWriter) bytes(name string, content []byte) error {
	return t.stream(name, int64(len(content)), bytes.NewReader(content))
}

// stream writes one member from r, which must hold exactly size bytes.
func (t *tarWriter) stream(name string, size int64, r io.Reader) error {
	h := tarHeader(name, size)
	if err := t.write(h[:]); err != nil {
		return err
	}
	n, err := io.Copy(t.w, r)
	t.n += n
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("writing member %q: %d bytes instead of %d", name, n, size)
	}
	return t.write(make([]byte, tarPadding(size)))
}

func (t *tarWriter) end() error { return t.write(make([]byte, tarEnd)) }
