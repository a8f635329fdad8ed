package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const ociLayer = "application/vnd.oci.image.layer.v1.tar+gzip"

// realImage adds an image whose config tells the true digests of its layers, as docker wants it.
func (s *sample) realImage(t testing.TB, ref, mediaType string, layers ...string) {
	t.Helper()
	var ids []string
	for _, l := range layers {
		z, err := gzip.NewReader(strings.NewReader(l))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, z); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, fmt.Sprintf(`"sha256:%x"`, sum.Sum(nil)))
	}
	config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[%s]}}`, strings.Join(ids, ","))
	configType, layerType := "application/vnd.docker.container.image.v1+json", dockerType
	if mediaType == MediaTypeManifest {
		configType, layerType = "application/vnd.oci.image.config.v1+json", ociLayer
	}
	s.image(ref, mediaType, configType, layerType, config, layers...)
}

// imageSample is a sample with three images that docker could load; two share a layer, two are one image under two names.
func imageSample(t *testing.T) *sample {
	t.Helper()
	s := newSample(t)
	s.in.Role.Images, s.in.Images = nil, nil
	shared := layer(t, "etc/os-release", "ID=test\n")
	s.realImage(t, "docker.io/library/busybox:1.28.4", MediaTypeDockerManifest, shared)
	s.realImage(t, "k8s.gcr.io/box:1", MediaTypeDockerManifest, shared)
	s.realImage(t, "quay.io/coreos/flannel:v0.15.1", MediaTypeManifest, shared, layer(t, "flanneld", "flannel"))
	return s
}

// dockerArchiveOf reads a docker archive whole.
func dockerArchiveOf(t *testing.T, b *Bundle, refs ...string) []byte {
	t.Helper()
	r, size, err := b.DockerArchive(t.Context(), refs...)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if int64(len(data)) != size {
		t.Fatalf("it has %d bytes, %d were promised", len(data), size)
	}
	return data
}

func TestADockerArchiveHasEveryBlobOnceAndItsManifestLast(t *testing.T) {
	b := mustOpen(t, imageSample(t).write(t))
	busybox, _ := b.Image("docker.io/library/busybox:1.28.4")
	flannel, _ := b.Image("quay.io/coreos/flannel:v0.15.1")
	data := dockerArchiveOf(t, b, "quay.io/coreos/flannel:v0.15.1", "k8s.gcr.io/box:1", "docker.io/library/busybox:1.28.4")
	var names []string
	r := tar.NewReader(bytes.NewReader(data))
	var manifest []dockerItem
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		hex, _, _ := strings.Cut(h.Name, ".")
		if got := DigestOf(content).Hex(); got != hex && h.Name != "manifest.json" {
			t.Errorf("%s has the digest %s", h.Name, got)
		}
		if h.Name == "manifest.json" {
			if err := json.Unmarshal(content, &manifest); err != nil {
				t.Fatal(err)
			}
		}
	}
	shared, own := busybox.Layers[0].Digest.Hex()+".tar", flannel.Layers[1].Digest.Hex()+".tar"
	want := []string{busybox.Config.Digest.Hex() + ".json", shared, flannel.Config.Digest.Hex() + ".json", own, "manifest.json"}
	if fmt.Sprint(names) != fmt.Sprint(want) {
		t.Errorf("members are %q, want %q", names, want)
	}
	items := []dockerItem{
		{want[0], []string{"busybox:1.28.4", "k8s.gcr.io/box:1"}, []string{shared}},
		{want[2], []string{"quay.io/coreos/flannel:v0.15.1"}, []string{shared, own}},
	}
	if fmt.Sprint(manifest) != fmt.Sprint(items) {
		t.Errorf("manifest is %v, want %v", manifest, items)
	}
	again := dockerArchiveOf(t, b, "docker.io/library/busybox:1.28.4", "quay.io/coreos/flannel:v0.15.1", "k8s.gcr.io/box:1", "k8s.gcr.io/box:1")
	if !bytes.Equal(data, again) {
		t.Errorf("in another order it differs from byte %d on", firstDifference(data, again))
	}
}

func TestSkopeoReadsADockerArchiveOfACarriedBundle(t *testing.T) {
	if _, err := exec.LookPath("skopeo"); err != nil {
		t.Skip("skopeo is not installed; Debian's package skopeo (1.9.3) has it")
	}
	dir := &dirTarget{dir: t.TempDir()}
	if err := mustOpen(t, imageSample(t).write(t)).Carry(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	b, err := Open(dir.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	refs := []string{"docker.io/library/busybox:1.28.4", "k8s.gcr.io/box:1", "quay.io/coreos/flannel:v0.15.1"}
	file := filepath.Join(t.TempDir(), "images.tar")
	if err := os.WriteFile(file, dockerArchiveOf(t, b, refs...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ref := range refs {
		for _, name := range []string{ref, DockerName(ref)} {
			out := t.TempDir()
			skopeo(t, "copy", "--quiet", "docker-archive:"+file+":"+name, "dir:"+out) // compares every layer with the config's diff ID
			data, err := os.ReadFile(filepath.Join(out, "manifest.json"))
			if err != nil {
				t.Fatal(err)
			}
			m, err := parseImageManifest(data)
			if err != nil {
				t.Fatal(err)
			}
			if img, _ := b.Image(ref); m.Config.Digest != img.Config.Digest || len(m.Layers) != len(img.Layers) {
				t.Errorf("%s has the ID %s and %d layers, want %s and %d", name, m.Config.Digest, len(m.Layers), img.Config.Digest, len(img.Layers))
			}
		}
	}
}

func TestADamagedBlobEndsADockerArchiveBeforeItsManifest(t *testing.T) {
	s := imageSample(t)
	whole := mustOpen(t, s.write(t))
	img, _ := whole.Image("quay.io/coreos/flannel:v0.15.1")
	for what, blob := range map[string]Descriptor{"config": img.Config, "layer 1 of 2": img.Layers[0], "layer 2 of 2": img.Layers[1]} {
		data := s.write(t)
		content := s.stored[blob.Digest]
		at := bytes.Index(data, content)
		data[at+len(content)-1] ^= 1
		b := mustOpen(t, data)
		r, _, err := b.DockerArchive(t.Context(), "quay.io/coreos/flannel:v0.15.1")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		var damage *DamageError
		if !errors.As(err, &damage) || damage.Offset != int64(at) || !strings.Contains(damage.Artifact, "image ") {
			t.Errorf("%s: error is %v", what, err)
		}
		if bytes.Contains(got, []byte("manifest.json")) {
			t.Errorf("%s: the manifest came all the same", what)
		}
		if _, err := r.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: it can be read on", what)
		}
		if err := errors.Join(r.Close(), r.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestAnImageThatWasNotCarriedIsNoDamage(t *testing.T) {
	dir := &dirTarget{dir: t.TempDir()}
	whole := mustOpen(t, imageSample(t).write(t))
	if err := whole.Carry(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	img, _ := whole.Image("k8s.gcr.io/box:1")
	remove := func(d Digest) {
		if err := os.Remove(filepath.Join(dir.dir, blobPath(d))); err != nil {
			t.Fatal(err)
		}
	}
	remove(img.Layers[0].Digest)
	for _, also := range []Digest{{}, img.Manifest.Digest} {
		if !also.IsZero() {
			remove(also)
		}
		b, err := Open(dir.dir)
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := b.DockerArchive(t.Context(), "k8s.gcr.io/box:1")
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if !errors.Is(err, ErrNotCarried) || !strings.Contains(err.Error(), "image ") {
			t.Errorf("error is %v", err)
		}
		b.Close()
	}
}

func TestDockerNamesAreThoseThatDockerShows(t *testing.T) {
	for ref, want := range map[string]string{
		"docker.io/library/busybox:1.28.4": "busybox:1.28.4", "busybox:1.28.4": "busybox:1.28.4", "library/busybox:1": "busybox:1",
		"index.docker.io/library/a:1": "a:1", "docker.io/coredns/coredns:1.7.0": "coredns/coredns:1.7.0", "coredns/coredns": "coredns/coredns:latest",
		"k8s.gcr.io/pause:3.2": "k8s.gcr.io/pause:3.2", "localhost/a": "localhost/a:latest", "host:5000/a": "host:5000/a:latest", "host:5000/a:1": "host:5000/a:1",
		"docker.io/library/a/b:1": "library/a/b:1", "quay.io/library/a:1": "quay.io/library/a:1",
		"k8s.gcr.io/pause@sha256:" + strings.Repeat("1", 64): "k8s.gcr.io/pause@sha256:" + strings.Repeat("1", 64),
	} {
		if got := DockerName(ref); got != want {
			t.Errorf("%s is %s to docker, got %s", ref, want, got)
		}
	}
}

func FuzzDockerName(f *testing.F) {
	f.Add("docker.io/library/busybox:1.28.4")
	f.Add("/:@")
	f.Fuzz(func(t *testing.T, ref string) {
		if once := DockerName(ref); !strings.HasPrefix(once, "docker.io/") && validRef(ref) && !strings.Contains(ref, "//") {
			if twice := DockerName(once); twice != once {
				t.Errorf("%q is %q, and that %q", ref, once, twice)
			}
		}
	})
}

func TestALayerThatDockerCannotLoadIsRefusedWhenTheBundleIsWritten(t *testing.T) {
	for _, media := range []string{"application/vnd.oci.image.layer.v1.tar+zstd", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"} {
		s := newSample(t)
		s.image("example.org/z:1", MediaTypeManifest, "application/vnd.oci.image.config.v1+json", media, `{"architecture":"amd64","os":"linux"}`, "a layer")
		_, err := Write(t.Context(), io.Discard, s.in)
		if err == nil || !strings.Contains(err.Error(), `image "example.org/z:1": layer 1 of 1 is "`+media+`"; docker before 23 loads tar and tar+gzip only`) {
			t.Errorf("error is %v", err)
		}
	}
}

func TestADockerArchiveTakesNoMoreMemoryForABigLayer(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's memory is not ours")
	}
	s := newSample(t)
	big := strings.Repeat("0123456789abcdef", 4<<20)
	s.image("example.org/big:1", MediaTypeManifest, "application/vnd.oci.image.config.v1+json", ociLayer, `{"architecture":"amd64","os":"linux"}`, big)
	b := mustOpen(t, s.write(t))
	r, size, err := b.DockerArchive(t.Context(), "example.org/big:1")
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, 32<<10))
	runtime.ReadMemStats(&after)
	if err != nil || n != size || n < 64<<20 {
		t.Fatalf("%d of %d bytes: %v", n, size, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("it allocated %d bytes on its way", used)
	}
}
