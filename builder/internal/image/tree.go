package image

import (
	"bytes"
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"offgrid/builder/internal/fetch"
	"offgrid/bundle"
)

// Limits on a tree: indexes in indexes, and blobs in all. A bundle has two levels of indexes, and as many blobs as members.
const (
	maxDepth = 3
	maxTree  = bundle.MaxMembers
)

// Repository is where the parts of one thing are asked for.
type Repository struct {
	puller *Puller
	base   string // "https://registry.site.example/v2/offgrid/demo/node"
	name   string // for messages
	tag    string
	pinned bundle.Digest
}

// Repository finds the repository of a reference: "registry.site.example/offgrid/demo/node:1700000000", or with "@sha256:..." at its
// end. Nothing is asked yet.
func (p *Puller) Repository(ref string) (*Repository, error) {
	r, err := parseReference(ref, "")
	if err != nil {
		return nil, err
	}
	return &Repository{puller: p, base: r.base, name: ref, tag: r.tag, pinned: r.pinned}, nil
}

// Manifest gets what the reference names, or what another tag names. It is in the store afterwards. A tag that is not there is an
// error for which fetch.IsNotFound holds.
func (r *Repository) Manifest(ctx context.Context, tag string) ([]byte, error) {
	at, pinned := r.tag, r.pinned
	if tag != "" {
		at, pinned = tag, bundle.Digest{}
	}
	data, _, err := r.puller.manifest(ctx, r.name, r.base, at, pinned)
	if err != nil {
		return nil, fmt.Errorf("pulling %s: %w", r.name, err)
	}
	return data, nil
}

// Blob gets one blob into the store.
func (r *Repository) Blob(ctx context.Context, item string, b Blob) error {
	return r.puller.get(ctx, item, r.base, b)
}

// Tree brings everything into the store that the given manifests and indexes name, and these. Blobs that are there are passed over; a
// blob that many name is asked for once.
func (r *Repository) Tree(ctx context.Context, tops []Blob) error {
	blobs, err := r.leaves(ctx, tops, map[bundle.Digest]bool{}, 0)
	if err == nil {
		err = fetch.Each(ctx, len(blobs), fetch.DefaultParallel, func(ctx context.Context, i int) error {
			return r.Blob(ctx, fmt.Sprintf("%s blob %d of %d", r.name, i+1, len(blobs)), blobs[i])
		})
	}
	if err != nil {
		return fmt.Errorf("pulling %s: %w", r.name, err)
	}
	return nil
}

// leaves gets all manifests and returns what is left to get.
func (r *Repository) leaves(ctx context.Context, tops []Blob, seen map[bundle.Digest]bool, depth int) ([]Blob, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("there are more than %d levels of manifests", maxDepth)
	}
	var blobs []Blob
	for _, top := range tops {
		if seen[top.Digest] {
			continue
		}
		seen[top.Digest] = true
		parts, err := r.parts(ctx, top)
		if err != nil {
			return nil, err
		}
		for _, part := range parts {
			kind := types.MediaType(part.MediaType)
			switch {
			case kind.IsIndex() || kind.IsImage():
				more, err := r.leaves(ctx, []Blob{part}, seen, depth+1)
				if err != nil {
					return nil, err
				}
				blobs = append(blobs, more...)
			case !seen[part.Digest]:
				seen[part.Digest] = true
				blobs = append(blobs, part)
			}
		}
		if len(seen) > maxTree {
			return nil, fmt.Errorf("there are more than %d blobs", maxTree)
		}
	}
	return blobs, nil
}

// parts gets a manifest or index and lists what it names.
func (r *Repository) parts(ctx context.Context, top Blob) ([]Blob, error) {
	data, kind, err := r.puller.manifest(ctx, r.name, r.base, top.Digest.String(), top.Digest)
	if err != nil {
		return nil, err
	}
	if int64(len(data)) != top.Size || kind != top.MediaType {
		return nil, fmt.Errorf("manifest %s is of type %q and has %d bytes, what names it says %q and %d", top.Digest, kind, len(data), top.MediaType, top.Size)
	}
	var all []v1.Descriptor
	if types.MediaType(kind).IsIndex() {
		index, err := v1.ParseIndexManifest(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("index %s: %w", top.Digest, err)
		}
		all = index.Manifests
	} else {
		m, err := v1.ParseManifest(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("manifest %s: %w", top.Digest, err)
		}
		all = append(m.Layers, m.Config)
	}
	var parts []Blob
	for _, d := range all {
		part, err := partOf(d)
		if err == nil && (part.Size < 0 || part.Size > bundle.MaxBlobSize) {
			err = fmt.Errorf("blob %s has %d bytes", part.Digest, part.Size)
		}
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}
