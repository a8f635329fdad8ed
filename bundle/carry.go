package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// CarriedBlobs lists the blobs that a host must have on its own disk after the medium is gone, sorted as in the tar: the
// metadata, every package and text, and all blobs of the images. Programs stay on the medium: they are placed at once and
// are then on the host as files. So do the host packs: what is for the host is opened, and carried by other means.
func (b *Bundle) CarriedBlobs() []StoredBlob {
	want := map[Digest]bool{b.RootDigest: true, b.Root.Manifests[0].Digest: true, b.Manifest.Config.Digest: true}
	for _, a := range b.Role.Artifacts {
		if a.Kind != KindProgram {
			want[a.Blob.Stored] = true
		}
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

// Carry gives the carried blobs, then the layout files, to dst. It may be repeated after it was interrupted.
func (b *Bundle) Carry(ctx context.Context, dst CarryTarget) error {
	for _, s := range b.CarriedBlobs() {
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

// PackHosts lists the hosts of which the bundle has a pack, sorted, also where the packs themselves were not carried.
func (b *Bundle) PackHosts() []string {
	var hosts []string
	for _, d := range b.Root.Manifests[1:] {
		if d.ArtifactType == ArtifactTypePack {
			hosts = append(hosts, strings.TrimPrefix(d.Annotations[AnnotationRefName], PackRef("")))
		}
	}
	return hosts
}

// Pack is what a bundle holds of one host's pack. Package hostpack opens it.
type Pack struct {
	Host       string
	Sealed     bool
	Data       StoredBlob
	Passphrase StoredBlob // key file for the site's passphrase, of a sealed pack
	SSHHostKey StoredBlob // key file for the host's SSH key; zero when there is none
}

// Pack returns a host's pack; false when it is not aboard.
func (b *Bundle) Pack(host string) (Pack, bool) {
	place, ok := b.packs[host]
	if !ok {
		return Pack{}, false
	}
	p := Pack{Host: host, Sealed: len(place.layers) > 1}
	for i, to := range []*StoredBlob{&p.Data, &p.Passphrase, &p.SSHHostKey}[:len(place.layers)] {
		*to = b.blobs[b.byHash[place.layers[i]]]
	}
	return p, true
}
