package image_test

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"offgrid/builder/internal/image"
	"offgrid/builder/upstreamtest"
	"offgrid/bundle"
)

func TestWhatIsPushedComesBackByteForByte(t *testing.T) {
	for _, kind := range []string{upstreamtest.DockerManifest, upstreamtest.OCIManifest} {
		u, s, p := setup(t)
		u.Push(upstreamtest.Image{Repository: "pause", Tag: "3.2", Type: kind, Layers: layers()})
		img, err := p.Resolve(t.Context(), "pause", host(u)+"/pause:3.2", "", platform())
		if err == nil {
			err = p.Pull(t.Context(), img)
		}
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
		t.Cleanup(server.Close)
		site := strings.TrimPrefix(server.URL, "http://")
		open := func(d bundle.Digest) (io.ReadCloser, error) { return s.Open(d) }
		for range 2 { // the second time everything is there
			if err := image.Push(t.Context(), image.Target{Ref: site + "/mirror/pause:3.2"}, img.Manifest, open); err != nil {
				t.Fatal(err)
			}
		}
		again, err := p.Resolve(t.Context(), "pause", site+"/mirror/pause:3.2", "", platform())
		if err != nil || again.Manifest != img.Manifest || again.Config != img.Config {
			t.Errorf("%s: got %+v, %v, want %+v", kind, again, err, img)
		}
	}
}

func TestADamagedBlobIsNotPushed(t *testing.T) {
	manifest := []byte(`{"schemaVersion":2}`)
	what := image.Blob{MediaType: upstreamtest.OCIManifest, Digest: bundle.DigestOf(manifest), Size: int64(len(manifest))}
	err := image.Push(t.Context(), image.Target{Ref: "127.0.0.1:1/x:1"}, what, func(bundle.Digest) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader([]byte(`{"schemaVersion":3}`))), nil
	})
	if err == nil || !strings.HasPrefix(err.Error(), "pushing 127.0.0.1:1/x:1: "+upstreamtest.OCIManifest+": sha256 is ") {
		t.Errorf("got %v", err)
	}
}

func TestARegistryWithoutTLSOnAnotherMachineNeedsAWord(t *testing.T) {
	manifest := []byte(`{"schemaVersion":2,"config":{"digest":"sha256:` + strings.Repeat("0", 64) + `"},"layers":[]}`)
	what := image.Blob{MediaType: upstreamtest.OCIManifest, Digest: bundle.DigestOf(manifest), Size: int64(len(manifest))}
	asked := ""
	target := image.Target{Ref: "10.1.2.3:5000/x:1", Transport: roundTrip(func(url string) { asked += url + " " })}
	err := image.Push(t.Context(), target, what, func(bundle.Digest) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(manifest)), nil })
	if err == nil || strings.Contains(asked, "http://") {
		t.Errorf("asked for %s, error %v", asked, err)
	}
	target.PlainHTTP = true
	err = image.Push(t.Context(), target, what, func(bundle.Digest) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(manifest)), nil })
	if err == nil || !strings.Contains(asked, "http://10.1.2.3:5000/v2/") {
		t.Errorf("asked for %s, error %v", asked, err)
	}
}

// roundTrip notes what it is asked for and knows nothing.
type roundTrip func(url string)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	f(r.URL.String())
	return nil, errors.New("there is nobody")
}
