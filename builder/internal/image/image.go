// Package image finds a container image in its registry and brings its manifest, config and layers into the store, byte
// for byte as the registry serves them: Docker schema 2 stays Docker schema 2, for a digest that people may have written
// down belongs to those bytes alone.
package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"offgrid/builder/internal/fetch"
	"offgrid/bundle"
)

// Limits on what a registry may say.
const (
	maxManifest = 4 << 20 // bytes, as registries themselves limit it
	maxLayers   = 256
	maxLayer    = 16 << 30 // bytes
)

// Blob is an OCI or Docker descriptor.
type Blob struct {
	MediaType string
	Digest    bundle.Digest
	Size      int64 // bytes
}

// Image is an image for one platform.
type Image struct {
	Ref      string // what people call it, for messages
	URL      string // of the manifest, by digest
	Index    *Blob  // list that the manifest was chosen from; nil when the reference names the manifest itself
	Manifest Blob
	Config   Blob
	Layers   []Blob
}

// Puller asks registries.
type Puller struct {
	client    *fetch.Client
	transport *registryTransport
}

// NewPuller makes a puller that downloads through c: with its mirrors, its limits and its store.
func NewPuller(c *fetch.Client) *Puller {
	return &Puller{client: c, transport: newRegistryTransport(c.Transport())}
}

// CheckSource says what is wrong with an image's source in a catalogue, such as "registry.k8s.io/pause:3.2".
func CheckSource(source string) error {
	_, err := name.ParseReference(source)
	if err != nil {
		return fmt.Errorf("image source %q: %w", source, err)
	}
	return nil
}

// reference is where an image is asked for.
type reference struct {
	base   string // "https://registry.k8s.io/v2/pause"
	tag    string // tag or digest
	pinned bundle.Digest
}

func parseReference(source, digest string) (reference, error) {
	var r reference
	ref, err := name.ParseReference(source)
	if err != nil {
		return r, fmt.Errorf("image source %q: %w", source, err)
	}
	repo := ref.Context()
	scheme := "https"
	if fetch.Loopback(hostOnly(repo.RegistryStr())) {
		scheme = "http"
	}
	r = reference{base: scheme + "://" + repo.RegistryStr() + "/v2/" + repo.RepositoryStr(), tag: ref.Identifier()}
	if d, ok := ref.(name.Digest); ok {
		if digest != "" && digest != d.DigestStr() {
			return r, fmt.Errorf("image source %q: its digest is not the pinned %s", source, digest)
		}
		digest = d.DigestStr()
	}
	if digest != "" {
		if r.pinned, err = bundle.ParseDigest(digest); err != nil {
			return r, fmt.Errorf("image source %q: %w", source, err)
		}
		r.tag = digest
	}
	return r, nil
}

func hostOnly(registry string) string {
	u := strings.TrimSuffix(registry, "/")
	if i := strings.LastIndexByte(u, ':'); i >= 0 && !strings.HasSuffix(u, "]") {
		u = u[:i]
	}
	return strings.Trim(u, "[]")
}

// Resolve asks the registry for the image: ref is its name for people, source where it is pulled from, digest the pinned
// digest of its list or manifest, "" when the tag decides. The manifest, and the list, are in the store afterwards.
func (p *Puller) Resolve(ctx context.Context, ref, source, digest string, platform bundle.Platform) (*Image, error) {
	img, err := p.resolve(ctx, ref, source, digest, platform)
	if err != nil {
		return nil, fmt.Errorf("resolving image %s: %w", ref, err)
	}
	return img, nil
}

func (p *Puller) resolve(ctx context.Context, ref, source, digest string, platform bundle.Platform) (*Image, error) {
	r, err := parseReference(source, digest)
	if err != nil {
		return nil, err
	}
	data, kind, err := p.manifest(ctx, ref, r.base, r.tag, r.pinned)
	if err != nil {
		return nil, err
	}
	img := &Image{Ref: ref}
	if types.MediaType(kind).IsIndex() {
		img.Index = &Blob{MediaType: kind, Digest: bundle.DigestOf(data), Size: int64(len(data))}
		child, err := choose(data, platform)
		if err != nil {
			return nil, err
		}
		if data, _, err = p.manifest(ctx, ref, r.base, child.Digest.String(), child.Digest); err != nil {
			return nil, err
		}
		if int64(len(data)) != child.Size {
			return nil, fmt.Errorf("manifest %s has %d bytes, the list says %d", child.Digest, len(data), child.Size)
		}
		kind = child.MediaType
	}
	img.Manifest = Blob{MediaType: kind, Digest: bundle.DigestOf(data), Size: int64(len(data))}
	img.URL = r.base + "/manifests/" + img.Manifest.Digest.String()
	if err := readManifest(data, img); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", img.Manifest.Digest, err)
	}
	return img, p.checkPlatform(ctx, img, r.base, platform)
}

