package builder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"offgrid/builder/internal/fetch"
	"offgrid/builder/internal/image"
	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// PullOptions says what to pull.
type PullOptions struct {
	Ref   string        // what bundle push printed: "registry.site.example:5000/offgrid/demo/node:1700000000", or with a digest at its end
	Out   string        // file to write; "": ROLE.bundle
	Trust *bundle.Trust // who must have signed; nil: nobody is asked
	// Download says how to fetch; mirrors do not count.
	Download Download
	Report   progress.Func
}

// Pulled is a bundle that came out of a registry.
type Pulled struct {
	File        string        `json:"file"`
	Role        string        `json:"role"`
	Root        bundle.Digest `json:"root"`
	Fingerprint string        `json:"fingerprint"`
	KeyID       string        `json:"keyID"`            // that the signature names; "" when it is not signed
	Signer      *Signer       `json:"signer,omitempty"` // the trusted key whose signature it is
	Size        int64         `json:"size"`             // bytes
}

// pullingSuffix ends the name of the directory in which blobs are collected: what is there when a pull is cut off is not asked for
// again.
const pullingSuffix = ".pulling"

// PullBundle writes the bundle that was pushed as a reference to a file, byte for byte. The signature is looked at when the root is
// there, before anything else is asked for. A pull that was cut off goes on where it stopped.
func PullBundle(ctx context.Context, o PullOptions) (*Pulled, error) {
	dir := o.Out + pullingSuffix
	if o.Out == "" {
		dir = pullingSuffix
	}
	// The packs in it may be plain.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("pulling %s: %w", o.Ref, err)
	}
	store, err := OpenStore(dir)
	if err != nil {
		return nil, err
	}
	pulled, err := pullInto(ctx, store, o)
	if err = errors.Join(err, store.Close()); err != nil {
		return nil, err
	}
	return pulled, os.RemoveAll(dir)
}

func pullInto(ctx context.Context, store *Store, o PullOptions) (*Pulled, error) {
	o.Download.Mirrors = nil
	repository, err := image.NewPuller(o.Download.client(store, o.Report)).Repository(o.Ref)
	if err != nil {
		return nil, &RegistryError{err.Error()}
	}
	root, err := repository.Manifest(ctx, "")
	if err != nil {
		return nil, err
	}
	blobs := bundle.Blobs{Name: o.Ref, Root: bundle.DigestOf(root), Open: store.Open}
	if blobs.Signature, err = pullSignature(ctx, store, repository, blobs.Root); err != nil {
		return nil, err
	}
	named, err := bundle.CheckRoot(o.Ref, root, blobs.Signature, o.Trust)
	if err != nil {
		return nil, err
	}
	var tops []image.Blob
	for _, d := range named {
		tops = append(tops, image.Blob{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size})
	}
	if err := repository.Tree(ctx, tops); err != nil {
		return nil, err
	}
	return writePulled(ctx, blobs, o)
}

// pullSignature gets the signature of a root, nil when there is none.
func pullSignature(ctx context.Context, store *Store, repository *image.Repository, root bundle.Digest) ([]byte, error) {
	manifest, err := repository.Manifest(ctx, bundle.SignatureTag(root))
	if fetch.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	at, err := bundle.SignatureBlob(manifest)
	if err != nil {
		return nil, err
	}
	if err := repository.Blob(ctx, "signature", image.Blob{MediaType: at.MediaType, Digest: at.Digest, Size: at.Size}); err != nil {
		return nil, err
	}
	f, err := store.Open(at.Digest)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, at.Size))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	want, err := bundle.SignatureManifest(text)
	if err == nil && !bytes.Equal(want, manifest) {
		err = errors.New("the signature: its manifest is not the one that belongs to it")
	}
	return text, err
}

// writePulled writes the file when all blobs are there.
func writePulled(ctx context.Context, blobs bundle.Blobs, o PullOptions) (p *Pulled, err error) {
	out := o.Out
	if out == "" {
		out = ".pulled" + bundleSuffix
	}
	var b *bundle.Bundle
	var sum bundle.Summary
	err = WriteFile(out, 0o600, func(w io.Writer) (err error) {
		b, sum, err = bundle.Assemble(ctx, w, blobs, o.Trust)
		return err
	})
	if b != nil {
		defer func() { err = errors.Join(err, b.Close()) }()
	}
	if err != nil {
		return nil, err
	}
	if o.Out == "" {
		named := filepath.Join(filepath.Dir(out), b.Role.Role+bundleSuffix)
		if err := os.Rename(out, named); err != nil {
			return nil, fmt.Errorf("writing %q: %w", named, err)
		}
		out = named
	}
	p = &Pulled{File: out, Role: b.Role.Role, Root: b.RootDigest, Fingerprint: b.RootDigest.Fingerprint(), KeyID: b.SignerID, Size: sum.Size}
	if b.Signer != nil {
		p.Signer = newSigner(*b.Signer, false)
	}
	return p, nil
}
