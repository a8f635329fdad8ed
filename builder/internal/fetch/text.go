package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"offgrid/bundle"
)

// Answer is a small document and its headers.
type Answer struct {
	Body   []byte
	URL    string // the address that answered
	Header http.Header
}

// Text gets a small document: a checksum list, a key, an index. It is not kept. Nothing but the connection vouches for it
// unless its SHA256 is given, which is checked then, so http is refused for all but this machine. A body of more than r.MaxSize bytes is an
// error; 0 means 1 MiB.
func (c *Client) Text(ctx context.Context, r Request) (Answer, error) {
	if r.MaxSize == 0 {
		r.MaxSize = 1 << 20
	}
	if err := c.acquire(ctx); err != nil {
		return Answer{}, fmt.Errorf("fetching %s: %w", r.Item, err)
	}
	defer c.release()
	failed := &Error{Item: r.Item}
	list := c.Addresses(r.URL)
	if r.NoMirrors {
		list = []string{r.URL}
	}
	for _, addr := range list {
		a, attempts, err := c.textFrom(ctx, r, addr)
		if err == nil {
			return a, nil
		}
		failed.Tries = append(failed.Tries, Try{URL: addr, Attempts: attempts, Err: err})
		if ctx.Err() != nil {
			break
		}
	}
	return Answer{}, failed
}

func (c *Client) textFrom(ctx context.Context, r Request, addr string) (Answer, int, error) {
	if err := CheckAddress(addr, r.pinned()); err != nil {
		return Answer{}, 0, err
	}
	for attempt := 1; ; attempt++ {
		a, err := c.textOnce(ctx, r, addr)
		if err == nil {
			return a, attempt, nil
		}
		if ctx.Err() != nil || isFinal(err) || attempt >= c.opts.Attempts {
			return Answer{}, attempt, err
		}
		if err := c.pause(ctx, r, addr, attempt+1, err); err != nil {
			return Answer{}, attempt, err
		}
	}
}

func (c *Client) textOnce(ctx context.Context, r Request, addr string) (Answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(c.opts.Stall, func() {
		cancel(fmt.Errorf("%w for %s", ErrStalled, c.opts.Stall))
	})
	defer watch.Stop()
	resp, err := c.ask(ctx, r, addr, nil)
	if err != nil {
		return Answer{}, causeOf(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Answer{}, statusError(resp)
	}
	body, err := io.ReadAll(io.LimitReader(&watchedReader{resp.Body, watch, c.opts.Stall}, r.MaxSize+1))
	if err != nil {
		return Answer{}, c.broken(causeOf(ctx, err), int64(len(body)), max(resp.ContentLength, 0))
	}
	if int64(len(body)) > r.MaxSize {
		return Answer{}, final(fmt.Errorf("the server sends more than %d bytes", r.MaxSize))
	}
	if got := bundle.DigestOf(body); !r.SHA256.IsZero() && got != r.SHA256 {
		return Answer{}, final(&WrongBytesError{Algorithm: "sha256", Want: r.SHA256.Hex(), Got: got.Hex(), Size: int64(len(body))})
	}
	return Answer{Body: body, URL: addr, Header: resp.Header}, nil
}

// watchedReader puts the watch back with every byte.
type watchedReader struct {
	r     io.Reader
	watch *time.Timer
	stall time.Duration
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.watch.Reset(w.stall)
	return n, err
}

// IsNotFound reports whether every address said that it has no such thing.
func IsNotFound(err error) bool {
	var e *Error
	if !errors.As(err, &e) || len(e.Tries) == 0 {
		return false
	}
	for _, t := range e.Tries {
		var s *StatusError
		if !errors.As(t.Err, &s) || (s.Code != http.StatusNotFound && s.Code != http.StatusForbidden && s.Code != http.StatusGone) {
			return false
		}
	}
	return true
}
