package bundle

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxForeignWindow bounds the memory for zstd streams that others made: 8 MiB is what the format's specification asks
// every decoder to support.
const maxForeignWindow = 8 << 20

// Unzstd decodes a zstd stream that upstream made. A stream that wants a window of more than 8 MiB is refused.
func Unzstd(r io.Reader) (io.ReadCloser, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxForeignWindow))
	if err != nil {
		return nil, fmt.Errorf("reading zstd: %w", err)
	}
	return z.IOReadCloser(), nil
}
