package bundle

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

// This file is the only one that knows the codec. Its settings are part of what makes builds reproducible: change one and
// every stored digest changes, so CodecID must change with it.

// CodecID names the codec with its settings. What caches encoded content must keep it beside the content's digest.
const CodecID = "zstd-klauspost-1.20.3-default-4MiB"

// rawBelow is the content size up to which Encode stores content as it is: there is nothing to gain, and a person can
// read the blob.
const rawBelow = 4096

// maxWorkers bounds the goroutines that encode or decode one blob. More of them need more memory and are not faster from
// the media that bundles lie on.
const maxWorkers = 4

func workerCount(n int) int {
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	return min(n, maxWorkers)
}

func newEncoder(workers int) (*zstd.Encoder, error) {
	return zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedDefault),
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

// Encode writes the content of r to w as it will be stored and describes both. Content of FrameSize and more becomes
// independent zstd frames, made by as many goroutines as workers says (0: one per processor, at most 4); the bytes do not
// depend on their number. Content of up to 4 KiB, or of up to FrameSize that does not shrink, is stored as it is.
func Encode(ctx context.Context, r io.Reader, w io.Writer, workers int) (Blob, error) {
	first := make([]byte, FrameSize)
	n, err := readFull(ctx, r, first)
	if err != nil {
		return Blob{}, fmt.Errorf("encoding: %w", err)
	}
	workers = workerCount(workers)
	if n < FrameSize {
		workers = 1
	}
	enc, err := newEncoder(workers)
	if err != nil {
		return Blob{}, fmt.Errorf("internal error: zstd encoder: %w", err)
	}
	defer enc.Close()
	if n < FrameSize {
		return encodeSmall(enc, first[:n], w)
	}
	e := &encoding{enc: enc, w: w, content: sha256.New(), stored: sha256.New()}
	if err := e.run(ctx, r, first, workers); err != nil {
		return Blob{}, fmt.Errorf("encoding: %w", err)
	}
	return e.finish()
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

// encodeSmall stores content of less than one frame.
func encodeSmall(enc *zstd.Encoder, content []byte, w io.Writer) (Blob, error) {
	digest, size := DigestOf(content), int64(len(content))
	frame := content
	if size > rawBelow {
		frame = enc.EncodeAll(content, make([]byte, 0, len(content)))
	}
	b := Blob{Digest: digest, Size: size, Stored: digest, StoredSize: size, Encoding: EncodingRaw}
	if len(frame) < len(content) {
		b.Stored, b.StoredSize, b.Encoding = DigestOf(frame), int64(len(frame)), EncodingZstd
		b.Frames = []Frame{{Stored: b.StoredSize, Digest: b.Stored}}
	} else {
		frame = content
	}
	if _, err := w.Write(frame); err != nil {
		return Blob{}, fmt.Errorf("encoding: %w", err)
	}
	return b, nil
}

// encoding is one run of Encode. A slot is a buffer pair; there are workers+1 of them, which bounds the memory.
type encoding struct {
	enc     *zstd.Encoder
	w       io.Writer
	content hash.Hash
	stored  hash.Hash
	blob    Blob
}

type encodeSlot struct {
	in   []byte // a frame's content
	n    int
	out  []byte
	sum  Digest
	done chan struct{} // out and sum are there
}

// run reads frames, gives each to a goroutine of its own and writes the results in order.
func (e *encoding) run(ctx context.Context, r io.Reader, first []byte, workers int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	free := make(chan *encodeSlot, workers+1)
	for range workers {
		free <- &encodeSlot{}
	}
	order := make(chan *encodeSlot, workers+1)
	read := make(chan error, 1)
	go func() {
		defer close(order)
		read <- e.readFrames(ctx, r, first, free, order)
	}()
	var failed error
	for s := range order {
		<-s.done
		if failed == nil {
			failed = e.writeFrame(s)
		}
		if failed != nil {
			cancel()
		}
		free <- s
	}
	if failed != nil {
		<-read
		return failed
	}
	return <-read
}

func (e *encoding) readFrames(ctx context.Context, r io.Reader, first []byte, free, order chan *encodeSlot) error {
	s := &encodeSlot{in: first} // read already
	for n := len(first); n > 0; {
		e.content.Write(s.in[:n])
		e.blob.Size += int64(n)
		if e.blob.Size > MaxBlobSize {
			return fmt.Errorf("content is larger than the limit of %d bytes", int64(MaxBlobSize))
		}
		s.n, s.done = n, make(chan struct{})
		order <- s
		go s.encode(e.enc)
		select {
		case s = <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		if s.in == nil {
			s.in = make([]byte, FrameSize)
		}
		var err error
		if n, err = readFull(ctx, r, s.in); err != nil {
			return err
		}
	}
	return nil
}

func (s *encodeSlot) encode(enc *zstd.Encoder) {
	s.out = enc.EncodeAll(s.in[:s.n], s.out[:0])
	s.sum = DigestOf(s.out)
	close(s.done)
}

func (e *encoding) writeFrame(s *encodeSlot) error {
	e.stored.Write(s.out)
	e.blob.StoredSize += int64(len(s.out))
	e.blob.Frames = append(e.blob.Frames, Frame{Stored: int64(len(s.out)), Digest: s.sum})
	_, err := e.w.Write(s.out)
	return err
}

func (e *encoding) finish() (Blob, error) {
	if e.blob.StoredSize > MaxBlobSize {
		return Blob{}, fmt.Errorf("encoding: %d stored bytes are more than the limit of %d", e.blob.StoredSize, int64(MaxBlobSize))
	}
	e.blob.Digest, e.blob.Stored = Digest(e.content.Sum(nil)), Digest(e.stored.Sum(nil))
	e.blob.Encoding = EncodingZstd
	return e.blob, nil
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
