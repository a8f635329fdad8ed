package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// makeImages writes trees with one small file in each, and makes the images.
func makeImages(t *testing.T, refs ...string) string {
	t.Helper()
	dir, out := t.TempDir(), t.TempDir()
	for _, name := range []string{"busybox", "tools", "flannel", "certificates", "coredns"} {
		if err := os.MkdirAll(filepath.Join(dir, name, "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "bin", name), []byte(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, arch := range []string{"amd64", "arm64"} {
		if err := os.WriteFile(filepath.Join(dir, "program-"+arch), []byte(arch), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var lines bytes.Buffer
	if err := run([]string{dir, out}, strings.NewReader(strings.Join(refs, "\n")+"\n"), &lines); err != nil {
		t.Fatal(err)
	}
	return out
}

// manifestOf is the manifest or index that a layout names, and its media type.
func manifestOf(t *testing.T, dir string) (manifest, index, string) {
	t.Helper()
	var top, list index
	var m manifest
	read := func(name string, v any) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, v); err != nil {
			t.Fatal(err)
		}
	}
	blob := func(d descriptor) string {
		return filepath.Join("blobs", "sha256", strings.TrimPrefix(d.Digest, "sha256:"))
	}
	read("index.json", &top)
	read(blob(top.Manifests[0]), &list)
	first := top.Manifests[0]
	if len(list.Manifests) > 0 {
		first = list.Manifests[0]
	}
	read(blob(first), &m)
	return m, list, top.Manifests[0].MediaType
}

func TestEveryFormOfAnImageIsAmongThem(t *testing.T) {
	out := makeImages(t, "k8s.gcr.io/pause:3.2", "k8s.gcr.io/coredns:1.7.0", "quay.io/coreos/flannel:v0.15.1", "docker.io/library/busybox:1.28.4")
	for i, want := range []struct {
		mediaType         string
		layers, platforms int
	}{
		{"application/vnd.docker.distribution.manifest.list.v2+json", 1, 2},
		{"application/vnd.docker.distribution.manifest.v2+json", 2, 0},
		{"application/vnd.oci.image.manifest.v1+json", 3, 0},
		{"application/vnd.oci.image.index.v1+json", 1, 2},
	} {
		m, list, mediaType := manifestOf(t, filepath.Join(out, string(rune('0'+i))))
		if mediaType != want.mediaType || len(m.Layers) != want.layers || len(list.Manifests) != want.platforms {
			t.Errorf("image %d: %s with %d layers and %d platforms, want %s with %d and %d", i, mediaType, len(m.Layers), len(list.Manifests), want.mediaType, want.layers, want.platforms)
		}
	}
}

func TestFlannelAndBusyboxShareALayer(t *testing.T) {
	out := makeImages(t, "quay.io/coreos/flannel:v0.15.1", "docker.io/library/busybox:1.28.4")
	flannel, _, _ := manifestOf(t, filepath.Join(out, "0"))
	busybox, _, _ := manifestOf(t, filepath.Join(out, "1"))
	if !slices.ContainsFunc(flannel.Layers, func(d descriptor) bool { return d.Digest == busybox.Layers[0].Digest }) {
		t.Errorf("flannel's layers %v do not have busybox's %s", flannel.Layers, busybox.Layers[0].Digest)
	}
}
