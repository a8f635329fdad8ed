package bundle

import (
	"context"
	"errors"
	"io"
	"sync"
)

// Place writes the content of a blob to w, each byte once and where it belongs: like Content, but several goroutines write
// what they have decoded, in no order. With digest, the content is compared with its digest as well, as Content does; else
// what is checked is each frame as it is stored, before it is decoded. After an error w holds a part of the content.
func (b *Bundle) Place(ctx context.Context, blob Blob, name string, w io.WriterAt, digest bool) error {
	r, err := b.Content(ctx, blob, name)
	if err != nil {
		return err
	}
	defer r.Close()
	if c, ok := r.(*contentReader); ok {
		return c.place(w, digest)
	}
	_, err = io.Copy(io.NewOffsetWriter(w, 0), r)
	return err
}

// Place writes all of the content to w, from several goroutines, instead of being read. It returns the digest and the size
// in bytes of what it wrote: those of the blob, or there is an error.
func (c *contentReader) Place(w io.WriterAt) (Digest, int64, error) {
	if err := c.place(w, true); err != nil {
		return Digest{}, 0, err
	}
	return c.blob.Digest, c.blob.Size, nil
}

// placing is what the goroutines of one Place share.
type placing struct {
	*contentReader
	w      io.WriterAt
	digest bool

	mu     sync.Mutex
	next   int           // frame that nobody has taken yet
	offset int64         // of it, in the stored blob
	hashed chan struct{} // closed when the frame before it has gone through the digest
	failed *decodeJob    // the first frame in the content that failed
}

func (c *contentReader) place(w io.WriterAt, digest bool) error {
	if c.order != nil || c.err != nil {
		return errors.New("internal error: placing content that is being read")
	}
	p := &placing{contentReader: c, w: w, digest: digest, hashed: make(chan struct{})}
	close(p.hashed)
	c.err = io.EOF // there is nothing to be read afterwards
	var group sync.WaitGroup
	for range min(decoderCount(), len(c.blob.Frames)) {
		group.Go(p.work)
	}
	group.Wait()
	if p.failed != nil {
		return p.failed.err
	}
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if digest {
		return c.compare()
	}
	return nil
}

// work places frames until there are none.
func (p *placing) work() {
	for {
		j, before, hashed := p.take()
		if j == nil {
			return
		}
		j.err = p.one(j, before)
		if j.out != nil {
			p.bundle.codec.put(j.out)
		}
		close(hashed)
		if j.err != nil {
			p.fail(j)
			return
		}
	}
}

// take returns the next frame, a channel that is closed when the digest is ready for it, and one to close when the digest
// has had it.
func (p *placing) take() (j *decodeJob, before, hashed chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == len(p.blob.Frames) || p.failed != nil {
		return nil, nil, nil
	}
	j = &decodeJob{index: p.next, offset: p.offset}
	p.offset += p.blob.Frames[p.next].Stored
	p.next++
	before, p.hashed = p.hashed, make(chan struct{})
	return j, before, p.hashed
}

// one places a frame. While the digest is taken of it, the others decode theirs.
func (p *placing) one(j *decodeJob, before chan struct{}) error {
	if err := p.decode(j); err != nil {
		return err
	}
	if _, err := p.w.WriteAt(j.out, int64(j.index)*FrameSize); err != nil {
		return err
	}
	if p.digest {
		<-before
		p.content.Write(j.out)
	}
	return nil
}

// fail ends the work. A frame before the failed one may still be at work, and fail as well.
func (p *placing) fail(j *decodeJob) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil || j.index < p.failed.index {
		p.failed = j
	}
}
