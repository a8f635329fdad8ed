package fetch_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"offgrid/builder/internal/fetch"
	"offgrid/builder/internal/store"
	"offgrid/builder/upstreamtest"
	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// content is 1 MiB that is nowhere the same.
func content() []byte {
	b := make([]byte, 1<<20)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

type setup struct {
	up     *upstreamtest.Upstream
	store  *store.Store
	client *fetch.Client
	events []progress.Event
	mu     sync.Mutex
}

func newSetup(t *testing.T, o fetch.Options) *setup {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	x := &setup{up: upstreamtest.New(t), store: s}
	o.Store = s
	if o.Stall == 0 {
		o.Stall = 10 * time.Second
	}
	o.Pause = func(int) time.Duration { return 0 }
	o.Report = func(e progress.Event) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.events = append(x.events, e)
	}
	x.client = fetch.New(o)
	return x
}

func (x *setup) request(body []byte) fetch.Request {
	return fetch.Request{
		Item: "etcd v3.4.26", URL: x.up.File("/etcd.tar.gz", body), SHA256: bundle.DigestOf(body), Size: int64(len(body)),
	}
}

// checkStored fails unless the store holds body and nothing unfinished.
func (x *setup) checkStored(t *testing.T, body []byte) {
	t.Helper()
	got, err := os.ReadFile(x.store.Path(bundle.DigestOf(body)))
	if err != nil || !bytes.Equal(got, body) {
		t.Fatalf("stored: %d bytes, %v, want %d", len(got), err, len(body))
	}
	if left, _ := filepath.Glob(filepath.Join(x.store.Dir(), "partial", "*.part")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestEachFaultOfAnUpstreamIsNamedOrOvercome(t *testing.T) {
	body := content()
	flipped := bytes.Clone(body)
	flipped[len(body)/2] ^= 1
	for _, c := range []struct {
		summary string
		fault   upstreamtest.Fault
		unsized bool
		asked   int
		err     string // URL stands for the address
	}{
		{summary: "nothing wrong", asked: 1},
		{summary: "404", fault: upstreamtest.Fault{Status: 404}, asked: 1,
			err: "fetching etcd v3.4.26 from URL: the server answers 404 Not Found"},
		{summary: "503 twice", fault: upstreamtest.Fault{Status: 503, Times: 2}, asked: 3},
		{summary: "503 for good", fault: upstreamtest.Fault{Status: 503}, asked: 5,
			err: "fetching etcd v3.4.26 from URL: the server answers 503 Service Unavailable (tried 5 times)"},
		{summary: "connection cut once", fault: upstreamtest.Fault{CutAfter: 500_000, Times: 1}, asked: 2},
		{summary: "connection cut, no resume", fault: upstreamtest.Fault{CutAfter: 500_000, NoRange: true}, asked: 5,
			err: "fetching etcd v3.4.26 from URL: the transfer broke off after 500000 of 1048576 bytes: unexpected EOF (tried 5 times)"},
		{summary: "short body", fault: upstreamtest.Fault{Short: 1000}, asked: 1,
			err: "fetching etcd v3.4.26 from URL: the server has 1000 bytes, want 1048576"},
		{summary: "short body, size not known", fault: upstreamtest.Fault{Short: 1000}, unsized: true, asked: 1,
			err: fmt.Sprintf("fetching etcd v3.4.26 from URL: wrong bytes: sha256 is %s after 1000 bytes, want %s", bundle.DigestOf(body[:1000]).Hex(), bundle.DigestOf(body).Hex())},
		{summary: "wrong bytes", fault: upstreamtest.Fault{Flip: true}, asked: 1,
			err: fmt.Sprintf("fetching etcd v3.4.26 from URL: wrong bytes: sha256 is %s after 1048576 bytes, want %s", bundle.DigestOf(flipped).Hex(), bundle.DigestOf(body).Hex())},
		{summary: "nothing at all, once", fault: upstreamtest.Fault{Stall: -1, Times: 1}, asked: 2},
		{summary: "nothing at all", fault: upstreamtest.Fault{Stall: -1}, asked: 5,
			err: "fetching etcd v3.4.26 from URL: no data for 400ms (tried 5 times)"},
		{summary: "stall in the middle, once", fault: upstreamtest.Fault{Stall: 300_000, Times: 1}, asked: 2},
		{summary: "a length that is a lie", fault: upstreamtest.Fault{Length: 2_000_000}, asked: 1,
			err: "fetching etcd v3.4.26 from URL: the server has 2000000 bytes, want 1048576"},
		{summary: "a length that is a lie, size not known", fault: upstreamtest.Fault{Length: 2_000_000, NoRange: true}, unsized: true, asked: 5,
			err: "fetching etcd v3.4.26 from URL: the transfer broke off after 1048576 of 2000000 bytes: unexpected EOF (tried 5 times)"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			var o fetch.Options
			if c.fault.Stall != 0 {
				o.Stall = 400 * time.Millisecond // a slow machine must not look like a silent upstream
			}
			x := newSetup(t, o)
			r := x.request(body)
			if c.unsized {
				r.Size = 0
			}
			x.up.Break("/etcd.tar.gz", c.fault)
			_, err := x.client.Get(t.Context(), r)
			want := strings.ReplaceAll(c.err, "URL", r.URL)
			if c.err == "" && err != nil || c.err != "" && (err == nil || err.Error() != want) {
				t.Errorf("error:\n got %v\nwant %s", err, want)
			}
			if n := len(x.up.Requests("/etcd.tar.gz")); n != c.asked {
				t.Errorf("asked %d times, want %d", n, c.asked)
			}
			if c.err == "" {
				x.checkStored(t, body)
			} else if x.store.Has(r.SHA256) {
				t.Error("it is in the store all the same")
			}
		})
	}
}

func TestABrokenTransferIsContinuedWhereItEnded(t *testing.T) {
	body := content()
	x := newSetup(t, fetch.Options{})
	r := x.request(body)
	x.up.Break("/etcd.tar.gz", upstreamtest.Fault{CutAfter: 700_000, Times: 1})
	if _, err := x.client.Get(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	asked := x.up.Requests("/etcd.tar.gz")
	if len(asked) != 2 || asked[0].Range != "" || asked[1].Range != "bytes=700000-" || asked[1].IfRange == "" {
		t.Errorf("asked %q", asked)
	}
	x.checkStored(t, body)
}

func TestAnInterruptedRunIsContinuedByTheNext(t *testing.T) {
	body := content()
	x := newSetup(t, fetch.Options{Attempts: 1})
	r := x.request(body)
	x.up.Break("/etcd.tar.gz", upstreamtest.Fault{CutAfter: 400_000, Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := x.client.Get(ctx, r); err == nil {
		t.Fatal("want an error")
	}
	cancel()
	if _, err := fetch.New(fetch.Options{Store: x.store}).Get(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if asked := x.up.Requests("/etcd.tar.gz"); asked[len(asked)-1].Range != "bytes=400000-" {
		t.Errorf("asked %q", asked)
	}
	x.checkStored(t, body)
}

func TestAFileThatChangedMeanwhileIsTakenAnew(t *testing.T) {
	old, body := content(), content()
	for i := range body {
		body[i] ^= 0xff
	}
	for _, tagless := range []bool{false, true} {
		x := newSetup(t, fetch.Options{Attempts: 1})
		r := x.request(old)
		r.SHA256 = bundle.DigestOf(body)
		x.up.Break("/etcd.tar.gz", upstreamtest.Fault{CutAfter: 400_000, NoTag: tagless})
		if _, err := x.client.Get(t.Context(), r); err == nil {
			t.Fatal("want an error")
		}
		x.up.File("/etcd.tar.gz", body)
		x.up.Break("/etcd.tar.gz", upstreamtest.Fault{NoTag: tagless})
		if _, err := x.client.Get(t.Context(), r); err != nil {
			t.Fatalf("without ETag %v: %v", tagless, err)
		}
		x.checkStored(t, body)
	}
}

func TestMirrorsAreAskedFirstAndTheOriginalLast(t *testing.T) {
	body := content()
	x := newSetup(t, fetch.Options{})
	r := x.request(body)
	one, two := upstreamtest.New(t), upstreamtest.New(t)
	two.File("/m/etcd.tar.gz", body)
	two.Break("/m/etcd.tar.gz", upstreamtest.Fault{Flip: true})
	client := fetch.New(fetch.Options{Store: x.store, Attempts: 1, Mirrors: []fetch.Mirror{
		{From: "https://elsewhere.example/", To: "https://nowhere.example/"},
		{From: x.up.URL, To: one.URL},
		{From: x.up.URL + "/", To: two.URL + "/m/"},
	}})
	got, err := client.Get(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if got.URL != r.URL || len(one.Requests("")) != 1 || len(two.Requests("")) != 1 || len(x.up.Requests("")) != 1 {
		t.Errorf("from %s; asked %q, %q, %q", got.URL, one.Requests(""), two.Requests(""), x.up.Requests(""))
	}
	x.checkStored(t, body)
	x.up.Break("/etcd.tar.gz", upstreamtest.Fault{Status: 404})
	if err := x.store.Discard(r.SHA256); err != nil {
		t.Fatal(err)
	}
	_, err = client.Get(t.Context(), r)
	flipped := bytes.Clone(body)
	flipped[len(body)/2] ^= 1
	want := fmt.Sprintf("fetching etcd v3.4.26 from %s/etcd.tar.gz: the server answers 404 Not Found; from %s/m/etcd.tar.gz: wrong bytes: sha256 is %s after 1048576 bytes, want %s; from %s: the server answers 404 Not Found",
		one.URL, two.URL, bundle.DigestOf(flipped).Hex(), r.SHA256.Hex(), r.URL)
	if err == nil || err.Error() != want {
		t.Errorf("error:\n got %v\nwant %s", err, want)
	}
}

func TestASha512PinsAsWell(t *testing.T) {
	body := content()
	x := newSetup(t, fetch.Options{})
	r := x.request(body)
	r.SHA256, r.Size, r.SHA512 = bundle.Digest{}, 0, fmt.Sprintf("%x", sha512.Sum512(body))
	got, err := x.client.Get(t.Context(), r)
	if err != nil || got.SHA256 != bundle.DigestOf(body) || got.Size != 1<<20 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if again, err := x.client.Get(t.Context(), r); err != nil || again.SHA256 != got.SHA256 || len(x.up.Requests("/etcd.tar.gz")) != 1 {
		t.Errorf("again: %+v, %v, asked %d times, want 1", again, err, len(x.up.Requests("/etcd.tar.gz")))
	}
	r.SHA512 = strings.Repeat("0", 128)
	_, err = x.client.Get(t.Context(), r)
	want := fmt.Sprintf("fetching etcd v3.4.26 from %s: wrong bytes: sha512 is %x after 1048576 bytes, want %s", r.URL, sha512.Sum512(body), r.SHA512)
	if err == nil || err.Error() != want {
		t.Errorf("error:\n got %v\nwant %s", err, want)
	}
}

func TestUnpinnedBytesNeedHTTPSOrThisMachine(t *testing.T) {
	x := newSetup(t, fetch.Options{})
	_, err := x.client.Text(t.Context(), fetch.Request{Item: "SHA256SUMS of etcd", URL: "http://etcd.example/SHA256SUMS"})
	want := `fetching SHA256SUMS of etcd from http://etcd.example/SHA256SUMS: address "http://etcd.example/SHA256SUMS": http protects nothing: use https, or give the sha256 of the bytes`
	if err == nil || err.Error() != want {
		t.Errorf("error:\n got %v\nwant %s", err, want)
	}
	from := x.up.File("/sums", nil)
	x.up.Break("/sums", upstreamtest.Fault{Redirect: "http://etcd.example/SHA256SUMS"})
	_, err = x.client.Text(t.Context(), fetch.Request{Item: "SHA256SUMS of etcd", URL: from})
	want = `fetching SHA256SUMS of etcd from ` + from + `: the server redirects to an address "http://etcd.example/SHA256SUMS": http protects nothing: use https, or give the sha256 of the bytes`
	if err == nil || err.Error() != want {
		t.Errorf("error:\n got %v\nwant %s", err, want)
	}
}

func TestARedirectIsFollowed(t *testing.T) {
	body := content()
	x := newSetup(t, fetch.Options{})
	r := x.request(body)
	x.up.File("/old", nil)
	x.up.Break("/old", upstreamtest.Fault{Redirect: "/etcd.tar.gz"})
	r.URL = x.up.URL + "/old"
	if _, err := x.client.Get(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	x.checkStored(t, body)
	x.up.Break("/old", upstreamtest.Fault{Redirect: "/old"})
	_, err := x.client.Text(t.Context(), fetch.Request{Item: "a loop", URL: r.URL})
	if err == nil || !strings.HasSuffix(err.Error(), "the server redirects more than 10 times") {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsInTheStoreIsNotAskedFor(t *testing.T) {
	body := content()
	x := newSetup(t, fetch.Options{})
	r := x.request(body)
	for range 2 {
		if _, err := x.client.Get(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(x.up.Requests("")); n != 1 {
		t.Errorf("asked %d times, want 1", n)
	}
	if last := x.events[len(x.events)-1]; last.Kind != progress.Skip || last.Item != "etcd v3.4.26" {
		t.Errorf("last event %+v", last)
	}
}

func TestTwoWhoWantTheSameFetchItOnce(t *testing.T) {
	body := content()
	x := newSetup(t, fetch.Options{})
	r := x.request(body)
	other, err := store.Open(x.store.Dir()) // as another process has it
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	clients := []*fetch.Client{x.client, fetch.New(fetch.Options{Store: other})}
	if err := fetch.Each(t.Context(), 2, 2, func(ctx context.Context, i int) error {
		_, err := clients[i].Get(ctx, r)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if n := len(x.up.Requests("")); n != 1 {
		t.Errorf("asked %d times, want 1", n)
	}
	x.checkStored(t, body)
}

func TestAPinnedTextThatAMirrorHasWrongComesFromTheOriginal(t *testing.T) {
	x := newSetup(t, fetch.Options{})
	right := x.up.File("/right/manifest", []byte("right"))
	wrong := x.up.File("/wrong/manifest", []byte("wrong"))
	x = &setup{up: x.up, store: x.store, client: fetch.New(fetch.Options{Store: x.store, Mirrors: []fetch.Mirror{{From: x.up.URL + "/right/", To: x.up.URL + "/wrong/"}}})}
	r := fetch.Request{Item: "image pause", URL: right, SHA256: bundle.DigestOf([]byte("right"))}
	if a, err := x.client.Text(t.Context(), r); err != nil || string(a.Body) != "right" || a.URL != right {
		t.Errorf("got %q from %s, %v", a.Body, a.URL, err)
	}
	r.URL = wrong
	_, err := x.client.Text(t.Context(), r)
	var bad *fetch.WrongBytesError
	if !errors.As(err, &bad) || bad.Size != 5 {
		t.Errorf("got %v, want a *WrongBytesError", err)
	}
}

func TestATextThatIsTooLongIsRefused(t *testing.T) {
	x := newSetup(t, fetch.Options{})
	addr := x.up.File("/key", []byte("0123456789"))
	if a, err := x.client.Text(t.Context(), fetch.Request{Item: "key", URL: addr, MaxSize: 10}); err != nil || string(a.Body) != "0123456789" {
		t.Errorf("got %q, %v", a.Body, err)
	}
	_, err := x.client.Text(t.Context(), fetch.Request{Item: "key", URL: addr, MaxSize: 9})
	if want := "fetching key from " + addr + ": the server sends more than 9 bytes"; err == nil || err.Error() != want {
		t.Errorf("error:\n got %v\nwant %s", err, want)
	}
}

func TestEachStopsAtTheFirstError(t *testing.T) {
	var calls atomic.Int32
	boom := errors.New("boom")
	err := fetch.Each(t.Context(), 1000, 2, func(ctx context.Context, i int) error {
		calls.Add(1)
		if i == 3 {
			return boom
		}
		return nil
	})
	if !errors.Is(err, boom) || calls.Load() > 10 {
		t.Errorf("got %v after %d calls", err, calls.Load())
	}
}

func TestMirrorRulesAreRead(t *testing.T) {
	for _, c := range []struct{ rule, from, to, err string }{
		{"https://dl.k8s.io=https://m.example/k8s", "https://dl.k8s.io", "https://m.example/k8s", ""},
		{"https://a.example/?x=1/=http://127.0.0.1:8080/", "https://a.example/?x=1/", "http://127.0.0.1:8080/", ""},
		{"https://dl.k8s.io", "", "", `mirror "https://dl.k8s.io": want FROM=TO, two addresses`},
		{"https://a.example/=https://b.example", "", "", `mirror "https://a.example/=https://b.example": both sides must end in "/", or neither`},
		{"ftp://a.example=https://b.example", "", "", `mirror "ftp://a.example=https://b.example": address "ftp://a.example": want https://`},
	} {
		m, err := fetch.ParseMirror(c.rule)
		if c.err != "" && (err == nil || err.Error() != c.err) || c.err == "" && (err != nil || m.From != c.from || m.To != c.to) {
			t.Errorf("%s: got %+v, %v", c.rule, m, err)
		}
	}
}
