package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"sync"

	"offgrid/builder/internal/archive"
	"offgrid/bundle"
)

// pass is one pass over an archive. A member that has been read is compressed, written and made durable while the next one
// is read.
type pass struct {
	encoder *encoder
	ctx     context.Context //nolint:containedctx // of the pass: the first error ends it
	cancel  context.CancelCauseFunc
	members map[string]*LockMember // wanted, by clean path
	group   sync.WaitGroup

	mu     sync.Mutex
	read   map[string]bundle.Blob // by clean path
	failed error                  // the first error of a member
}

// pass begins one for the members of e that are not known.
func (x *encoder) pass(ctx context.Context, e *LockEntry) *pass {
	p := &pass{encoder: x, members: map[string]*LockMember{}, read: map[string]bundle.Blob{}}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	for i := range e.Members {
		m := &e.Members[i]
		if b, ok := x.known(m.SHA256, m.Contains); !ok || m.Size != b.Size {
			p.members[path.Clean(m.Path)] = m
		}
	}
	return p
}

func (p *pass) wanted() []string {
	var paths []string
	for _, m := range p.members {
		paths = append(paths, m.Path)
	}
	return paths
}

// take encodes a member. It returns when r has been read.
func (p *pass) take(found archive.Member, r io.Reader) error {
	m := p.members[found.Path]
	in := &untilEnd{r: r, ended: make(chan struct{})}
	done := make(chan struct{})
	p.group.Go(func() {
		defer close(done)
		b, err := p.encoder.encode(p.ctx, content{name: m.Name, size: found.Size, contains: m.Contains, want: m.SHA256}, in)
		p.mu.Lock()
		defer p.mu.Unlock()
		if err != nil && p.failed == nil {
			p.failed = fmt.Errorf("member %q of the archive: %w", found.Path, err)
			p.cancel(p.failed)
		}
		p.read[found.Path] = b
	})
	select {
	case <-in.ended:
	case <-done:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// wait ends the pass. It returns what was made of the members that were read, and the first error of one of them.
func (p *pass) wait() (map[string]bundle.Blob, error) {
	p.group.Wait()
	p.cancel(nil)
	return p.read, p.failed
}

// untilEnd tells when a reader has come to its end.
type untilEnd struct {
	r     io.Reader
	ended chan struct{}
	over  bool
}

// Read implements io.Reader. After the end the reader below is left alone: it belongs to somebody else then.
func (u *untilEnd) Read(p []byte) (int, error) {
	if u.over {
		return 0, io.EOF
	}
	n, err := u.r.Read(p)
	if errors.Is(err, io.EOF) {
		u.over = true
		close(u.ended)
	}
	return n, err
}