// checkPlatform reads the config: an image without a list may be for any machine.
func (p *Puller) checkPlatform(ctx context.Context, img *Image, base string, platform bundle.Platform) error {
	if err := p.get(ctx, img.Ref+" config", base, img.Config); err != nil {
		return err
	}
	config, err := p.config(img)
	if err != nil {
		return err
	}
	if err := sameLayers(config, img); err != nil {
		return err
	}
	if config.OS != platform.OS || config.Architecture != platform.Arch {
		return fmt.Errorf("it is for %s/%s, want %s/%s", config.OS, config.Architecture, platform.OS, platform.Arch)
	}
	return nil
}

// config reads the image's config from the store.
func (p *Puller) config(img *Image) (*v1.ConfigFile, error) {
	f, err := p.client.Store().Open(img.Config.Digest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	config, err := v1.ParseConfigFile(f)
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", img.Config.Digest, err)
	}
	return config, nil
}

// sameLayers insists that config and manifest speak of the same number of layers: docker refuses others when it loads them, and that
// would be on the site.
func sameLayers(config *v1.ConfigFile, img *Image) error {
	if named := len(config.RootFS.DiffIDs); named != len(img.Layers) {
		return fmt.Errorf("its config %s names %d layers (diff_ids), its manifest %s has %d: docker would refuse to load it; take another tag or digest of the image",
			img.Config.Digest.Short(), named, img.Manifest.Digest.Short(), len(img.Layers))
	}
	return nil
}

// manifest gets a manifest or list and keeps it in the store.
func (p *Puller) manifest(ctx context.Context, ref, base, tag string, pinned bundle.Digest) (data []byte, kind string, err error) {
	if !pinned.IsZero() && p.client.Store().Has(pinned) {
		return p.stored(pinned)
	}
	a, err := p.client.Text(ctx, fetch.Request{
		Item: "image " + ref, URL: base + "/manifests/" + tag, SHA256: pinned, MaxSize: maxManifest,
		Transport: p.transport, Header: http.Header{"Accept": {strings.Join(accepted(), ", ")}},
	})
	if err != nil {
		return nil, "", err
	}
	if kind, err = mediaType(a.Body, a.Header.Get("Content-Type")); err != nil {
		return nil, "", fmt.Errorf("from %s: %w", a.URL, err)
	}
	_, err = p.client.Store().PutBytes(ctx, a.Body)
	return a.Body, kind, err
}

func (p *Puller) stored(d bundle.Digest) ([]byte, string, error) {
	f, err := p.client.Store().Open(d)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(f); err != nil {
		return nil, "", fmt.Errorf("reading manifest %s: %w", d, err)
	}
	if got := bundle.DigestOf(b.Bytes()); got != d {
		return nil, "", errors.Join(&bundle.DigestError{Name: "manifest in the store", Want: d, Got: got, Size: int64(b.Len())}, p.client.Store().Discard(d))
	}
	kind, err := mediaType(b.Bytes(), "")
	return b.Bytes(), kind, err
}

// Pull brings the image's manifest, its list, its config and its layers into the store.
func (p *Puller) Pull(ctx context.Context, img *Image) error {
	base, tag, ok := strings.Cut(img.URL, "/manifests/")
	if !ok || tag != img.Manifest.Digest.String() {
		return fmt.Errorf("pulling image %s: %q is not the address of its manifest", img.Ref, img.URL)
	}
	err := fetch.Each(ctx, 2+len(img.Layers), fetch.DefaultParallel, func(ctx context.Context, i int) error {
		switch i {
		case 0:
			_, _, err := p.manifest(ctx, img.Ref, base, tag, img.Manifest.Digest)
			if err == nil && img.Index != nil {
				_, _, err = p.manifest(ctx, img.Ref, base, img.Index.Digest.String(), img.Index.Digest)
			}
			return err
		case 1:
			return p.get(ctx, img.Ref+" config", base, img.Config)
		}
		return p.get(ctx, fmt.Sprintf("%s layer %d of %d", img.Ref, i-1, len(img.Layers)), base, img.Layers[i-2])
	})
	if err == nil { // a lock may be older than this check
		var config *v1.ConfigFile
		if config, err = p.config(img); err == nil {
			err = sameLayers(config, img)
		}
	}
	if err != nil {
		return fmt.Errorf("pulling image %s: %w", img.Ref, err)
	}
	return nil
}

func (p *Puller) get(ctx context.Context, item, base string, b Blob) error {
	_, err := p.client.Get(ctx, fetch.Request{
		Item: "image " + item, URL: base + "/blobs/" + b.Digest.String(), SHA256: b.Digest, Size: b.Size, Transport: p.transport,
	})
	return err
}
