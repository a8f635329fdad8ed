// Package upstreamtest is an upstream for tests: files with checksum lists, yum repositories and a container registry on
// loopback, with a fault for each path that a test wants to see fail.
package upstreamtest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Fault is what goes wrong with a path. The zero value is nothing.
type Fault struct {
	Status     int    // answer with it instead of the content
	RetryAfter string // header of that answer
	Times      int    // how many answers are faulty; 0: all
	CutAfter   int    // break the connection after so many bytes of the answer; 0: never
	Short      int    // serve only so many bytes, as if that were all; 0: all
	Flip       bool   // one bit of the content is wrong
	Stall      int    // send so many bytes and then nothing; -1: not even headers
	Redirect   string // redirect there
	Length     int    // claim this Content-Length
	NoRange    bool   // ignore Range
	NoTag      bool   // give neither ETag nor Last-Modified
}

// Request is what a client asked.
type Request struct{ Path, Range, IfRange string }

// Upstream is a running server.
type Upstream struct {
	URL string // "http://127.0.0.1:port"

	mu       sync.Mutex
	files    map[string][]byte
	faults   map[string]*Fault
	seen     []Request
	types    map[string]string
	stopping chan struct{}
}

// New starts an upstream that ends with the test.
func New(t testing.TB) *Upstream {
	u := &Upstream{files: map[string][]byte{}, faults: map[string]*Fault{}, types: map[string]string{}, stopping: make(chan struct{})}
	s := httptest.NewServer(http.HandlerFunc(u.serve))
	t.Cleanup(func() {
		close(u.stopping)
		s.CloseClientConnections()
		s.Close()
	})
	u.URL = s.URL
	return u
}

// File serves body under name, which begins with "/", and returns its address.
func (u *Upstream) File(name string, body []byte) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.files[name] = body
	return u.URL + name
}

// Remove takes a file away: its path answers 404 again.
func (u *Upstream) Remove(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.files, name)
}

// Sums serves a SHA256SUMS under name for the named files and returns its address.
func (u *Upstream) Sums(name string, files ...string) string {
	var b strings.Builder
	u.mu.Lock()
	for _, f := range files {
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(u.files[f]), path.Base(f))
	}
	u.mu.Unlock()
	return u.File(name, []byte(b.String()))
}

// Break makes the path faulty from now on; a zero Fault heals it.
func (u *Upstream) Break(name string, f Fault) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.faults[name] = &f
	if f == (Fault{}) {
		delete(u.faults, name)
	}
}

// Requests returns what was asked for the path, in order; for "" everything.
func (u *Upstream) Requests(name string) []Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	var list []Request
	for _, r := range u.seen {
		if name == "" || r.Path == name {
			list = append(list, r)
		}
	}
	return list
}

func (u *Upstream) serve(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.seen = append(u.seen, Request{r.URL.Path, r.Header.Get("Range"), r.Header.Get("If-Range")})
	body, ok := u.files[r.URL.Path]
	var fault Fault
	if f := u.faults[r.URL.Path]; f != nil {
		fault = *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				delete(u.faults, r.URL.Path)
			}
		}
	}
	kind := u.types[r.URL.Path]
	u.mu.Unlock()
	if kind != "" {
		w.Header().Set("Content-Type", kind)
	}
	if r.URL.Path == "/v2/" {
		w.WriteHeader(http.StatusOK)
		return
	}
	u.answer(w, r, body, ok, fault)
}

func (u *Upstream) answer(w http.ResponseWriter, r *http.Request, body []byte, ok bool, f Fault) {
	switch {
	case f.Stall < 0:
		u.hang(r)
	case f.Redirect != "":
		http.Redirect(w, r, f.Redirect, http.StatusFound)
	case f.Status != 0:
		if f.RetryAfter != "" {
			w.Header().Set("Retry-After", f.RetryAfter)
		}
		http.Error(w, "fault", f.Status)
	case !ok:
		http.NotFound(w, r)
	default:
		u.content(w, r, body, f)
	}
}

func (u *Upstream) content(w http.ResponseWriter, r *http.Request, body []byte, f Fault) {
	if f.Flip {
		body = bytes.Clone(body)
		body[len(body)/2] ^= 1
	}
	if f.Short > 0 {
		body = body[:f.Short]
	}
	if !f.NoTag {
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(body))[:20]+`"`)
	}
	if f.NoRange {
		r.Header.Del("Range")
	}
	if f.Length > 0 {
		w.Header().Set("Content-Length", strconv.Itoa(f.Length))
		w.Write(body[:min(len(body), f.Length)])
		panic(http.ErrAbortHandler)
	}
	out := &cutter{ResponseWriter: w, upstream: u, request: r, fault: f}
	http.ServeContent(out, r, "", time.Time{}, bytes.NewReader(body))
}

// hang waits until the client or the test gives up.
func (u *Upstream) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-u.stopping:
	}
	panic(http.ErrAbortHandler)
}

// cutter ends an answer in the middle.
type cutter struct {
	http.ResponseWriter
	upstream *Upstream
	request  *http.Request
	fault    Fault
	sent     int
}

func (c *cutter) Write(p []byte) (int, error) {
	limit := c.fault.CutAfter
	if limit == 0 {
		limit = c.fault.Stall
	}
	if limit > 0 && c.sent+len(p) >= limit {
		c.ResponseWriter.Write(p[:limit-c.sent])
		c.ResponseWriter.(http.Flusher).Flush()
		if c.fault.Stall > 0 {
			c.upstream.hang(c.request)
		}
		panic(http.ErrAbortHandler)
	}
	n, err := c.ResponseWriter.Write(p)
	c.sent += n
	return n, err
}
