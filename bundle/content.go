package bundle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"sync"

	"github.com/klauspost/compress/zstd"

	"offgrid/bundle/recovery"
)

// Artifact returns the artifact of the given name.
func (b *Bundle) Artifact(name string) (Artifact, bool) {
	for _, a := range b.Role.Artifacts {
		if a.Name == name {
			return a, true
		}
	}
	return Artifact{}, false
}

// Image returns the blobs of the image of the given ref. In a directory it is false when they were not carried.
func (b *Bundle) Image(ref string) (ImageBlobs, bool) {
	img, ok := b.images[ref]
	return img, ok
}

// Blobs lists every blob that the bundle refers to, in the order of the tar apart from the metadata; a directory may lack
// some. The slice is the caller's.
func (b *Bundle) Blobs() []StoredBlob { return append([]StoredBlob(nil), b.blobs...) }

// HasStored reports whether the blob is here: in a file always when the bundle refers to it, in a directory when it was
// carried.
func (b *Bundle) HasStored(d Digest) bool {
	e, err := b.src.open(d)
	if err != nil {
		return false
	}
	e.Close()
	return true
}

// Stored opens a blob as it is stored and returns its size. Instead of io.EOF the reader ends with a *DamageError when the
// bytes are not the promised ones. A blob that a directory lacks is a *NotCarriedError.
func (b *Bundle) Stored(d Digest) (io.ReadCloser, int64, error) {
	name := b.nameOf(d)
	e, err := b.find(d, name)
	if err != nil {
		return nil, 0, err
	}
	v := newVerifyReader(e.reader(), name, d, e.size)
	return readCloser{b.damageReader(v, d, name), e}, e.size, nil
}

func (b *Bundle) nameOf(d Digest) string {
	if i, ok := b.byHash[d]; ok {
		return b.blobs[i].Name
	}
	return "blob " + d.Short()
}

func (b *Bundle) find(d Digest, name string) (*extent, error) {
	e, err := b.src.open(d)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, b.missing(d, name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return e, nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

// damageReader turns what goes wrong while a blob is read into a *DamageError that names it.
func (b *Bundle) damageReader(r io.Reader, d Digest, name string) io.Reader {
	return errorReader{r, func(err error) error { return b.damage(d, name, err) }}
}

type errorReader struct {
	r    io.Reader
	wrap func(error) error
}

// Read implements io.Reader.
func (e errorReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	stopped := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if err != nil && !errors.Is(err, io.EOF) && !stopped {
		err = e.wrap(err)
	}
	return n, err
}

// Content opens the content of a blob of this bundle; name is for messages. Frames are checked, then decoded ahead by up
// to three goroutines, and handed out in order; memory is bounded by 8 MiB per goroutine and 4 MiB more. Instead of io.EOF
// the reader ends with a *DamageError that names the frame, or the content when its digest is wrong. The reader must be
// closed; it is for one goroutine.
func (b *Bundle) Content(ctx context.Context, blob Blob, name string) (io.ReadCloser, error) {
	if err := blob.validate(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	e, err := b.find(blob.Stored, name)
	if err != nil {
		return nil, err
	}
	if e.size != blob.StoredSize {
		e.Close()
		return nil, b.damage(blob.Stored, name, fmt.Errorf("it has %d bytes, want %d", e.size, blob.StoredSize))
	}
	if blob.Encoding == EncodingRaw {
		v := newVerifyReader(contextReader{ctx.Err, e.reader()}, name, blob.Digest, blob.Size)
		return readCloser{b.damageReader(v, blob.Stored, name), e}, nil
	}
	dec, err := b.codec.decoder()
	if err != nil {
		e.Close()
		return nil, fmt.Errorf("internal error: zstd decoder: %w", err)
	}
	c := &contentReader{bundle: b, blob: blob, name: name, extent: e, dec: dec, content: sha256.New()}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c, nil
}

// codec is the decoder that all readers of a bundle share, made when it is first needed, and the buffers they left.
type codec struct {
	mu      sync.Mutex
	dec     *zstd.Decoder
	buffers [][]byte
}

func (c *codec) decoder() (*zstd.Decoder, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dec == nil {
		dec, err := newDecoder(maxDecoders)
		if err != nil {
			return nil, err
		}
		c.dec = dec
	}
	return c.dec, nil
}

func (c *codec) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dec != nil {
		c.dec.Close()
		c.dec = nil
	}
	c.buffers = nil
}

// buffer returns a buffer of n bytes; put takes it back. All big ones have the same capacity, so that each serves any
// frame; what is not touched of them takes no memory.
func (c *codec) buffer(n int64) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, buf := range c.buffers {
		if int64(cap(buf)) >= n {
			c.buffers = append(c.buffers[:i], c.buffers[i+1:]...)
			return buf[:n]
		}
	}
	if n < FrameSize/16 {
		return make([]byte, n)
	}
	return make([]byte, n, MaxFrameStored)
}

func (c *codec) put(buf []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cap(buf) >= MaxFrameStored && len(c.buffers) < 2*maxDecoders+1 {
		c.buffers = append(c.buffers, buf)
	}
}

// contentReader reads zstd content.
type contentReader struct {
	bundle  *Bundle
	blob    Blob
	name    string
	extent  *extent
	dec     *zstd.Decoder
	content hash.Hash

	cancel context.CancelFunc
	ctx    context.Context //nolint:containedctx // a reader has no other way to be stopped
	order  chan *decodeJob // in the order of the content; nil before the first Read
	group  sync.WaitGroup
	job    *decodeJob // what Read hands out
	rest   []byte     // of job.out
	err    error
}

// decodeJob is one frame.
type decodeJob struct {
	index  int
	offset int64 // in the stored blob
	out    []byte
	err    error
	done   chan struct{}
}

// start starts the goroutines: one hands out jobs, the others do them. A job enters order before it is done, and order holds
// as many as there are workers, so at most workers+1 decoded frames exist: one is read, the others wait.
func (c *contentReader) start() {
	workers := min(decoderCount(), len(c.blob.Frames))
	c.order = make(chan *decodeJob, workers)
	jobs := make(chan *decodeJob)
	c.group.Add(1 + workers)
	go func() {
		defer c.group.Done()
		defer close(c.order)
		defer close(jobs)
		offset := int64(0)
		for i, f := range c.blob.Frames {
			j := &decodeJob{index: i, offset: offset, done: make(chan struct{})}
			offset += f.Stored
			select {
			case c.order <- j:
			case <-c.ctx.Done():
				return
			}
			select {
			case jobs <- j:
			case <-c.ctx.Done():
				j.err = c.ctx.Err()
				close(j.done)
				return
			}
		}
	}()
	for range workers {
		go func() {
			defer c.group.Done()
			for j := range jobs {
				j.err = c.decode(j)
				close(j.done)
			}
		}()
	}
}

// decode reads one frame, checks it and decodes it.
func (c *contentReader) decode(j *decodeJob) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	f := c.blob.Frames[j.index]
	stored := c.bundle.codec.buffer(f.Stored)
	defer c.bundle.codec.put(stored)
	if verdict, err := c.fetch(j, stored); err != nil {
		return judged(c.fault(j, err), verdict)
	}
	size := min(c.blob.Size-int64(j.index)*FrameSize, FrameSize)
	j.out = c.bundle.codec.buffer(size)
	if err := decodeFrame(c.dec, stored, j.out); err != nil {
		return c.fault(j, err)
	}
	return nil
}

