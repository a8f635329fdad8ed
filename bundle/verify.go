package bundle

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"offgrid/bundle/progress"
	"offgrid/bundle/recovery"
)

// Verify reads every blob that is here and compares it with its digest. It goes on after a fault and returns all of them,
// in the order of the bundle: each is a *DamageError that names the artifact, the frame where there are frames, and the
// bytes. What a directory lacks is no fault. Only a done context ends it early; its error comes last then.
//
// Verify looks at the stored bytes. That what they decode to is right as well is the writer's promise and is checked
// whenever content is read; VerifyContent does so for all of it.
func (b *Bundle) Verify(ctx context.Context, report progress.Func) []error {
	return VerifyAll(ctx, []*Bundle{b}, report)
}

// VerifyAll is Verify of several bundles. What those of a site file share is read once.
func VerifyAll(ctx context.Context, bundles []*Bundle, report progress.Func) []error {
	type job struct {
		b *Bundle
		s StoredBlob
	}
	var jobs []job
	seen := map[string]map[Digest]bool{} // by the file of a site
	for _, b := range bundles {
		known := map[Digest]bool{}
		if b.InSite && seen[b.Path] != nil {
			known = seen[b.Path]
		}
		seen[b.Path] = known
		for _, s := range b.blobs {
			if !known[s.Digest] && b.HasStored(s.Digest) {
				known[s.Digest] = true
				jobs = append(jobs, job{b, s})
			}
		}
	}
	found := make([][]error, len(jobs))
	each(len(jobs), func(i int) {
		if ctx.Err() == nil {
			found[i] = jobs[i].b.verifyBlob(ctx, jobs[i].s, report)
		}
	})
	faults := slices.Concat(found...)
	if err := ctx.Err(); err != nil {
		faults = append(faults, err)
	}
	return faults
}

// VerifyContent decodes every artifact that is here and compares it with the digest of its content. It returns one fault
// per artifact.
func (b *Bundle) VerifyContent(ctx context.Context, report progress.Func) []error {
	var faults []error
	for _, a := range b.Role.Artifacts {
		report.Report(progress.Event{Phase: "verify", Item: a.Name, Kind: progress.Start, Total: a.Blob.Size})
		r, err := b.Content(ctx, a.Blob, a.Name)
		if errors.Is(err, ErrNotCarried) {
			report.Report(progress.Event{Phase: "verify", Item: a.Name, Kind: progress.Skip, Text: "not carried to this host"})
			continue
		}
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			r.Close()
		}
		if err != nil {
			faults = append(faults, err)
		}
		if ctx.Err() != nil {
			return faults
		}
		report.Report(progress.Event{Phase: "verify", Item: a.Name, Kind: progress.Done, Done: a.Blob.Size, Total: a.Blob.Size})
	}
	return faults
}

// each calls f for 0 to n-1, a few at a time. The last come first: they are the big ones.
func each(n int, f func(i int)) {
	next := make(chan int)
	var group sync.WaitGroup
	for range workerCount(0) {
		group.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := n - 1; i >= 0; i-- {
		next <- i
	}
	close(next)
	group.Wait()
}

// verifyBlob hashes a blob whole. Only when that fails are its frames looked at, to say where.
func (b *Bundle) verifyBlob(ctx context.Context, s StoredBlob, report progress.Func) []error {
	report.Report(progress.Event{Phase: "verify", Item: s.Name, Kind: progress.Start, Total: s.Size})
	e, err := b.find(s.Digest, s.Name)
	if err != nil {
		return []error{err}
	}
	defer e.Close()
	counted := &countingReader{ctx: ctx.Err, r: e.reader(), item: s.Name, total: s.Size, report: report}
	buf := make([]byte, min(s.Size+1, 1<<18))
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, newVerifyReader(counted, s.Name, s.Digest, s.Size), buf)
	if err == nil {
		report.Report(progress.Event{Phase: "verify", Item: s.Name, Kind: progress.Done, Done: s.Size, Total: s.Size})
		return nil
	}
	if ctx.Err() != nil {
		return nil
	}
	report.Report(progress.Event{Phase: "verify", Item: s.Name, Kind: progress.Warn, Text: "damaged; reading it again"})
	if faults := b.verifyFrames(e, s); len(faults) > 0 {
		return faults
	}
	verdict := e.judge(0, s.Size, s.Digest, err)
	return []error{judged(b.damage(s.Digest, s.Name, err), verdict)}
}

// verifyFrames finds the damaged frames of a blob, if it has frames.
func (b *Bundle) verifyFrames(e *extent, s StoredBlob) []error {
	blob := b.framesOf(s.Digest)
	var faults []error
	var offset int64
	for k, f := range blob.Frames {
		stored := b.codec.buffer(f.Stored)
		n, err := e.r.ReadAt(stored, e.offset+offset)
		if int64(n) == f.Stored {
			err = nil
			if got := DigestOf(stored); got != f.Digest {
				err = &DigestError{Name: "frame", Want: f.Digest, Got: got, Size: f.Stored}
			}
		}
		b.codec.put(stored)
		if err != nil {
			verdict := e.judge(offset, f.Stored, f.Digest, err)
			faults = append(faults, judged(frameDamage(b, s.Name, blob, e, k, offset, err), verdict))
		}
		offset += f.Stored
	}
	return faults
}

// judged completes a damage with what reading again told.
func judged(err error, v recovery.Verdict) error {
	var damage *DamageError
	if errors.As(err, &damage) {
		damage.Verdict = v
	}
	return err
}

// framesOf is the blob that has frames and is stored so: an artifact, or the difference of one.
func (b *Bundle) framesOf(stored Digest) Blob {
	for _, a := range b.Role.Artifacts {
		if a.Blob.Stored == stored {
			return a.Blob
		}
	}
	blob := Blob{Stored: stored}
	if b.Delta != nil {
		for _, p := range b.Delta.Programs {
			for i := 0; p.Stored == stored && i < len(p.Frames); i++ {
				blob.Frames = append(blob.Frames, Frame{Stored: p.Frames[i].Stored, Digest: p.Frames[i].Digest})
			}
		}
	}
	return blob
}

// countingReader reports how far reading has come, once per MiB or more.
type countingReader struct {
	ctx    func() error
	r      io.Reader
	item   string
	total  int64
	done   int64
	said   int64
	report progress.Func
}

// Read implements io.Reader.
func (c *countingReader) Read(p []byte) (int, error) {
	if err := c.ctx(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	c.done += int64(n)
	if c.done-c.said >= 1<<20 {
		c.said = c.done
		c.report.Report(progress.Event{Phase: "verify", Item: c.item, Kind: progress.Advance, Done: c.done, Total: c.total})
	}
	return n, err
}
