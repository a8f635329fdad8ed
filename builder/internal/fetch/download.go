package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"offgrid/builder/internal/store"
	"offgrid/bundle/progress"
)

// maxRedirects is what net/http itself allows.
const maxRedirects = 10

// reportEvery is the shortest time between two Advance events of one item.
const reportEvery = 100 * time.Millisecond

// download gets the rest of the file, or all of it, from addr into part. A nil error means that the server has sent what
// it said it would, or what r says.
func (c *Client) download(ctx context.Context, r Request, addr string, part *store.Partial) error {
	if r.Size > 0 && part.Size() == r.Size {
		return nil // a run that ended between the last byte and the check
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The watch runs out when nothing comes for a while, headers included.
	watch := time.AfterFunc(c.opts.Stall, func() {
		cancel(fmt.Errorf("%w for %s", ErrStalled, c.opts.Stall))
	})
	defer watch.Stop()
	resp, err := c.ask(ctx, r, addr, part)
	if err != nil {
		return causeOf(ctx, err)
	}
	defer resp.Body.Close()
	total, err := c.begin(r, addr, resp, part)
	if err != nil {
		return err
	}
	return c.receive(ctx, r, resp.Body, part, total, watch)
}

// ask sends the request; it asks for the rest where the part's origin allows that.
func (c *Client) ask(ctx context.Context, r Request, addr string, part *store.Partial) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, addr, nil)
	if err != nil {
		return nil, final(fmt.Errorf("address %q: it cannot be read", addr))
	}
	for k, v := range r.Header {
		req.Header[k] = v
	}
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", c.opts.UserAgent)
	if part != nil && part.Size() > 0 {
		o := part.Origin()
		switch {
		case o.URL == addr && o.Validator != "":
			req.Header.Set("Range", fmt.Sprintf("bytes=%d-", part.Size()))
			req.Header.Set("If-Range", o.Validator)
		case r.pinned(): // whatever it is, the digest will tell
			req.Header.Set("Range", fmt.Sprintf("bytes=%d-", part.Size()))
		}
	}
	resp, err := c.httpClient(r).Do(req)
	if err != nil {
		return nil, hopeless(plain(err))
	}
	return resp, nil
}

func (c *Client) httpClient(r Request) *http.Client {
	transport := c.opts.Transport
	if r.Transport != nil {
		transport = r.Transport
	}
	return &http.Client{
		Transport: transport,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) >= maxRedirects {
				return final(fmt.Errorf("the server redirects more than %d times", maxRedirects))
			}
			if err := checkScheme(req.URL, r.pinned()); err != nil {
				return final(fmt.Errorf("the server redirects to an %w", err))
			}
			return nil
		},
	}
}

// begin looks at the answer's head, makes part ready for its body and returns the size that the whole will have, 0 when
// nobody says.
func (c *Client) begin(r Request, addr string, resp *http.Response, part *store.Partial) (int64, error) {
	if resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && part.Size() > 0 {
		if err := part.Reset(store.Origin{}); err != nil {
			return 0, local(err)
		}
		return 0, errors.New("the server does not continue the file; starting anew")
	}
	if resp.StatusCode == http.StatusPartialContent {
		start, total, err := parseContentRange(resp.Header.Get("Content-Range"))
		if err == nil && start != part.Size() {
			err = fmt.Errorf("the server sends from byte %d, asked from %d", start, part.Size())
		}
		if err != nil {
			return 0, errors.Join(err, part.Reset(store.Origin{}))
		}
		return total, checkSize(r, total)
	}
	if resp.StatusCode != http.StatusOK {
		return 0, statusError(resp)
	}
	total := max(resp.ContentLength, 0)
	if err := checkSize(r, total); err != nil {
		return 0, err
	}
	if err := part.Reset(store.Origin{URL: addr, Validator: validator(resp.Header)}); err != nil {
		return 0, local(err)
	}
	return total, nil
}

// statusError turns an answer that is not the content into an error; what will not change is final.
func statusError(resp *http.Response) error {
	err := &StatusError{Code: resp.StatusCode, Status: resp.Status}
	if s, e := strconv.Atoi(resp.Header.Get("Retry-After")); e == nil && s > 0 {
		err.after = time.Duration(s) * time.Second
	}
	switch {
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusRequestTimeout:
		return err
	}
	return final(err)
}

// checkSize compares the size that the server tells with what is allowed.
func checkSize(r Request, total int64) error {
	if total <= 0 {
		return nil
	}
	if r.Size > 0 && total != r.Size {
		return final(fmt.Errorf("the server has %d bytes, want %d", total, r.Size))
	}
	if limit := r.limit(); total > limit {
		return final(fmt.Errorf("the server has %d bytes, the limit is %d", total, limit))
	}
	return nil
}

func (r Request) limit() int64 {
	switch {
	case r.Size > 0:
		return r.Size
	case r.MaxSize > 0:
		return r.MaxSize
	}
	return DefaultMaxSize
}

// receive copies the body. Bytes that came stay in part whatever happens, for the next attempt.
func (c *Client) receive(ctx context.Context, r Request, body io.Reader, part *store.Partial, total int64, watch *time.Timer) error {
	buf := make([]byte, 256<<10)
	known := total
	if known == 0 {
		known = r.Size
	}
	var last time.Time
	for {
		n, err := body.Read(buf)
		watch.Reset(c.opts.Stall)
		if n > 0 {
			if part.Size()+int64(n) > r.limit() {
				return errors.Join(final(fmt.Errorf("the server sends more than %d bytes", r.limit())), part.Reset(store.Origin{}))
			}
			if _, err := part.Write(buf[:n]); err != nil {
				return local(err)
			}
			if now := time.Now(); now.Sub(last) >= reportEvery {
				last = now
				c.Report(progress.Event{Phase: phase, Item: r.Item, Kind: progress.Advance, Done: part.Size(), Total: known})
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return c.broken(causeOf(ctx, err), part.Size(), known)
		}
	}
	if known > 0 && part.Size() < known {
		return c.broken(io.ErrUnexpectedEOF, part.Size(), known)
	}
	return nil
}

// broken describes a body that ended early.
func (c *Client) broken(err error, got, want int64) error {
	if want == 0 {
		return fmt.Errorf("the transfer broke off after %d bytes: %w", got, plain(err))
	}
	return fmt.Errorf("the transfer broke off after %d of %d bytes: %w", got, want, plain(err))
}

// causeOf replaces "context canceled" by why it was.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// validator returns what If-Range may carry: a strong ETag, or the modification time.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return h.Get("Last-Modified")
}

// parseContentRange reads "bytes 5-9/10"; a total that is not told is 0.
func parseContentRange(s string) (start, total int64, err error) {
	bad := fmt.Errorf("the server's Content-Range is %q", s)
	rest, ok := strings.CutPrefix(s, "bytes ")
	span, size, ok2 := strings.Cut(rest, "/")
	from, to, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, bad
	}
	start, err1 := strconv.ParseInt(from, 10, 64)
	end, err2 := strconv.ParseInt(to, 10, 64)
	if err1 != nil || err2 != nil || start < 0 || end < start {
		return 0, 0, bad
	}
	if size == "*" {
		return start, 0, nil
	}
	total, err = strconv.ParseInt(size, 10, 64)
	if err != nil || total <= end {
		return 0, 0, bad
	}
	return start, total, nil
}
