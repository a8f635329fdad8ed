package bundle

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Encoder encodes contents, also several at the same time. They share its goroutines and its buffers, so that its memory
// does not depend on how many there are: about 20 MiB for each worker at level Default, 60 MiB at Best. It needs no end.
type Encoder struct {
	enc   *zstd.Encoder
	slots chan *encodeSlot // that are free
}

// encodeSlot is a pair of buffers for one frame.
type encodeSlot struct {
	in   []byte // the frame's content
	n    int
	out  []byte
	sum  Digest
	done chan struct{} // out and sum are there
}

// NewEncoder makes an encoder with as many goroutines as workers says; 0: one per processor, at most 4.
func NewEncoder(level Level, workers int) (*Encoder, error) {
	workers = level.workers(workers)
	enc, err := newEncoder(level, workers)
	if err != nil {
		return nil, fmt.Errorf("internal error: zstd encoder: %w", err)
	}
	// One is filled and one is written while the workers have theirs.
	x := &Encoder{enc: enc, slots: make(chan *encodeSlot, workers+2)}
	for range cap(x.slots) {
		x.slots <- &encodeSlot{}
	}
	return x, nil
}

// slot waits for a free slot.
func (x *Encoder) slot(ctx context.Context) (*encodeSlot, error) {
	select {
	case s := <-x.slots:
		if s.in == nil {
			s.in = make([]byte, FrameSize)
		}
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Encode is the Encode of one content by an encoder of its own, of level Default.
func Encode(ctx context.Context, r io.Reader, w io.Writer, workers int) (Blob, error) {
	x, err := NewEncoder(Default, workers)
	if err != nil {
		return Blob{}, err
	}
	return x.Encode(ctx, r, w)
}

// Encode writes the content of r to w as it will be stored and describes both. Content of FrameSize and more becomes
// independent zstd frames; the bytes do not depend on the number of workers. Content of up to 4 KiB, or of up to FrameSize
// that does not shrink, is stored as it is. After the end of r, or an error of it, r is not read again.
func (x *Encoder) Encode(ctx context.Context, r io.Reader, w io.Writer) (Blob, error) {
	s, err := x.slot(ctx)
	if err != nil {
		return Blob{}, fmt.Errorf("encoding: %w", err)
	}
	if s.n, err = readFull(ctx, r, s.in); err != nil {
		x.slots <- s
		return Blob{}, fmt.Errorf("encoding: %w", err)
	}
	if s.n < FrameSize {
		defer func() { x.slots <- s }()
		return x.encodeSmall(s, w)
	}
	e := &encoding{Encoder: x, w: w, content: sha256.New(), stored: sha256.New()}
	if err := e.run(ctx, r, s); err != nil {
		return Blob{}, fmt.Errorf("encoding: %w", err)
	}
	return e.finish()
}

// encodeSmall stores content of less than one frame.
func (x *Encoder) encodeSmall(s *encodeSlot, w io.Writer) (Blob, error) {
	content := s.in[:s.n]
	digest, size := DigestOf(content), int64(s.n)
	frame := content
	if size > rawBelow {
		s.out = x.enc.EncodeAll(content, s.out[:0])
		frame = s.out
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

// encoding is one content that becomes frames.
type encoding struct {
	*Encoder
	w       io.Writer
	content hash.Hash
	stored  hash.Hash
	blob    Blob
}

// run reads frames, gives each to a goroutine of its own and writes the results in order. first holds the first frame.
func (e *encoding) run(ctx context.Context, r io.Reader, first *encodeSlot) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	order := make(chan *encodeSlot, cap(e.slots))
	read := make(chan error, 1)
	go func() {
		defer close(order)
		read <- e.readFrames(ctx, r, first, order)
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
		e.slots <- s
	}
	if err := <-read; failed == nil {
		failed = err
	}
	return failed
}

// readFrames fills slots until r ends.
func (e *encoding) readFrames(ctx context.Context, r io.Reader, s *encodeSlot, order chan *encodeSlot) error {
	for {
		e.content.Write(s.in[:s.n])
		if e.blob.Size += int64(s.n); e.blob.Size > MaxBlobSize {
			e.slots <- s
			return fmt.Errorf("content is larger than the limit of %d bytes", int64(MaxBlobSize))
		}
		ended := s.n < FrameSize
		s.done = make(chan struct{})
		order <- s
		go s.encode(e.enc)
		if ended {
			return nil
		}
		var err error
		if s, err = e.slot(ctx); err != nil {
			return err
		}
		if s.n, err = readFull(ctx, r, s.in); err != nil || s.n == 0 {
			e.slots <- s
			return err
		}
	}
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
