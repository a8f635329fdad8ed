package bundle

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// sample is a small bundle's input with the stored bytes of everything in it.
type sample struct {
	in     Input
	stored map[Digest][]byte
}

func (s *sample) open(d Digest) (io.ReadCloser, error) {
	data, ok := s.stored[d]
	if !ok {
		return nil, fmt.Errorf("sample blob %s: %w", d.Short(), fs.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (s *sample) keep(data []byte) Descriptor {
	d := DigestOf(data)
	s.stored[d] = data
	return Descriptor{Digest: d, Size: int64(len(data))}
}

func (s *sample) artifact(t testing.TB, name, kind string, content []byte) {
	t.Helper()
	var out bytes.Buffer
	x, err := sampleEncoder()
	if err != nil {
		t.Fatal(err)
	}
	blob, err := x.Encode(t.Context(), bytes.NewReader(content), &out)
	if err != nil {
		t.Fatal(err)
	}
	s.add(name, kind, blob, out.Bytes())
}

// add adds an artifact that is encoded already.
func (s *sample) add(name, kind string, blob Blob, stored []byte) {
	s.stored[blob.Stored] = stored
	s.in.Role.Artifacts = append(s.in.Role.Artifacts, Artifact{
		Name: name, Version: "v1", Kind: kind, Source: "https://example.org/" + name, Vouched: "sha256 in the catalogue", Blob: blob,
	})
}

func (s *sample) image(ref, mediaType, configType, layerType string, config string, layers ...string) {
	c := s.keep([]byte(config))
	var ls []string
	for _, l := range layers {
		d := s.keep([]byte(l))
		ls = append(ls, fmt.Sprintf(`{"mediaType":%q,"size":%d,"digest":%q}`, layerType, d.Size, d.Digest))
	}
	m := s.keep(fmt.Appendf(nil, `{"schemaVersion": 2, "mediaType": %q, "config": {"mediaType": %q, "size": %d, "digest": %q}, "layers": [%s]}`,
		mediaType, configType, c.Size, c.Digest, strings.Join(ls, ",")))
	m.MediaType = mediaType
	s.in.Role.Images = append(s.in.Role.Images, Image{Ref: ref, Manifest: m.Digest, ID: c.Digest})
	s.in.Images = append(s.in.Images, ImageInput{Ref: ref, Manifest: m})
}

const dockerType = "application/vnd.docker.image.rootfs.diff.tar.gzip"

// encoded is an artifact's blob with its stored bytes.
type encoded struct {
	blob   Blob
	stored []byte
	err    error
}

// sampleEncoder is one for all samples: making its tables takes longer than what they are for.
var sampleEncoder = sync.OnceValues(func() (*Encoder, error) { return NewEncoder(Default, 2) })

// threeFrames is a program of three frames, encoded once for all samples: most of the work of making one.
var threeFrames = sync.OnceValue(func() encoded {
	big := make([]byte, 2*FrameSize+1000)
	copy(big, "first frame")
	copy(big[FrameSize:], "second frame")
	var out bytes.Buffer
	blob, err := Encode(context.Background(), bytes.NewReader(big), &out, 2)
	return encoded{blob, out.Bytes(), err}
})

// newSample makes a bundle of role node with three artifacts (one of three frames), two host packs and two images.
func newSample(t testing.TB) *sample {
	t.Helper()
	s := &sample{stored: map[Digest][]byte{}}
	s.in.Open = s.open
	s.in.Role = RoleIndex{
		Role: RoleNode, Platform: Platform{OS: "linux", Arch: "amd64", Family: "el7"},
		Cluster: Cluster{
			ID: "0123456789abcdef0123456789abcdef", Name: "demo", Serial: 1700000000, Lock: DigestOf([]byte("lock")),
			NotBefore: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), APIServer: "https://20.0.0.100:6443", ServiceCIDR: "10.0.0.0/24", JoinCIDRs: []string{"20.0.0.0/24"},
		},
		Files:   []File{{Path: "/opt/kubernetes/bin/kubelet", Mode: 0o755, Owner: "root", Group: "root", Artifact: "kubelet"}},
		Dirs:    []Dir{{Path: "/opt/kubernetes", Mode: 0o755}, {Path: "/opt/kubernetes/bin", Mode: 0o755}},
		Units:   []Unit{{Name: "kubelet.service"}},
		Checks:  []Check{{Unit: "kubelet.service", URL: "http://127.0.0.1:10248/healthz", TimeoutSeconds: 60}},
		Modules: []string{"br_netfilter", "overlay"},
		Hosts:   []Host{{Name: "node01", IP: "20.0.0.103", Roles: []string{RoleNode}}, {Name: "node02", IP: "20.0.0.104", Roles: []string{RoleNode}}},
	}
	s.artifact(t, "conntrack-1.rpm", KindPackage, []byte("an RPM"))
	big := threeFrames()
	if big.err != nil {
		t.Fatal(big.err)
	}
	big.blob.Frames = slices.Clone(big.blob.Frames)
	s.add("kubelet", KindProgram, big.blob, bytes.Clone(big.stored))
	s.artifact(t, "unit/kubelet.service", KindText, []byte("[Unit]\nDescription=Kubernetes Kubelet\n"))
	s.in.Packs = map[string]PackInput{
		"node01": {Pack: []byte("sealed 1"), Passphrase: []byte("passphrase 1"), SSHHostKey: []byte("SSH host key 1")},
		"node02": {Pack: []byte("sealed 2"), Passphrase: []byte("passphrase 2")},
	}
	s.image("example.org/a:1", MediaTypeDockerManifest, "application/vnd.docker.container.image.v1+json", dockerType, `{"architecture":"amd64","os":"linux","a":1}`, "shared layer", "layer of a")
	s.image("example.org/b:2", MediaTypeManifest, "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip", `{"architecture":"amd64","os":"linux","b":2}`, "shared layer")
	return s
}

func (s *sample) write(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := Write(context.Background(), &out, s.in); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// renewal writes it without programs, packages and images.
func (s *sample) renewal(t testing.TB) []byte {
	t.Helper()
	s.in.Renewal = true
	defer func() { s.in.Renewal = false }()
	return s.write(t)
}

func openBytes(data []byte) (*Bundle, error) { return openWith(data, nil) }

func openWith(data []byte, trust *Trust) (*Bundle, error) {
	all, err := openArchive("test.bundle", bytes.NewReader(data), Appended{Size: int64(len(data))}, nil, Options{Trust: trust})
	if err != nil {
		return nil, err
	}
	return TheRole("test.bundle", all, "")
}

func mustOpen(t testing.TB, data []byte) *Bundle {
	t.Helper()
	b, err := openBytes(data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// dirTarget is a CarryTarget in a plain directory.
type dirTarget struct {
	dir string
	put []string // paths written, in order
}

func (d *dirTarget) Has(_ context.Context, s StoredBlob) (bool, error) {
	data, err := os.ReadFile(filepath.Join(d.dir, s.Path()))
	return err == nil && DigestOf(data) == s.Digest, nil
}

func (d *dirTarget) Put(_ context.Context, path string, size int64, secret bool, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if int64(len(data)) != size {
		return fmt.Errorf("%s: %d bytes instead of %d", path, len(data), size)
	}
	d.put = append(d.put, path)
	mode := fs.FileMode(0o644)
	if secret {
		mode = 0o600
	}
	name := filepath.Join(d.dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, mode)
}
