//go:build !windows

package builder_test

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"offgrid/builder"
	"offgrid/bundle"
	"offgrid/bundle/signature"
)

// lyingRegistry is a registry that counts what is asked for, and can be made to lie.
type lyingRegistry struct {
	host  string
	mu    sync.Mutex
	asked []string
	wrap  func(path string, data []byte) (int, []byte) // status 0: as it is
}

func newLyingRegistry(t *testing.T) *lyingRegistry {
	t.Helper()
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	r := &lyingRegistry{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet || !strings.Contains(req.URL.Path, "/offgrid/") {
			inner.ServeHTTP(w, req)
			return
		}
		answer := httptest.NewRecorder()
		inner.ServeHTTP(answer, req)
		r.mu.Lock()
		r.asked = append(r.asked, req.URL.Path)
		wrap := r.wrap
		r.mu.Unlock()
		status, data := answer.Code, answer.Body.Bytes()
		if wrap != nil {
			if s, changed := wrap(req.URL.Path, data); s != 0 {
				status, data = s, changed
			}
		}
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		w.WriteHeader(status)
		_, _ = w.Write(data)
	}))
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

func (r *lyingRegistry) lie(wrap func(path string, data []byte) (int, []byte)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrap, r.asked = wrap, nil
}

// pushed builds a tiny site and pushes the bundle of its nodes.
func pushed(t *testing.T, r *lyingRegistry) (path string, ref builder.PushedRef, key signature.PublicKey) {
	t.Helper()
	s := newBuildSite(t)
	result, err := s.build()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(s.dir, "dist", "node.bundle")
	refs, err := builder.PushBundle(t.Context(), path, builder.PushOptions{Registry: r.host})
	if err != nil {
		t.Fatal(err)
	}
	return path, refs[0], result.Signer.Key
}

func pull(t *testing.T, ref, out string, trust *bundle.Trust) (*builder.Pulled, error) {
	t.Helper()
	return builder.PullBundle(t.Context(), builder.PullOptions{Ref: ref, Out: out, Trust: trust, Download: builder.Download{Parallel: 2, Attempts: 1}})
}

func TestWhatIsPulledIsWhatWasPushedByteForByte(t *testing.T) {
	r := newLyingRegistry(t)
	path, ref, key := pushed(t, r)
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{ref.Ref, ref.Ref[:strings.LastIndex(ref.Ref, ":")] + "@" + ref.Digest.String()} {
		out := filepath.Join(t.TempDir(), "back.bundle")
		p, err := pull(t, from, out, &bundle.Trust{Keys: []signature.PublicKey{key}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(out)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want the %d that were pushed; %v", from, len(got), len(want), err)
		}
		if p.Signer == nil || p.Signer.Key != key || p.Root != ref.Digest || p.Size != int64(len(want)) {
			t.Errorf("%+v", p)
		}
		if _, err := os.Stat(out + ".pulling"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("what was collected is still there: %v", err)
		}
	}
}

func TestAPullOfAStrangersBundleAsksForNothingBelowTheRoot(t *testing.T) {
	r := newLyingRegistry(t)
	_, ref, _ := pushed(t, r)
	other, err := signature.Generate()
	if err != nil {
		t.Fatal(err)
	}
	r.lie(nil)
	out := filepath.Join(t.TempDir(), "back.bundle")
	_, err = pull(t, ref.Ref, out, &bundle.Trust{Keys: []signature.PublicKey{other.Public()}})
	var untrusted *bundle.UntrustedError
	if !errors.As(err, &untrusted) {
		t.Errorf("got %v", err)
	}
	if len(r.asked) > 3 { // the root, the signature's manifest, the signature
		t.Errorf("asked for %q", r.asked)
	}
	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was written: %v", err)
	}
}

func TestARegistryThatLiesIsFoundOut(t *testing.T) {
	r := newLyingRegistry(t)
	_, ref, key := pushed(t, r)
	flip := func(data []byte) []byte { data = bytes.Clone(data); data[len(data)/2] ^= 1; return data }
	for name, wrap := range map[string]func(path string, data []byte) (int, []byte){
		"every blob":     func(path string, data []byte) (int, []byte) { return lieAbout(path, "/blobs/", flip(data)) },
		"the signature":  func(path string, data []byte) (int, []byte) { return lieAbout(path, ".minisig", flip(data)) },
		"no signature":   func(path string, _ []byte) (int, []byte) { return refuse(path, ".minisig") },
		"a missing blob": func(path string, _ []byte) (int, []byte) { return refuse(path, "/blobs/") },
		"the root":       func(path string, data []byte) (int, []byte) { return lieAbout(path, "/manifests/1", flip(data)) },
	} {
		r.lie(wrap)
		out := filepath.Join(t.TempDir(), "back.bundle")
		if _, err := pull(t, ref.Ref, out, &bundle.Trust{Keys: []signature.PublicKey{key}}); err == nil {
			t.Errorf("%s: it was believed", name)
		}
		if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a file was written: %v", name, err)
		}
	}
}

func lieAbout(path, part string, data []byte) (int, []byte) {
	if strings.Contains(path, part) {
		return http.StatusOK, data
	}
	return 0, nil
}

func refuse(path, part string) (int, []byte) {
	if strings.Contains(path, part) {
		return http.StatusNotFound, nil
	}
	return 0, nil
}

func TestAPullThatWasCutOffGoesOnWhereItStopped(t *testing.T) {
	r := newLyingRegistry(t)
	path, ref, key := pushed(t, r)
	out := filepath.Join(t.TempDir(), "back.bundle")
	var blobs atomic.Int64
	r.lie(func(path string, _ []byte) (int, []byte) {
		if strings.Contains(path, "/blobs/") && blobs.Add(1) > 8 {
			return http.StatusServiceUnavailable, nil
		}
		return 0, nil
	})
	trust := &bundle.Trust{Keys: []signature.PublicKey{key}}
	if _, err := pull(t, ref.Ref, out, trust); err == nil {
		t.Fatal("nothing was cut off")
	}
	r.lie(nil)
	if _, err := pull(t, ref.Ref, out, trust); err != nil {
		t.Fatal(err)
	}
	again := 0
	for _, asked := range r.asked {
		if strings.Contains(asked, "/blobs/") {
			again++
		}
	}
	b, err := bundle.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if all := len(b.Blobs()); again > all-4 {
		t.Errorf("%d blobs were asked for again, of %d", again, all)
	}
}
