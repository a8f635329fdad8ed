package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"offgrid/bundle/signature"
)

// Blobs are the loose blobs of one bundle: what a registry gives.
type Blobs struct {
	Name      string // for messages
	Root      Digest
	Signature []byte // of the root; nil: none
	// Open gives a blob; the error is fs.ErrNotExist when it is not there.
	Open func(Digest) (*os.File, error)
}

// blobSource is a source of loose blobs. index.json is made: it follows from the root.
type blobSource struct {
	blobs Blobs
	idx   []byte
}

func (s *blobSource) index() ([]byte, int64) { return s.idx, 0 }

func (s *blobSource) open(d Digest) (*extent, error) {
	f, err := s.blobs.Open(d)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &extent{r: f, size: info.Size(), file: f}, nil
}

func (s *blobSource) signature(root Digest) (*extent, error) {
	if s.blobs.Signature == nil || root != s.blobs.Root {
		return nil, fmt.Errorf("signature of %s: %w", root.Short(), fs.ErrNotExist)
	}
	return &extent{r: bytes.NewReader(s.blobs.Signature), size: int64(len(s.blobs.Signature))}, nil
}

func (s *blobSource) Close() error { return nil }

// CheckRoot asks whether a root and its signature are trusted, before anything else of the bundle is there. name is for messages;
// errors are those of OpenWith. It returns what the root names.
func CheckRoot(name string, root, signature []byte, trust *Trust) ([]Descriptor, error) {
	src := &memorySource{blobSource{blobs: Blobs{Root: DigestOf(root), Signature: signature}}, root}
	b := &Bundle{Path: name, IsDir: true, src: src, trust: trust, RootDigest: DigestOf(root)}
	err := b.loadSignature(root)
	if err == nil {
		err = b.decodeRoot(root)
	}
	if err == nil {
		err = b.checkSignature()
	}
	return b.Root.Manifests, err
}

// memorySource holds a root alone.
type memorySource struct {
	blobSource
	root []byte
}

func (s *memorySource) open(d Digest) (*extent, error) {
	if d != s.blobs.Root {
		return nil, fmt.Errorf("blob %s: %w", d.Short(), fs.ErrNotExist)
	}
	return &extent{r: bytes.NewReader(s.root), size: int64(len(s.root))}, nil
}

// Assemble writes the whole bundle of the blobs to w, as Write wrote it, byte for byte. All blobs must be there; each is compared
// with its digest on its way. It returns the bundle, which must be closed before the blobs are removed.
func Assemble(ctx context.Context, w io.Writer, blobs Blobs, trust *Trust) (*Bundle, Summary, error) {
	b, err := openBlobs(blobs, trust)
	if err != nil {
		return nil, Summary{}, err
	}
	t := &tarWriter{w: w}
	if err := b.assemble(ctx, t); err != nil {
		return nil, Summary{}, errors.Join(fmt.Errorf("assembling %s: %w", blobs.Name, err), b.Close())
	}
	return b, Summary{Root: b.RootDigest, Size: t.n, Blobs: len(b.blobs)}, nil
}

func openBlobs(blobs Blobs, trust *Trust) (*Bundle, error) {
	src := &blobSource{blobs: blobs}
	e, err := src.open(blobs.Root)
	if err != nil {
		return nil, fmt.Errorf("reading the root index of %s: %w", blobs.Name, err)
	}
	data, err := readAllVerified(e.reader(), "root index", blobs.Root, e.size, MaxIndexJSON)
	if err = errors.Join(err, e.Close()); err != nil {
		return nil, err
	}
	if _, err := CheckRoot(blobs.Name, data, blobs.Signature, trust); err != nil {
		return nil, err
	}
	var root Index
	if err := DecodeCanonical(data, &root, MaxIndexJSON); err != nil {
		return nil, fmt.Errorf("reading the root index of %s: %w", blobs.Name, err)
	}
	if src.idx, err = MarshalCanonical(topIndex(descriptorOf(MediaTypeIndex, data), &root, false)); err != nil {
		return nil, err
	}
	return load(&Bundle{Path: blobs.Name, IsDir: true, src: src, trust: trust})
}

// assemble writes the members in their order.
func (b *Bundle) assemble(ctx context.Context, t *tarWriter) error {
	for _, s := range b.blobs {
		if !b.HasStored(s.Digest) {
			return fmt.Errorf("%s is missing: blob %s", s.Name, s.Digest)
		}
	}
	err := t.bytes(layoutName, []byte(ociLayout))
	if err == nil {
		err = t.bytes(indexName, b.idx)
	}
	if err == nil && b.Signature != nil {
		err = t.bytes(signaturePath(b.RootDigest), b.Signature.Bytes())
	}
	fixed := []Digest{b.RootDigest, b.Root.Manifests[0].Digest, b.Manifest.Config.Digest}
	head := map[Digest]bool{}
	for _, d := range fixed {
		head[d] = true
		if err == nil {
			err = b.assembleBlob(ctx, t, b.blobs[b.byHash[d]])
		}
	}
	for _, s := range b.blobs {
		if err == nil && !head[s.Digest] {
			err = b.assembleBlob(ctx, t, s)
		}
	}
	if err != nil {
		return err
	}
	return t.end()
}

func (b *Bundle) assembleBlob(ctx context.Context, t *tarWriter, s StoredBlob) error {
	r, size, err := b.Stored(s.Digest)
	if err != nil {
		return err
	}
	return errors.Join(t.stream(s.Path(), size, contextReader{ctx.Err, r}), r.Close())
}

// A signature in a registry is an artifact of its own in the repository of its bundle: one layer, under a tag that follows from
// the root's digest (FORMAT.md, "In a registry").

// SignatureTag is the tag of a root's signature.
func SignatureTag(root Digest) string { return "sha256-" + root.Hex() + signatureSuffix }

// SignatureManifest makes the manifest of a signature.
func SignatureManifest(text []byte) ([]byte, error) {
	if _, err := signature.Parse(text); err != nil {
		return nil, fmt.Errorf("the signature: %w", err)
	}
	return MarshalCanonical(Manifest{
		SchemaVersion: 2, MediaType: MediaTypeManifest, ArtifactType: ArtifactTypeSignature,
		Config: descriptorOf(MediaTypeEmpty, []byte(emptyConfig)), Layers: []Descriptor{descriptorOf(MediaTypeSignature, text)},
	})
}

// SignatureBlob reads the manifest of a signature and returns where its text is.
func SignatureBlob(manifest []byte) (Descriptor, error) {
	var m Manifest
	err := DecodeCanonical(manifest, &m, MaxIndexJSON)
	if err == nil && (m.ArtifactType != ArtifactTypeSignature || len(m.Layers) != 1 || m.Layers[0].MediaType != MediaTypeSignature || m.Layers[0].Size > signature.MaxSize) {
		err = errors.New("it is not the manifest of a signature")
	}
	if err != nil {
		return Descriptor{}, fmt.Errorf("the signature: %w", err)
	}
	return m.Layers[0], nil
}

// EmptyConfig is the config of every manifest here that needs none.
func EmptyConfig() []byte { return []byte(emptyConfig) }
