package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// DeltaCodecID names how differences are made, with all settings: what caches them keeps it beside the digests.
const DeltaCodecID = "zstd-klauspost-1.20.3-best-4MiB-raw-8MiB-stream"

// deltaWorkers is how many frames are encoded at the same time, on any machine: each takes about 90 MiB.
const deltaWorkers = 2

// deltaMaxWindow is what frames of a difference say that their window is: that of the base and a frame, up to a power of two. A
// decoder allocates none of it, since it decodes into a buffer of the frame's size.
const deltaMaxWindow = 4 * FrameSize

// BaseError says that a file is not the one that a difference was made from, although it was when it was looked at.
type BaseError struct {
	Program string
	Path    string // of the base file
	Err     error
}

func (e *BaseError) Error() string {
	return fmt.Sprintf("%s cannot be made from %s: %v; the file has changed since it was checked", e.Program, e.Path, e.Err)
}

func (e *BaseError) Unwrap() error { return e.Err }

// baseWindow is the part of a base file that frame k of the new content refers to: around the same place, in proportion.
func baseWindow(k int, size, baseSize int64) (from, length int64) {
	length = min(DeltaWindow, baseSize)
	middle := int64(k)*FrameSize + min(FrameSize, size-int64(k)*FrameSize)/2
	place := int64(float64(middle) / float64(size) * float64(baseSize))
	return min(max(0, place-length/2), baseSize-length), length
}

// EncodeDelta writes to w the difference between a base file and the size bytes of r, which is the new content. The result has
// no name, path and digest of the base; those are the caller's to fill in. The bytes do not depend on the number of processors.
func EncodeDelta(ctx context.Context, base io.ReaderAt, baseSize int64, r io.Reader, size int64, w io.Writer) (DeltaProgram, error) {
	p := DeltaProgram{Size: baseSize, Frames: []DeltaFrame{}}
	if size <= 0 || size > MaxBlobSize || baseSize <= 0 || baseSize > MaxBlobSize {
		return p, fmt.Errorf("encoding a difference: %d bytes from a base of %d", size, baseSize)
	}
	stored := sha256.New()
	total := int((size + FrameSize - 1) / FrameSize)
	var workers [deltaWorkers]deltaWorker
	defer func() {
		for i := range workers {
			workers[i].close()
		}
	}()
	for k := 0; k < total; k += deltaWorkers {
		busy := workers[:min(deltaWorkers, total-k)]
		var group sync.WaitGroup
		for i := range busy {
			j := &busy[i]
			j.in = grow(j.in, min(FrameSize, size-int64(k+i)*FrameSize))
			j.frame.From, j.frame.Length = baseWindow(k+i, size, baseSize)
			if n, err := readFull(ctx, r, j.in); err != nil || n < len(j.in) {
				return p, errors.Join(err, fmt.Errorf("encoding a difference: the content has fewer than %d bytes", size))
			}
			group.Go(func() { j.err = j.encode(base) })
		}
		group.Wait()
		for i := range busy {
			j := &busy[i]
			if j.err != nil {
				return p, fmt.Errorf("encoding a difference: %w", j.err)
			}
			p.Frames, p.StoredSize = append(p.Frames, j.frame), p.StoredSize+j.frame.Stored
			stored.Write(j.out.Bytes())
			if _, err := w.Write(j.out.Bytes()); err != nil {
				return p, fmt.Errorf("encoding a difference: %w", err)
			}
		}
	}
	if n, err := readFull(ctx, r, make([]byte, 1)); err != nil || n > 0 {
		return p, errors.Join(err, fmt.Errorf("encoding a difference: the content has more than %d bytes", size))
	}
	p.Stored = Digest(stored.Sum(nil))
	return p, nil
}

// deltaWorker encodes frames, one after the other, with the same encoder and buffers: its tables are most of the memory.
type deltaWorker struct {
	enc        *zstd.Encoder
	window, in []byte
	out        bytes.Buffer
	frame      DeltaFrame
	err        error
}

func (j *deltaWorker) close() {
	if j.enc != nil {
		j.enc.Close()
	}
}

func (j *deltaWorker) encode(base io.ReaderAt) (err error) {
	j.window = grow(j.window, j.frame.Length)
	if err := readWindow(base, j.window, j.frame.From); err != nil {
		return err
	}
	dictionary := zstd.WithEncoderDictRaw(0, j.window)
	if j.enc == nil {
		j.enc, err = zstd.NewWriter(nil,
			zstd.WithEncoderLevel(zstd.SpeedBestCompression), // lower levels gain much less from a dictionary: 0.37 of the size instead of 0.30
			zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(deltaMaxWindow),
			zstd.WithSingleSegment(true),
			zstd.WithEncoderCRC(true),
			zstd.WithLowerEncoderMem(true),
			dictionary)
	}
	j.out.Reset()
	if err == nil { // as a stream: EncodeAll would have tables of its own besides those that a new dictionary fills
		err = j.enc.ResetWithOptions(&j.out, dictionary)
	}
	if err == nil {
		j.enc.ResetContentSize(&j.out, int64(len(j.in)))
		_, err = j.enc.Write(j.in)
	}
	if err == nil {
		err = j.enc.Close()
	}
	if err != nil {
		return fmt.Errorf("internal error: zstd encoder: %w", err)
	}
	j.frame.Stored, j.frame.Digest = int64(j.out.Len()), DigestOf(j.out.Bytes())
	return nil
}