// fetch reads a frame and compares it with its digest. What is wrong is read again, past what the system keeps in memory.
func (c *contentReader) fetch(j *decodeJob, stored []byte) (recovery.Verdict, error) {
	f := c.blob.Frames[j.index]
	read := func() (recovery.Sum, error) {
		n, err := c.extent.r.ReadAt(stored, c.extent.offset+j.offset)
		if int64(n) == f.Stored {
			return recovery.Sum(DigestOf(stored)), nil
		}
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return recovery.Sum{}, err
	}
	got, err := read()
	if err == nil && Digest(got) == f.Digest {
		return recovery.Unknown, nil
	}
	verdict := recovery.Judge(func() (recovery.Sum, error) {
		c.extent.source().Forget(c.extent.offset+j.offset, f.Stored)
		return read()
	}, recovery.Sum(f.Digest), got, err)
	if verdict == recovery.RightLater {
		return verdict, nil
	}
	if err == nil {
		err = &DigestError{Name: "frame", Want: f.Digest, Got: Digest(got), Size: f.Stored}
	}
	return verdict, err
}

func (c *contentReader) fault(j *decodeJob, err error) error {
	return frameDamage(c.bundle, c.name, c.blob, c.extent, j.index, j.offset, err)
}

// frameDamage names a frame; offset is its place in the stored blob.
func frameDamage(b *Bundle, name string, blob Blob, e *extent, index int, offset int64, err error) error {
	where := fmt.Sprintf("frame %d of %d", index+1, len(blob.Frames))
	if in := b.where(blob.Stored); in != "" {
		where += " in " + in
	}
	return b.place(&DamageError{Path: b.Path, Artifact: name, Where: where, Offset: e.offset + offset, Length: blob.Frames[index].Stored, Err: err})
}

// Read implements io.Reader.
func (c *contentReader) Read(p []byte) (int, error) {
	if c.order == nil && c.err == nil {
		c.start()
	}
	for len(c.rest) == 0 && c.err == nil {
		c.err = c.next()
	}
	if len(c.rest) == 0 {
		return 0, c.err
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// next waits for the next frame.
func (c *contentReader) next() error {
	c.release()
	j, ok := <-c.order
	if !ok {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if err := c.compare(); err != nil {
			return err
		}
		return io.EOF
	}
	<-j.done
	c.job = j
	if j.err != nil {
		return j.err
	}
	c.content.Write(j.out)
	c.rest = j.out
	return nil
}

// compare says whether all of the content was the promised one.
func (c *contentReader) compare() error {
	if got := Digest(c.content.Sum(nil)); got != c.blob.Digest {
		return c.bundle.damage(c.blob.Stored, c.name, &DigestError{Name: "content", Want: c.blob.Digest, Got: got, Size: c.blob.Size})
	}
	return nil
}

func (c *contentReader) release() {
	if c.job != nil && c.job.out != nil {
		c.bundle.codec.put(c.job.out)
	}
	c.job = nil
}

// Close stops the goroutines and waits for them. It may be called at any point, also twice.
func (c *contentReader) Close() error {
	if c.cancel == nil {
		return nil
	}
	c.cancel()
	c.cancel = nil
	c.group.Wait()
	c.rest = nil
	if c.err == nil {
		c.err = errors.New("reading content: the reader is closed")
	}
	return c.extent.Close()
}
