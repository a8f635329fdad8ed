package bundle

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

// This file is the only one that knows the codec. Its settings are part of what makes builds reproducible: change one and
// every stored digest changes, so Level.CodecID must change with it.

// Level is how hard content is compressed. Every level decodes at the same speed and in the same memory.
type Level int

const (
	// Default encodes about 200 MB/s for each processor.
	Default Level = iota
	// Best makes programs about a tenth smaller and takes ten times as long.
	Best
)

// CodecID names the codec with its settings. What caches encoded content must keep it beside the content's digest.
func (l Level) CodecID() string {
	if l == Best {
		return "zstd-klauspost-1.20.3-best-4MiB"
	}
	return "zstd-klauspost-1.20.3-default-4MiB"
}

// workers is how many goroutines encode when n were asked for, 0: one per processor. At Best two are all that memory is for.
func (l Level) workers(n int) int {
	if l == Best {
		return min(workerCount(n), 2)
	}
	return workerCount(n)
}

func (l Level) speed() zstd.EncoderLevel {
	if l == Best {
		return zstd.SpeedBestCompression
	}
	return zstd.SpeedDefault
}

// rawBelow is the content size up to which Encode stores content as it is: there is nothing to gain, and a person can
// read the blob.
const rawBelow = 4096

// maxWorkers bounds the goroutines that encode one blob or look at several. More of them need more memory and are not faster from
// the media that bundles lie on.
const maxWorkers = 4

// maxDecoders bounds those that decode one blob: an installer with three stays below 40 MiB, and they are faster than the
// disks of hosts.
const maxDecoders = 3

func decoderCount() int { return min(workerCount(0), maxDecoders) }

func workerCount(n int) int {
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	return min(n, maxWorkers)
}

func newEncoder(level Level, workers int) (*zstd.Encoder, error) {
	return zstd.NewWriter(nil,
		zstd.WithEncoderLevel(level.speed()),
		zstd.WithEncoderConcurrency(workers), // of EncodeAll; each call is one goroutine's work
		zstd.WithWindowSize(FrameSize),
		zstd.WithSingleSegment(true), // the frame header gives the content's size
		zstd.WithEncoderCRC(true),    // for people who use zstd -d
		zstd.WithLowerEncoderMem(true))
}

func newDecoder(workers int) (*zstd.Decoder, error) {
	return zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(workers),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(FrameSize),
		zstd.WithDecoderMaxWindow(FrameSize),
		zstd.WithDecodeAllCapLimit(true)) // never more than the slice that is handed in
}

// decodeFrame decodes one frame into dst, which has the length of its content.
func decodeFrame(dec *zstd.Decoder, stored, dst []byte) error {
	out, err := dec.DecodeAll(stored, dst[:0:len(dst)])
	if err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	if len(out) != len(dst) {
		return fmt.Errorf("decoding: %d bytes instead of %d", len(out), len(dst))
	}
	return nil
}

// EncodeRaw copies r to w and describes it: for content that is compressed already, such as RPMs.
func EncodeRaw(ctx context.Context, r io.Reader, w io.Writer) (Blob, error) {
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), contextReader{ctx.Err, r})
	if err != nil {
		return Blob{}, fmt.Errorf("encoding: %w", err)
	}
	return rawBlob(Digest(h.Sum(nil)), n)
}

func rawBlob(d Digest, size int64) (Blob, error) {
	if size > MaxBlobSize {
		return Blob{}, fmt.Errorf("encoding: %d bytes are more than the limit of %d", size, int64(MaxBlobSize))
	}
	return Blob{Digest: d, Size: size, Stored: d, StoredSize: size, Encoding: EncodingRaw}, nil
}

// readFull fills buf unless r ends; how much it read is the only sign of the end. io.ErrUnexpectedEOF is r's own and stays
// an error, which io.ReadFull would not tell apart.
func readFull(ctx context.Context, r io.Reader, buf []byte) (int, error) {
	n := 0
	for n < len(buf) {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		k, err := r.Read(buf[n:])
		n += k
		if err == io.EOF { //nolint:errorlint // io.Reader returns io.EOF itself
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
