package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// layer makes an image layer as registries serve it: a gzipped tar of one file.
func layer(t *testing.T, name, content string) string {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// skopeo runs skopeo and returns its standard output.
func skopeo(t *testing.T, args ...string) []byte {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "skopeo", append([]string{"--insecure-policy", "--override-os", "linux", "--override-arch", "amd64"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("skopeo %s: %v\n%s", strings.Join(args, " "), err, errOut.String())
	}
	return out.Bytes()
}

func TestSkopeoReadsAndCopiesEveryManifestByItsRefName(t *testing.T) {
	if _, err := exec.LookPath("skopeo"); err != nil {
		t.Skip("skopeo is not installed; Debian's package skopeo (1.9.3) has it")
	}
	s := newSample(t)
	shared := layer(t, "etc/os-release", "ID=test\n")
	s.image("k8s.gcr.io/pause:3.2", MediaTypeDockerManifest, "application/vnd.docker.container.image.v1+json", dockerType,
		`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:`+strings.Repeat("1", 64)+`"]}}`, shared)
	s.image("quay.io/coreos/flannel:v0.14.0", MediaTypeManifest, "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip",
		`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:`+strings.Repeat("2", 64)+`"]}}`, shared, layer(t, "flanneld", "flannel"))
	data := s.write(t)
	b := mustOpen(t, data)
	file := filepath.Join(t.TempDir(), "node.bundle")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, d := range b.Root.Manifests {
		ref := d.Annotations[AnnotationRefName]
		if got := skopeo(t, "inspect", "--raw", "oci-archive:"+file+":"+ref); DigestOf(got) != d.Digest {
			t.Errorf("skopeo inspect of %s has digest %s, want %s", ref, DigestOf(got), d.Digest)
		}
		skopeo(t, "copy", "--quiet", "oci-archive:"+file+":"+ref, "oci:"+t.TempDir()+":"+ref)
		checkDirCopy(t, b, file, ref, d)
	}
}

// checkDirCopy copies to skopeo's dir transport, which changes nothing, and compares the manifest and every blob.
func checkDirCopy(t *testing.T, b *Bundle, file, ref string, d Descriptor) {
	t.Helper()
	dir := t.TempDir()
	skopeo(t, "copy", "--quiet", "--preserve-digests", "oci-archive:"+file+":"+ref, "dir:"+dir)
	want := d.Digest
	if img, ok := b.Image(ref); ok {
		want = img.Manifest.Digest // skopeo takes the one that fits the platform out of the index
	}
	got, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if DigestOf(got) != want {
		t.Errorf("copy of %s: manifest %s, want %s", ref, DigestOf(got), want)
	}
	m, err := parseImageManifest(got)
	if err != nil {
		t.Fatal(err)
	}
	for _, blob := range append(m.Layers, m.Config) {
		content, err := os.ReadFile(filepath.Join(dir, blob.Digest.Hex()))
		if err != nil || DigestOf(content) != blob.Digest {
			t.Errorf("copy of %s: blob %s is not there unchanged: %v", ref, blob.Digest, err)
		}
	}
}

func TestPlainToolsCheckABundle(t *testing.T) {
	for _, tool := range []string{"tar", "sha256sum", "zstd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	dir := t.TempDir()
	data := newSample(t).write(t)
	b := mustOpen(t, data)
	kubelet, _ := b.Artifact("kubelet")
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", `tar xf - ; cd blobs/sha256
		for f in *; do echo "$f  $f"; done | sha256sum -c --quiet
		zstd -dqc "$1" | sha256sum | cut -c1-64`, "sh", kubelet.Blob.Stored.Hex())
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(data)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != kubelet.Blob.Digest.Hex() {
		t.Errorf("error %v, output %q, want the digest of kubelet's content %s", err, out, kubelet.Blob.Digest.Hex())
	}
}