// grow returns a buffer of n bytes, the given one when it is large enough.
func grow(buf []byte, n int64) []byte {
	if int64(cap(buf)) < n {
		return make([]byte, n)
	}
	return buf[:n]
}

// readWindow reads a part of a base file.
func readWindow(base io.ReaderAt, window []byte, from int64) error {
	n, err := base.ReadAt(window, from)
	if n < len(window) {
		return fmt.Errorf("reading %d bytes of the base from byte %d on: %w", len(window), from, err)
	}
	return nil
}

// DeltaContent opens the content of a program of which the bundle brings a difference. base is the file that the delta index
// names, whose digest the caller has checked. Each frame of the difference is checked before it is decoded, and decodes to no more than its share; instead of
// io.EOF the reader ends with a *DamageError when the difference is damaged, and with a *BaseError when what it makes is not
// the content that the role index promises. It needs DeltaMemory bytes, is for one goroutine and must be closed, which closes base.
func (b *Bundle) DeltaContent(ctx context.Context, program string, base io.ReaderAt, closer io.Closer) (io.ReadCloser, error) {
	a, known := b.Artifact(program)
	p, ok := b.Delta.Program(program)
	if !ok || !known {
		return nil, fmt.Errorf("reading %s: the bundle brings no difference for it", program)
	}
	e, err := b.find(p.Stored, differenceName(program))
	if err != nil {
		return nil, err
	}
	return &deltaReader{ctx: ctx.Err, bundle: b, blob: a.Blob, program: p, extent: e, base: base, closer: closer,
		window: make([]byte, 0, min(DeltaWindow, p.Size)), out: make([]byte, 0, min(FrameSize, a.Blob.Size)), content: sha256.New()}, nil
}

// deltaReader decodes a difference, a frame at a time.
type deltaReader struct {
	ctx     func() error
	bundle  *Bundle
	blob    Blob // of the content
	program DeltaProgram
	extent  *extent
	base    io.ReaderAt
	closer  io.Closer
	content hash.Hash

	next        int   // frame
	offset      int64 // of it in the difference
	window, out []byte
	rest        []byte
	err         error
}

// Read implements io.Reader.
func (d *deltaReader) Read(p []byte) (int, error) {
	for len(d.rest) == 0 && d.err == nil {
		d.err = d.frame()
	}
	if len(d.rest) == 0 {
		return 0, d.err
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// frame decodes the next frame; at the end it compares the whole content.
func (d *deltaReader) frame() error {
	if err := d.ctx(); err != nil {
		return err
	}
	if d.next == len(d.program.Frames) {
		if got := Digest(d.content.Sum(nil)); got != d.blob.Digest {
			return d.baseError(&DigestError{Name: "the result", Want: d.blob.Digest, Got: got, Size: d.blob.Size})
		}
		return io.EOF
	}
	f := d.program.Frames[d.next]
	stored := d.bundle.codec.buffer(f.Stored)
	defer d.bundle.codec.put(stored)
	if n, err := d.extent.r.ReadAt(stored, d.extent.offset+d.offset); int64(n) != f.Stored {
		return d.damage(f, err)
	}
	if got := DigestOf(stored); got != f.Digest {
		return d.damage(f, &DigestError{Name: "frame", Want: f.Digest, Got: got, Size: f.Stored})
	}
	d.window = d.window[:f.Length]
	if err := readWindow(d.base, d.window, f.From); err != nil {
		return d.baseError(err)
	}
	dec, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(deltaMaxWindow),
		zstd.WithDecoderMaxWindow(deltaMaxWindow),
		zstd.WithDecodeAllCapLimit(true), // never more than the slice that is handed in
		zstd.WithDecoderDictRaw(0, d.window))
	if err != nil {
		return fmt.Errorf("internal error: zstd decoder: %w", err)
	}
	defer dec.Close()
	d.out = d.out[:min(d.blob.Size-int64(d.next)*FrameSize, FrameSize)]
	if err := decodeFrame(dec, stored, d.out); err != nil {
		return d.baseError(err) // the frame is what was written: what it refers to is not
	}
	d.content.Write(d.out)
	d.rest, d.next, d.offset = d.out, d.next+1, d.offset+f.Stored
	return nil
}

func (d *deltaReader) damage(f DeltaFrame, err error) error {
	return &DamageError{Path: d.bundle.Path, Artifact: differenceName(d.program.Name), Where: fmt.Sprintf("frame %d of %d", d.next+1, len(d.program.Frames)),
		Offset: d.extent.offset + d.offset, Length: f.Stored, Err: err}
}

func (d *deltaReader) baseError(err error) error {
	return &BaseError{Program: d.program.Name, Path: d.program.Path, Err: err}
}

// Close implements io.Closer.
func (d *deltaReader) Close() error {
	if d.err == nil {
		d.err, d.rest = errors.New("reading content: the reader is closed"), nil
	}
	err := d.extent.Close()
	if d.closer != nil {
		err = errors.Join(err, d.closer.Close())
	}
	return err
}
