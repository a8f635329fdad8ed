// Package fetch downloads over HTTP into the store.
//
// Bytes that a digest pins may come from anywhere: mirrors are tried first, the address itself last, and what an earlier
// run has already got is continued. An answer that says "no" for good (404, 403, 410) is not asked again; a server in
// trouble is, with growing pauses; one that sends nothing for a while is left. There is no limit on the total time, for
// nobody knows the line. Nothing is in the store before its digest is right.
package fetch

import (
	"context"
	"net/http"
	"time"

	"offgrid/builder/internal/store"
	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// Defaults of Options.
const (
	DefaultParallel = 4
	DefaultAttempts = 5
	DefaultStall    = 60 * time.Second
	// DefaultMaxSize bounds a download whose size nobody has told: the largest known one is a sixth of it.
	DefaultMaxSize int64 = 2 << 30
)

// Options are how a Client works. The zero value of all but Store is usable.
type Options struct {
	Store     *store.Store
	Mirrors   []Mirror
	Parallel  int                             // downloads at the same time; 0: DefaultParallel
	Attempts  int                             // tries at each address; 0: DefaultAttempts
	Stall     time.Duration                   // longest time without a byte; 0: DefaultStall
	Pause     func(attempt int) time.Duration // before the attempt-th try, from 2; nil: 1 s, 2 s, 4 s ... 30 s
	Transport http.RoundTripper               // nil: a transport of its own, with the proxy that the environment names
	UserAgent string
	Report    progress.Func
}

// Mirror rewrites addresses that begin with From.
type Mirror struct{ From, To string }

// Client downloads. Its methods may be called from several goroutines; all together keep to Options.Parallel.
type Client struct {
	opts  Options
	slots chan struct{}
}

// New makes a client.
func New(o Options) *Client {
	if o.Parallel <= 0 {
		o.Parallel = DefaultParallel
	}
	if o.Attempts <= 0 {
		o.Attempts = DefaultAttempts
	}
	if o.Stall <= 0 {
		o.Stall = DefaultStall
	}
	if o.Pause == nil {
		o.Pause = defaultPause
	}
	if o.Transport == nil {
		o.Transport = NewTransport()
	}
	if o.UserAgent == "" {
		o.UserAgent = "offgrid"
	}
	return &Client{opts: o, slots: make(chan struct{}, o.Parallel)}
}

// NewTransport returns a transport that keeps bytes as they are sent and takes the proxy from the environment
// (HTTPS_PROXY, HTTP_PROXY, NO_PROXY).
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true,
		MaxIdleConnsPerHost:   DefaultParallel,
		IdleConnTimeout:       30 * time.Second,
		TLSHandshakeTimeout:   20 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

func defaultPause(attempt int) time.Duration {
	d := time.Second << min(attempt-2, 5)
	return min(d, 30*time.Second)
}

// Transport returns the transport that the client uses.
func (c *Client) Transport() http.RoundTripper { return c.opts.Transport }

// Store returns the store that the client downloads into.
func (c *Client) Store() *store.Store { return c.opts.Store }

// Report passes an event on to whoever listens.
func (c *Client) Report(e progress.Event) { c.opts.Report.Report(e) }

// Request is one download.
type Request struct {
	Item   string // what it is, for people: "etcd v3.4.26"
	URL    string
	SHA256 bundle.Digest // zero: not known
	SHA512 string        // hex; "": not known
	Size   int64         // bytes; 0: not known
	// MaxSize bounds the answer in bytes when Size is not known; 0: DefaultMaxSize.
	MaxSize int64
	// Transport replaces the client's for this request: registries want their tokens.
	Transport http.RoundTripper
	Header    http.Header
	// NoMirrors asks URL alone: it was rewritten before.
	NoMirrors bool
}

func (r Request) pinned() bool { return !r.SHA256.IsZero() || r.SHA512 != "" }

// Result is what came.
type Result struct {
	SHA256 bundle.Digest
	Size   int64
	URL    string // the address that answered; "" when the content was in the store already
}

// acquire waits for one of the slots for downloads.
func (c *Client) acquire(ctx context.Context) error {
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Client) release() { <-c.slots }

// Each calls work for 0..n-1 from several goroutines, at most parallel at once, and returns the error that came first;
// the others are told by their context to stop.
func Each(ctx context.Context, n, parallel int, work func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	done := make(chan error)
	for range min(n, parallel) {
		go func() {
			var err error
			for i := range next {
				if err == nil {
					err = work(ctx, i)
				}
				if err != nil {
					cancel(err)
				}
			}
			done <- err
		}()
	}
	var stopped error
feed:
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
			stopped = context.Cause(ctx)
			break feed
		}
	}
	close(next)
	first := stopped
	for range min(n, parallel) {
		if err := <-done; err != nil && first == nil {
			first = err
		}
	}
	if first == nil {
		return nil
	}
	return context.Cause(ctx)
}
