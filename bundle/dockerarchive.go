package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// layerTypes are the media types of layers that docker 19.03 and 20.10 load as they are. They know gzip and plain tar;
// zstd came with docker 23.
func layerTypes() []string {
	return []string{
		"application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.docker.image.rootfs.diff.tar",
		"application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar",
	}
}

// checkLayers refuses an image whose layers docker cannot load.
func checkLayers(layers []Descriptor) error {
	for i, l := range layers {
		if !slices.Contains(layerTypes(), l.MediaType) {
			return fmt.Errorf("layer %d of %d is %.200q; docker before 23 loads tar and tar+gzip only", i+1, len(layers), l.MediaType)
		}
	}
	return nil
}

// DockerName returns a ref as docker itself writes it: "docker.io/library/busybox:1.28.4" is "busybox:1.28.4" there, and
// one without a tag ends in ":latest". Two refs are the same to docker when their names are.
func DockerName(ref string) string {
	domain, rest, ok := strings.Cut(ref, "/")
	if !ok || !strings.ContainsAny(domain, ".:") && domain != "localhost" {
		domain, rest = "docker.io", ref
	}
	if last := rest[strings.LastIndex(rest, "/")+1:]; !strings.ContainsAny(last, ":@") {
		rest += ":latest"
	}
	if domain != "docker.io" && domain != "index.docker.io" {
		return domain + "/" + rest
	}
	if name, official := strings.CutPrefix(rest, "library/"); official && !strings.Contains(name, "/") {
		return name
	}
	return rest
}

// dockerItem is one image in the manifest.json of a docker archive.
type dockerItem struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// DockerArchive returns the images of the given refs as a docker archive, what "docker save" writes and "docker load" reads,
// and its size in bytes. It is made of the stored blobs while it is read, nothing is written anywhere: layers stay
// compressed, and each blob is there once, whatever number of images share it. The same images give the same bytes,
// whatever the order of refs.
//
// Each blob's digest is checked as it passes; a wrong one ends the reader with a *DamageError that names it. manifest.json,
// without which docker loads nothing, is the last member: what was damaged on the way is never an image.
// A blob that a directory lacks is a *NotCarriedError.
func (b *Bundle) DockerArchive(ctx context.Context, refs ...string) (r io.ReadCloser, size int64, err error) {
	a := &dockerArchive{bundle: b, seen: map[Digest]bool{}}
	sorted := slices.Clone(refs)
	slices.Sort(sorted)
	var items []dockerItem
	for _, ref := range slices.Compact(sorted) {
		if items, err = a.image(items, ref); err != nil {
			return nil, 0, fmt.Errorf("making a docker archive of image %q: %w", ref, err)
		}
	}
	manifest, err := json.Marshal(items)
	if err != nil {
		return nil, 0, fmt.Errorf("making a docker archive: %w", err)
	}
	manifest = append(manifest, '\n')
	a.member("manifest.json", int64(len(manifest)), bytes.NewReader(manifest))
	a.parts = append(a.parts, bytes.NewReader(make([]byte, tarEnd)))
	a.size += tarEnd
	return readCloser{contextReader{ctx.Err, io.MultiReader(a.parts...)}, a}, a.size, nil
}

// dockerArchive collects the parts of an archive. While it is read at most one blob is open.
type dockerArchive struct {
	bundle *Bundle
	seen   map[Digest]bool
	parts  []io.Reader
	size   int64
	open   io.Closer // blob that is being read; nil when there is none
}

// Close implements io.Closer.
func (a *dockerArchive) Close() error {
	if a.open == nil {
		return nil
	}
	err := a.open.Close()
	a.open = nil
	return err
}

// image adds the blobs of an image that are not there yet. Refs of one image become one item with several tags.
func (a *dockerArchive) image(items []dockerItem, ref string) ([]dockerItem, error) {
	img, ok := a.bundle.Image(ref)
	if !ok {
		if i := slices.IndexFunc(a.bundle.Role.Images, func(i Image) bool { return i.Ref == ref }); i >= 0 {
			return nil, a.bundle.missing(a.bundle.Role.Images[i].Manifest, "image "+ref)
		}
		return nil, errors.New("the bundle does not hold it")
	}
	if strings.Contains(ref, "@") {
		return nil, errors.New("it is named by its digest, docker load wants a tag")
	}
	item := dockerItem{Config: img.Config.Digest.Hex() + ".json", RepoTags: []string{DockerName(ref)}, Layers: []string{}}
	for _, l := range img.Layers {
		item.Layers = append(item.Layers, l.Digest.Hex()+".tar")
	}
	for i, it := range items {
		if it.Config == item.Config && slices.Equal(it.Layers, item.Layers) {
			if !slices.Contains(it.RepoTags, item.RepoTags[0]) {
				items[i].RepoTags = append(it.RepoTags, item.RepoTags[0])
			}
			return items, nil
		}
	}
	a.blob(item.Config, img.Config)
	for i, l := range img.Layers {
		a.blob(item.Layers[i], l)
	}
	return append(items, item), nil
}

// blob adds a stored blob.
func (a *dockerArchive) blob(name string, d Descriptor) {
	if !a.seen[d.Digest] {
		a.seen[d.Digest] = true
		a.member(name, d.Size, &lazyBlob{archive: a, blob: d})
	}
}

func (a *dockerArchive) member(name string, size int64, content io.Reader) {
	header := tarHeader(name, size)
	pad := tarPadding(size)
	a.parts = append(a.parts, bytes.NewReader(header[:]), content, bytes.NewReader(make([]byte, pad)))
	a.size += tarBlock + size + pad
}

// lazyBlob opens its blob when it is first read.
type lazyBlob struct {
	archive *dockerArchive
	blob    Descriptor
	r       io.Reader
	err     error
}

// Read implements io.Reader.
func (l *lazyBlob) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	if l.r == nil {
		if l.err = l.start(); l.err != nil {
			return 0, l.err
		}
	}
	n, err := l.r.Read(p)
	if err != nil {
		l.err = err
		if cerr := l.archive.Close(); cerr != nil && errors.Is(err, io.EOF) {
			l.err = cerr
		}
	}
	return n, l.err
}

func (l *lazyBlob) start() error {
	b := l.archive.bundle
	r, size, err := b.Stored(l.blob.Digest)
	if err != nil {
		return err
	}
	if size != l.blob.Size {
		return errors.Join(b.damage(l.blob.Digest, b.nameOf(l.blob.Digest), fmt.Errorf("it has %d bytes, want %d", size, l.blob.Size)), r.Close())
	}
	l.r, l.archive.open = r, r
	return nil
}
