package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// CarriedBlobs lists the blobs that a host must have on its own disk after the medium is gone, sorted as in the tar: the
// metadata, this host's pack with its manifest, every package and text, and all blobs of the images. Programs stay on the
// medium: they are placed at once and are then on the host as files. A host without a pack (one that joins) is no error.
func (b *Bundle) CarriedBlobs(host string) []StoredBlob {
	want := map[Digest]bool{b.RootDigest: true, b.Root.Manifests[0].Digest: true, b.Manifest.Config.Digest: true}
	for _, a := range b.Role.Artifacts {
		if a.Kind != KindProgram {
			want[a.Blob.Stored] = true
		}
	}
	if p, ok := b.packs[host]; ok {
		want[p.manifest], want[p.pack], want[p.config] = true, true, true
	}
	for _, img := range b.images {
		want[img.Index.Digest], want[img.Manifest.Digest], want[img.Config.Digest] = true, true, true
		for _, l := range img.Layers {
			want[l.Digest] = true
		}
	}
	return slices.DeleteFunc(b.Blobs(), func(s StoredBlob) bool { return !want[s.Digest] })
}

// LayoutFile is a file of the layout that is no blob.
type LayoutFile struct {
	Path string // below the bundle's directory
	Data []byte
}

// LayoutFiles returns oci-layout, the signature if there is one, and index.json, as they are in a directory as well: also of
// a renewal bundle those of the whole one, which the directory becomes. Whoever makes a directory writes index.json last:
// without it Open takes the directory for unfinished.
func (b *Bundle) LayoutFiles() []LayoutFile {
	files := []LayoutFile{{layoutName, []byte(ociLayout)}}
	if b.Signature != nil {
		files = append(files, LayoutFile{signaturePath(b.RootDigest), b.Signature.Bytes()})
	}
	return append(files, LayoutFile{indexName, bytes.Clone(b.idx)})
}

// CarryTarget takes the files of a directory bundle.
type CarryTarget interface {
	// Has reports whether the file is there with the digest and size of s; Carry then does not write it again.
	Has(ctx context.Context, s StoredBlob) (bool, error)
	// Put writes a file with size bytes of r, at once or not at all, durable on return, its missing parents as well. path
	// is relative and has slashes. Secret files are for root alone (0600).
	Put(ctx context.Context, path string, size int64, secret bool, r io.Reader) error
}

// Carry gives the carried blobs of a host, then the layout files, to dst. It may be repeated after it was interrupted.
func (b *Bundle) Carry(ctx context.Context, host string, dst CarryTarget) error {
	for _, s := range b.CarriedBlobs(host) {
		has, err := dst.Has(ctx, s)
		if err == nil && !has {
			err = b.carryBlob(ctx, s, dst)
		}
		if err != nil {
			return fmt.Errorf("carrying %s: %w", s.Name, err)
		}
	}
	for _, f := range b.LayoutFiles() {
		if err := dst.Put(ctx, f.Path, int64(len(f.Data)), false, bytes.NewReader(f.Data)); err != nil {
			return fmt.Errorf("carrying %s: %w", f.Path, err)
		}
	}
	return nil
}

func (b *Bundle) carryBlob(ctx context.Context, s StoredBlob, dst CarryTarget) error {
	r, size, err := b.Stored(s.Digest)
	if err != nil {
		return err
	}
	err = dst.Put(ctx, s.Path(), size, s.Secret, contextReader{ctx.Err, r})
	return errors.Join(err, r.Close())
}

// PackHosts lists the hosts of which the bundle has a pack, sorted. A directory has at most one.
func (b *Bundle) PackHosts() []string { return slices.Sorted(maps.Keys(b.packs)) }

// PackBlob returns the blob of a host's pack. Package hostpack opens it.
func (b *Bundle) PackBlob(host string) (StoredBlob, bool) {
	p, ok := b.packs[host]
	if !ok {
		return StoredBlob{}, false
	}
	return b.blobs[b.byHash[p.pack]], true
}
