package rpmrepo

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/ulikunitz/xz"
)

// maxXZDictionary is what xz -9 uses, 64 MiB. The library would allocate whatever the stream asks for, up to 4 GiB.
const maxXZDictionary = 64 << 20

func openXZ(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(12 + 2)
	if err != nil {
		return nil, fmt.Errorf("reading xz: %w", err)
	}
	// The stream header has 12 bytes; the first byte of a block header says how long it is.
	if head, err = b.Peek(12 + (int(head[12])+1)*4); err != nil {
		return nil, fmt.Errorf("reading xz: %w", err)
	}
	if err := checkXZBlock(head[12:]); err != nil {
		return nil, fmt.Errorf("reading xz: %w", err)
	}
	z, err := xz.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("reading xz: %w", err)
	}
	return z, nil
}

// checkXZBlock reads a block header (xz file format, 3.1) as far as the size of the LZMA2 dictionary.
func checkXZBlock(h []byte) error {
	bad := errors.New("its block header is not understood")
	flags, at := h[1], 2
	if flags&0x3f != 0 { // more than one filter, or reserved bits
		return bad
	}
	for _, present := range []bool{flags&0x40 != 0, flags&0x80 != 0} { // the optional sizes
		if !present {
			continue
		}
		for at < len(h) && h[at]&0x80 != 0 {
			at++
		}
		at++
	}
	if at+2 >= len(h) || h[at] != 0x21 || h[at+1] != 1 {
		return bad
	}
	bits := h[at+2]
	if bits > 40 {
		return bad
	}
	if size := int64(2|bits&1) << (bits/2 + 11); size > maxXZDictionary {
		return fmt.Errorf("its dictionary has %d bytes, the limit is %d", size, int64(maxXZDictionary))
	}
	return nil
}
