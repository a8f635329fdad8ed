package fetch

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"time"

	"offgrid/builder/internal/store"
	"offgrid/bundle"
	"offgrid/bundle/progress"
)

const phase = "fetch"

// Get brings the content of r into the store. It is there already: nothing is asked. A failure is an *Error that names
// the item and every address, or the store's own error.
func (c *Client) Get(ctx context.Context, r Request) (Result, error) {
	if res, ok := c.known(r); ok {
		c.Report(progress.Event{Phase: phase, Item: r.Item, Kind: progress.Skip, Total: res.Size, Text: "is in the store"})
		return res, nil
	}
	if err := c.acquire(ctx); err != nil {
		return Result{}, fmt.Errorf("fetching %s: %w", r.Item, err)
	}
	defer c.release()
	part, err := c.opts.Store.Partial(ctx, partialKey(r), func() {
		c.Report(progress.Event{Phase: phase, Item: r.Item, Kind: progress.Wait, Text: "another process is fetching it"})
	})
	if err != nil {
		return Result{}, fmt.Errorf("fetching %s: %w", r.Item, err)
	}
	defer part.Close()
	if res, ok := c.known(r); ok { // the other process was faster
		return res, nil
	}
	c.Report(progress.Event{Phase: phase, Item: r.Item, Kind: progress.Start, Done: part.Size(), Total: r.Size})
	res, err := c.fromAny(ctx, r, part)
	if err != nil {
		return Result{}, err
	}
	c.Report(progress.Event{Phase: phase, Item: r.Item, Kind: progress.Done, Done: res.Size, Total: res.Size})
	return res, nil
}

// known finds the content in the store. What is pinned by its sha512 alone is found by what an earlier download of it has
// left on record.
func (c *Client) known(r Request) (Result, bool) {
	d := r.SHA256
	if d.IsZero() && r.SHA512 != "" {
		data, ok := c.opts.Store.Record(sha512Key(r.SHA512))
		if !ok || d.UnmarshalText(data) != nil {
			return Result{}, false
		}
	}
	if d.IsZero() {
		return Result{}, false
	}
	size, err := c.opts.Store.Size(d)
	return Result{SHA256: d, Size: size}, err == nil
}

func sha512Key(sum string) bundle.Digest { return store.RecordKey("sha512", sum) }

// partialKey names the bytes rather than the address where a digest does, so that another mirror continues the same file.
func partialKey(r Request) string {
	switch {
	case !r.SHA256.IsZero():
		return r.SHA256.String()
	case r.SHA512 != "":
		return "sha512:" + r.SHA512
	}
	return r.URL
}

// fromAny asks the addresses one after the other.
func (c *Client) fromAny(ctx context.Context, r Request, part *store.Partial) (Result, error) {
	failed := &Error{Item: r.Item}
	list := c.Addresses(r.URL)
	if r.NoMirrors {
		list = []string{r.URL}
	}
	for i, addr := range list {
		res, attempts, err := c.fromOne(ctx, r, addr, part)
		if err == nil {
			return res, nil
		}
		failed.Tries = append(failed.Tries, Try{URL: addr, Attempts: attempts, Err: err})
		if ctx.Err() != nil || isLocal(err) {
			break
		}
		if i+1 < len(list) {
			c.Report(progress.Event{Phase: phase, Item: r.Item, Kind: progress.Warn, Text: fmt.Sprintf("%s: %v; asking %s", addr, err, list[i+1])})
		}
	}
	return Result{}, failed
}

// fromOne asks one address, several times where that may help.
func (c *Client) fromOne(ctx context.Context, r Request, addr string, part *store.Partial) (Result, int, error) {
	if err := CheckAddress(addr, r.pinned()); err != nil {
		return Result{}, 0, err
	}
	wrong, best := 0, part.Size()
	for attempt := 1; ; attempt++ {
		resumed := part.Size() > 0
		err := c.download(ctx, r, addr, part)
		if part.Size() > best { // a bad line that gets on is a good line
			best = part.Size()
			attempt = 1
		}
		var res Result
		if err == nil {
			res, err = c.commit(ctx, r, part)
			res.URL = addr
		}
		if err == nil {
			return res, attempt, nil
		}
		var bad *WrongBytesError
		if errors.As(err, &bad) {
			// The beginning of a continued file may have come from elsewhere, so that it gets one whole try more.
			if wrong++; resumed && wrong == 1 {
				continue
			}
			return res, attempt, err
		}
		if ctx.Err() != nil || isFinal(err) || isLocal(err) || attempt >= c.opts.Attempts {
			return res, attempt, err
		}
		if err := c.pause(ctx, r, addr, attempt+1, err); err != nil {
			return res, attempt, err
		}
	}
}

func (c *Client) pause(ctx context.Context, r Request, addr string, attempt int, cause error) error {
	d := c.opts.Pause(attempt)
	var status *StatusError
	if errors.As(cause, &status) && status.after > d {
		d = min(status.after, time.Minute)
	}
	c.Report(progress.Event{Phase: phase, Item: r.Item, Kind: progress.Warn, Text: fmt.Sprintf("%s: %v; trying again", addr, cause)})
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// commit checks the whole file and gives it its place in the store. Wrong bytes are thrown away.
func (c *Client) commit(ctx context.Context, r Request, part *store.Partial) (Result, error) {
	var more []hash.Hash
	if r.SHA512 != "" {
		more = append(more, sha512.New())
	}
	got, err := part.Hash(ctx, more...)
	if err != nil {
		return Result{}, local(err)
	}
	size := part.Size()
	var wrong *WrongBytesError
	if !r.SHA256.IsZero() && got != r.SHA256 {
		wrong = &WrongBytesError{Algorithm: "sha256", Want: r.SHA256.Hex(), Got: got.Hex(), Size: size}
	} else if len(more) > 0 {
		if sum := hex.EncodeToString(more[0].Sum(nil)); sum != r.SHA512 {
			wrong = &WrongBytesError{Algorithm: "sha512", Want: r.SHA512, Got: sum, Size: size}
		}
	}
	if wrong != nil {
		if err := part.Reset(store.Origin{}); err != nil {
			return Result{}, local(err)
		}
		return Result{}, wrong
	}
	if err := part.Commit(got); err != nil {
		return Result{}, local(err)
	}
	if r.SHA512 != "" {
		if err := c.opts.Store.PutRecord(sha512Key(r.SHA512), []byte(got.String())); err != nil {
			return Result{}, local(err)
		}
	}
	return Result{SHA256: got, Size: size}, nil
}

// localError is a fault of this machine's disk: another address does not mend it.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

func local(err error) error { return &localError{err} }

func isLocal(err error) bool {
	var l *localError
	return errors.As(err, &l)
}
