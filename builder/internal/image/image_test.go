package image_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"offgrid/builder/internal/fetch"
	"offgrid/builder/internal/image"
	"offgrid/builder/internal/store"
	"offgrid/builder/upstreamtest"
	"offgrid/bundle"
)

func setup(t *testing.T) (*upstreamtest.Upstream, *store.Store, *image.Puller) {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	u := upstreamtest.New(t)
	c := fetch.New(fetch.Options{Store: s, Stall: 10 * time.Second, Pause: func(int) time.Duration { return 0 }})
	return u, s, image.NewPuller(c)
}

func platform() bundle.Platform { return bundle.Platform{OS: "linux", Arch: "amd64", Family: "el7"} }

func host(u *upstreamtest.Upstream) string { return strings.TrimPrefix(u.URL, "http://") }

func layers() [][]byte { return [][]byte{[]byte("layer one"), []byte("layer two")} }

func TestEveryFormOfImageIsKeptAsItIs(t *testing.T) {
	for _, c := range []struct{ list, kind string }{
		{upstreamtest.DockerList, upstreamtest.DockerManifest},
		{"", upstreamtest.DockerManifest},
		{upstreamtest.OCIIndex, upstreamtest.OCIManifest},
		{"", upstreamtest.OCIManifest},
	} {
		u, s, p := setup(t)
		pushed := u.Push(upstreamtest.Image{Repository: "pause", Tag: "3.2", Type: c.kind, List: c.list, Layers: layers()})
		img, err := p.Resolve(t.Context(), "k8s.gcr.io/pause:3.2", host(u)+"/pause:3.2", "", platform())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Pull(t.Context(), img); err != nil {
			t.Fatal(err)
		}
		if img.Manifest.Digest != pushed.Manifest || img.Manifest.MediaType != c.kind || img.Config.Digest != pushed.Config {
			t.Errorf("%s %s: got %+v, pushed %+v", c.list, c.kind, img, pushed)
		}
		if want := u.URL + "/v2/pause/manifests/" + pushed.Manifest.String(); img.URL != want {
			t.Errorf("URL %s, want %s", img.URL, want)
		}
		var got []bundle.Digest
		for _, l := range img.Layers {
			got = append(got, l.Digest)
		}
		if !slices.Equal(got, pushed.Layers) {
			t.Errorf("layers %v, want %v", got, pushed.Layers)
		}
		want := append([]bundle.Digest{pushed.Manifest, pushed.Config}, pushed.Layers...)
		if c.list != "" {
			want = append(want, pushed.Index)
			if img.Index == nil || img.Index.Digest != pushed.Index || img.Index.MediaType != c.list {
				t.Errorf("index %+v, pushed %s", img.Index, pushed.Index)
			}
		} else if img.Index != nil {
			t.Errorf("index %+v, want none", img.Index)
		}
		for _, d := range want {
			if err := s.Verify(t.Context(), d); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestAPinnedDigestIsWhatIsAskedFor(t *testing.T) {
	u, _, p := setup(t)
	pushed := u.Push(upstreamtest.Image{Repository: "a/pause", Tag: "3.2", Type: upstreamtest.DockerManifest, List: upstreamtest.DockerList, Layers: layers()})
	img, err := p.Resolve(t.Context(), "pause", host(u)+"/a/pause:3.2", pushed.Index.String(), platform())
	if err != nil || img.Manifest.Digest != pushed.Manifest {
		t.Fatalf("got %+v, %v", img, err)
	}
	if n := len(u.Requests("/v2/a/pause/manifests/3.2")); n != 0 {
		t.Errorf("the tag was asked for %d times", n)
	}
}

func TestAnImagesFaultsAreNamed(t *testing.T) {
	for _, c := range []struct {
		summary string
		path    string // MANIFEST, CONFIG, LAYER or a tag
		fault   upstreamtest.Fault
		pinned  bool
		err     string
	}{
		{"no such tag", "/v2/pause/manifests/3.2", upstreamtest.Fault{Status: 404}, false,
			"resolving image k8s.gcr.io/pause:3.2: fetching image k8s.gcr.io/pause:3.2 from URL/v2/pause/manifests/3.2: the server answers 404 Not Found"},
		{"manifest that is not JSON", "/v2/pause/manifests/3.2", upstreamtest.Fault{Short: 10}, false,
			"resolving image k8s.gcr.io/pause:3.2: from URL/v2/pause/manifests/3.2: the manifest is not JSON: unexpected end of JSON input"},
		{"pinned manifest changed", "/v2/pause/manifests/INDEX", upstreamtest.Fault{Flip: true}, true,
			"resolving image k8s.gcr.io/pause:3.2: fetching image k8s.gcr.io/pause:3.2 from URL/v2/pause/manifests/INDEX: wrong bytes: sha256 is "},
		{"platform manifest changed", "/v2/pause/manifests/MANIFEST", upstreamtest.Fault{Flip: true}, false,
			"resolving image k8s.gcr.io/pause:3.2: fetching image k8s.gcr.io/pause:3.2 from URL/v2/pause/manifests/MANIFEST: wrong bytes: sha256 is "},
		{"config is gone", "/v2/pause/blobs/CONFIG", upstreamtest.Fault{Status: 404}, false,
			"resolving image k8s.gcr.io/pause:3.2: fetching image k8s.gcr.io/pause:3.2 config from URL/v2/pause/blobs/CONFIG: the server answers 404 Not Found"},
		{"layer is damaged", "/v2/pause/blobs/LAYER", upstreamtest.Fault{Flip: true}, false,
			"pulling image k8s.gcr.io/pause:3.2: fetching image k8s.gcr.io/pause:3.2 layer 1 of 2 from URL/v2/pause/blobs/LAYER: wrong bytes: sha256 is "},
	} {
		t.Run(c.summary, func(t *testing.T) {
			u, _, p := setup(t)
			pushed := u.Push(upstreamtest.Image{Repository: "pause", Tag: "3.2", Type: upstreamtest.DockerManifest, List: upstreamtest.DockerList, Layers: layers()})
			names := strings.NewReplacer("URL", u.URL, "MANIFEST", pushed.Manifest.String(), "CONFIG", pushed.Config.String(),
				"INDEX", pushed.Index.String(), "LAYER", pushed.Layers[0].String())
			u.Break(names.Replace(c.path), c.fault)
			digest := ""
			if c.pinned {
				digest = pushed.Index.String()
			}
			img, err := p.Resolve(t.Context(), "k8s.gcr.io/pause:3.2", host(u)+"/pause:3.2", digest, platform())
			if err == nil {
				err = p.Pull(t.Context(), img)
			}
			if want := names.Replace(c.err); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("error:\n got %v\nwant %s", err, want)
			}
		})
	}
}

func TestAConfigThatNamesOtherLayersThanItsManifestIsRefused(t *testing.T) {
	for _, kind := range []string{upstreamtest.DockerManifest, upstreamtest.OCIManifest} {
		u, _, p := setup(t)
		pushed := u.Push(upstreamtest.Image{Repository: "pause", Tag: "3.2", Type: kind, Layers: layers(), Unnamed: 1})
		_, err := p.Resolve(t.Context(), "k8s.gcr.io/pause:3.2", host(u)+"/pause:3.2", "", platform())
		want := "resolving image k8s.gcr.io/pause:3.2: its config " + pushed.Config.Short() + " names 1 layers (diff_ids), its manifest " + pushed.Manifest.Short() +
			" has 2: docker would refuse to load it; take another tag or digest of the image"
		if err == nil || err.Error() != want {
			t.Errorf("error:\n got %v\nwant %s", err, want)
		}
		// A lock that was made before this was looked at.
		blob := func(kind string, d bundle.Digest) image.Blob {
			return image.Blob{MediaType: kind, Digest: d, Size: int64(len(u.Content("/v2/pause/blobs/" + d.String())))}
		}
		img := &image.Image{Ref: "k8s.gcr.io/pause:3.2", URL: u.URL + "/v2/pause/manifests/" + pushed.Manifest.String(),
			Manifest: image.Blob{MediaType: kind, Digest: pushed.Manifest}, Config: blob("config", pushed.Config)}
		for _, d := range pushed.Layers {
			img.Layers = append(img.Layers, blob("layer", d))
		}
		if err := p.Pull(t.Context(), img); err == nil || !strings.Contains(err.Error(), "names 1 layers (diff_ids)") {
			t.Errorf("pulling: %v", err)
		}
	}
}

func TestAnotherPlatformIsRefused(t *testing.T) {
	u, _, p := setup(t)
	u.Push(upstreamtest.Image{Repository: "pause", Tag: "list", Type: upstreamtest.DockerManifest, List: upstreamtest.DockerList, Layers: layers()})
	u.Push(upstreamtest.Image{Repository: "pause", Tag: "one", Type: upstreamtest.OCIManifest, Layers: layers()})
	other := bundle.Platform{OS: "linux", Arch: "s390x"}
	for tag, want := range map[string]string{
		"list": `resolving image pause: the list of manifests has none for linux/s390x, only for ["linux/arm64" "linux/amd64"]`,
		"one":  `resolving image pause: it is for linux/amd64, want linux/s390x`,
	} {
		if _, err := p.Resolve(t.Context(), "pause", host(u)+"/pause:"+tag, "", other); err == nil || err.Error() != want {
			t.Errorf("error:\n got %v\nwant %s", err, want)
		}
	}
}

func TestAnImageComesFromAMirrorAsWell(t *testing.T) {
	u, s, _ := setup(t)
	pushed := u.Push(upstreamtest.Image{Repository: "mirror/pause", Tag: "3.2", Type: upstreamtest.DockerManifest, Layers: layers()})
	c := fetch.New(fetch.Options{Store: s, Attempts: 1, Mirrors: []fetch.Mirror{
		{From: "https://registry.example/v2/", To: u.URL + "/v2/mirror/"},
	}})
	p := image.NewPuller(c)
	img, err := p.Resolve(t.Context(), "pause", "registry.example/pause:3.2", "", platform())
	if err != nil {
		t.Fatal(err)
	}
	if want := "https://registry.example/v2/pause/manifests/" + pushed.Manifest.String(); img.URL != want {
		t.Errorf("URL %s, want %s", img.URL, want)
	}
	if err := p.Pull(t.Context(), img); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Path(pushed.Layers[1])); err != nil {
		t.Error(err)
	}
}

func FuzzResolveNeverPanics(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"`+upstreamtest.DockerList+`","manifests":[{"platform":null}]}`), "x")
	f.Add([]byte(`{"schemaVersion":2,"config":{},"layers":[{}]}`), upstreamtest.OCIManifest)
	f.Fuzz(func(t *testing.T, manifest []byte, kind string) {
		if err := image.Check(manifest, kind, platform()); err != nil && fmt.Sprint(err) == "" {
			t.Error("an error without a text")
		}
	})
}
