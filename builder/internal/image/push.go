package image

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"offgrid/builder/internal/fetch"
	"offgrid/bundle"
)

// Target is where something is pushed to.
type Target struct {
	Ref       string // "registry.site.example:5000/coreos/flannel:v0.15.1"
	PlainHTTP bool   // the registry has no TLS
	Transport http.RoundTripper
}

// Open returns the bytes of a blob, by their digest.
type Open func(bundle.Digest) (io.ReadCloser, error)

// Push brings a manifest, or an index with everything that it names, into a registry, byte for byte. Blobs that are there
// are passed over.
func Push(ctx context.Context, to Target, what Blob, open Open) error {
	if err := push(ctx, to, what, open); err != nil {
		return fmt.Errorf("pushing %s: %w", to.Ref, err)
	}
	return nil
}

func push(ctx context.Context, to Target, what Blob, open Open) error {
	opts := []name.Option{name.StrictValidation}
	host, _, _ := strings.Cut(to.Ref, "/")
	plain := to.PlainHTTP || fetch.Loopback(hostOnly(host))
	if plain {
		opts = append(opts, name.Insecure)
	}
	ref, err := name.NewTag(to.Ref, opts...)
	if err != nil {
		return err
	}
	inner := to.Transport
	if inner == nil {
		inner = http.DefaultTransport
	}
	remoteOpts := []remote.Option{
		remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithTransport(&guard{inner, plain}),
	}
	s := &stored{open: open}
	if types.MediaType(what.MediaType).IsIndex() {
		index, err := s.index(what)
		if err != nil {
			return err
		}
		return remote.WriteIndex(ref, index, remoteOpts...)
	}
	image, err := s.image(what)
	if err != nil {
		return err
	}
	return remote.Write(ref, image, remoteOpts...)
}

// stored makes images and indexes of blobs.
type stored struct{ open Open }

// read reads a small blob whole and compares it with its digest.
func (s *stored) read(b Blob) ([]byte, error) {
	r, err := s.open(b.Digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, b.Size+1))
	if err != nil {
		return nil, err
	}
	if got := bundle.DigestOf(data); got != b.Digest {
		return nil, &bundle.DigestError{Name: b.MediaType, Want: b.Digest, Got: got, Size: int64(len(data))}
	}
	return data, nil
}

func (s *stored) image(b Blob) (v1.Image, error) {
	raw, err := s.read(b)
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", b.Digest, err)
	}
	return partial.CompressedToImage(&storedImage{stored: s, kind: types.MediaType(b.MediaType), raw: raw, manifest: m})
}

func (s *stored) index(b Blob) (v1.ImageIndex, error) {
	raw, err := s.read(b)
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", b.Digest, err)
	}
	return &storedIndex{stored: s, blob: b, raw: raw, manifest: m}, nil
}

func partOf(d v1.Descriptor) (Blob, error) {
	digest, err := bundle.ParseDigest(d.Digest.String())
	return Blob{MediaType: string(d.MediaType), Digest: digest, Size: d.Size}, err
}

// storedImage is what partial needs to know of an image.
type storedImage struct {
	*stored
	kind     types.MediaType
	raw      []byte
	manifest *v1.Manifest
}

// MediaType implements partial.CompressedImageCore.
func (i *storedImage) MediaType() (types.MediaType, error) { return i.kind, nil }

// RawManifest implements partial.CompressedImageCore.
func (i *storedImage) RawManifest() ([]byte, error) { return i.raw, nil }

// RawConfigFile implements partial.CompressedImageCore.
func (i *storedImage) RawConfigFile() ([]byte, error) {
	b, err := partOf(i.manifest.Config)
	if err != nil {
		return nil, err
	}
	return i.read(b)
}

// LayerByDigest implements partial.CompressedImageCore.
func (i *storedImage) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, d := range append([]v1.Descriptor{i.manifest.Config}, i.manifest.Layers...) {
		if d.Digest == h {
			return &storedLayer{i.stored, d}, nil
		}
	}
	return nil, fmt.Errorf("internal error: the manifest has no layer %s", h)
}

// storedLayer is one blob of an image; the registry compares it with its digest.
type storedLayer struct {
	*stored
	descriptor v1.Descriptor
}

// Digest implements partial.CompressedLayer.
func (l *storedLayer) Digest() (v1.Hash, error) { return l.descriptor.Digest, nil }

// Size implements partial.CompressedLayer.
func (l *storedLayer) Size() (int64, error) { return l.descriptor.Size, nil }

// MediaType implements partial.CompressedLayer.
func (l *storedLayer) MediaType() (types.MediaType, error) { return l.descriptor.MediaType, nil }

// Compressed implements partial.CompressedLayer.
func (l *storedLayer) Compressed() (io.ReadCloser, error) {
	b, err := partOf(l.descriptor)
	if err != nil {
		return nil, err
	}
	return l.open(b.Digest)
}

// storedIndex is an index whose parts are blobs.
type storedIndex struct {
	*stored
	blob     Blob
	raw      []byte
	manifest *v1.IndexManifest
}

// MediaType implements v1.ImageIndex.
func (i *storedIndex) MediaType() (types.MediaType, error) {
	return types.MediaType(i.blob.MediaType), nil
}

// Digest implements v1.ImageIndex.
func (i *storedIndex) Digest() (v1.Hash, error) { return v1.NewHash(i.blob.Digest.String()) }

// Size implements v1.ImageIndex.
func (i *storedIndex) Size() (int64, error) { return int64(len(i.raw)), nil }

// IndexManifest implements v1.ImageIndex.
func (i *storedIndex) IndexManifest() (*v1.IndexManifest, error) { return i.manifest.DeepCopy(), nil }

// RawManifest implements v1.ImageIndex.
func (i *storedIndex) RawManifest() ([]byte, error) { return i.raw, nil }

func (i *storedIndex) part(h v1.Hash) (Blob, error) {
	for _, d := range i.manifest.Manifests {
		if d.Digest == h {
			return partOf(d)
		}
	}
	return Blob{}, fmt.Errorf("internal error: the index has no part %s", h)
}

// Image implements v1.ImageIndex.
func (i *storedIndex) Image(h v1.Hash) (v1.Image, error) {
	b, err := i.part(h)
	if err != nil {
		return nil, err
	}
	return i.image(b)
}

// ImageIndex implements v1.ImageIndex.
func (i *storedIndex) ImageIndex(h v1.Hash) (v1.ImageIndex, error) {
	b, err := i.part(h)
	if err != nil {
		return nil, err
	}
	return i.index(b)
}
