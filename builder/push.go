package builder

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"

	"offgrid/builder/internal/image"
	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// PushOptions says where to push to.
type PushOptions struct {
	Registry  string // "registry.site.example:5000", with a path if need be; "": images.registry of the cluster file
	PlainHTTP bool   // the registry has no TLS
}

// PushedRef is one thing that is in the registry now.
type PushedRef struct {
	Ref    string        `json:"ref"`
	Digest bundle.Digest `json:"digest"` // of the manifest, or of a bundle's root
	Source string        `json:"source"` // the image's own name, or the bundle's path
}

// RegistryError says that a registry's name cannot be used.
type RegistryError struct{ Text string }

func (e *RegistryError) Error() string { return e.Text }

// Push puts the images of the site's lock into a registry, under the names that nodes ask for when images.registry is set
// to it. What the store lacks is fetched first.
func (s *Site) Push(ctx context.Context, o PushOptions) ([]PushedRef, error) {
	lock, _, err := s.currentLock(ctx)
	if err != nil {
		return nil, err
	}
	selection, err := Select(s.cluster, s.catalogue)
	if err != nil {
		return nil, &CatalogueError{err}
	}
	target := *s.cluster
	if o.Registry != "" {
		target.Images.Registry = o.Registry
	}
	if target.Images.Registry == "" {
		return nil, &RegistryError{"pushing images: which registry? Name one, or set images.registry in " + ClusterName}
	}
	if s.cluster.Images.Registry != "" && target.Images.Registry != s.cluster.Images.Registry {
		s.report(progress.Event{Phase: "push", Kind: progress.Warn, Text: fmt.Sprintf("nodes will ask %s, as images.registry of %s says, and not %s", s.cluster.Images.Registry, ClusterName, target.Images.Registry)})
	}
	download, err := s.download()
	if err != nil {
		return nil, err
	}
	only := *lock
	only.Entries = nil
	for _, e := range lock.Entries {
		if e.Kind == EntryImage {
			only.Entries = append(only.Entries, e)
		}
	}
	materials, err := Materialise(ctx, MaterialiseOptions{Lock: &only, Store: s.store, Download: download, Report: s.opts.Report})
	if err != nil {
		return nil, err
	}
	pushed := []PushedRef{}
	for _, ref := range selection.Known {
		locked, ok := materials.Images[ref]
		if !ok {
			return nil, fmt.Errorf("pushing image %q: the lock does not have it", ref)
		}
		to := image.Target{Ref: target.ImageAt(ref), PlainHTTP: o.PlainHTTP}
		err := s.pushOne(to.Ref, func() error {
			return image.Push(ctx, to, imageBlob(locked.Manifest), func(d bundle.Digest) (io.ReadCloser, error) { return s.store.Open(d) })
		})
		if err != nil {
			return nil, err
		}
		pushed = append(pushed, PushedRef{Ref: to.Ref, Digest: locked.Manifest.SHA256, Source: ref})
	}
	return pushed, nil
}

func (s *Site) pushOne(ref string, push func() error) error {
	s.report(progress.Event{Phase: "push", Item: ref, Kind: progress.Start})
	if err := push(); err != nil {
		return err
	}
	s.report(progress.Event{Phase: "push", Item: ref, Kind: progress.Done})
	return nil
}

// PushBundle puts a bundle into a registry: its root, byte for byte, with all that it names, as offgrid/SITE/ROLE:SERIAL. Of a
// site file it puts each role there.
func PushBundle(ctx context.Context, path string, o PushOptions) ([]PushedRef, error) {
	all, err := bundle.OpenAll(path)
	if err != nil {
		return nil, err
	}
	var pushed []PushedRef
	for _, b := range all {
		defer b.Close()
		ref, err := pushRole(ctx, b, o)
		if err != nil {
			return nil, err
		}
		pushed = append(pushed, ref)
	}
	return pushed, nil
}

func pushRole(ctx context.Context, b *bundle.Bundle, o PushOptions) (PushedRef, error) {
	if b.IsDir {
		return PushedRef{}, &RegistryError{fmt.Sprintf("pushing %s: it is a directory, which holds only what was carried to a host", b.Path)}
	}
	if b.Renewal {
		return PushedRef{}, &RegistryError{fmt.Sprintf("pushing %s: it is a renewal bundle, without programs, packages and images; push the whole one, from dist/", b.Path)}
	}
	if b.Delta != nil {
		return PushedRef{}, &RegistryError{fmt.Sprintf("pushing %s: it is a delta bundle, with only what another one lacks; push the whole one, from dist/", b.Path)}
	}
	root, size, err := b.Stored(b.RootDigest)
	if err != nil {
		return PushedRef{}, err
	}
	root.Close()
	repository := o.Registry + "/offgrid/" + b.Role.Cluster.Name + "/" + b.Role.Role
	to := image.Target{Ref: repository + ":" + strconv.FormatInt(b.Role.Cluster.Serial, 10), PlainHTTP: o.PlainHTTP}
	err = image.Push(ctx, to, image.Blob{MediaType: bundle.MediaTypeIndex, Digest: b.RootDigest, Size: size}, func(d bundle.Digest) (io.ReadCloser, error) {
		r, _, err := b.Stored(d)
		return r, err
	})
	if err == nil && b.Signature != nil {
		err = pushSignature(ctx, b, image.Target{Ref: repository + ":" + bundle.SignatureTag(b.RootDigest), PlainHTTP: o.PlainHTTP})
	}
	return PushedRef{Ref: to.Ref, Digest: b.RootDigest, Source: b.Path}, err
}

// pushSignature puts the signature beside the bundle.
func pushSignature(ctx context.Context, b *bundle.Bundle, to image.Target) error {
	text := b.Signature.Bytes()
	manifest, err := bundle.SignatureManifest(text)
	if err != nil {
		return err
	}
	data := map[bundle.Digest][]byte{}
	for _, d := range [][]byte{text, manifest, bundle.EmptyConfig()} {
		data[bundle.DigestOf(d)] = d
	}
	what := image.Blob{MediaType: bundle.MediaTypeManifest, Digest: bundle.DigestOf(manifest), Size: int64(len(manifest))}
	return image.Push(ctx, to, what, func(d bundle.Digest) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data[d])), nil })
}
