package builder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"offgrid/builder/internal/fetch"
	"offgrid/builder/internal/image"
	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// MaterialiseOptions are what Materialise works on.
type MaterialiseOptions struct {
	Lock     *Lock
	Store    *Store
	Download Download
	Level    bundle.Level // of what has to be compressed
	Report   progress.Func
}

// Materials is everything of a lock, ready to be put into bundles: the stored bytes of each part are in the store.
type Materials struct {
	Artifacts []bundle.Artifact         // programs and packages, sorted by name
	Packages  map[string]bundle.Package // by package name
	Images    map[string]LockImage      // by ref; manifest, config and layers are stored under their own digests
}

// Artifact returns the artifact with this name.
func (m *Materials) Artifact(name string) (bundle.Artifact, bool) {
	i, ok := slices.BinarySearchFunc(m.Artifacts, name, func(a bundle.Artifact, name string) int { return strings.Compare(a.Name, name) })
	if !ok {
		return bundle.Artifact{}, false
	}
	return m.Artifacts[i], true
}

// Materialise fetches what the lock names and the store lacks, checks it, reads the wanted members of each archive in one
// pass and encodes what has not been encoded before. It asks upstream for nothing whose digest is not in the lock.
func Materialise(ctx context.Context, o MaterialiseOptions) (*Materials, error) {
	encoder, err := newEncoder(o.Store, o.Level, o.Report)
	if err != nil {
		return nil, fmt.Errorf("getting what the lock names: %w", err)
	}
	client := o.Download.client(o.Store, o.Report)
	m := &materialiser{
		client: client, puller: image.NewPuller(client), encoder: encoder,
		out: Materials{Packages: map[string]bundle.Package{}, Images: map[string]LockImage{}},
	}
	err = fetch.Each(ctx, len(o.Lock.Entries), lockParallel, func(ctx context.Context, i int) error {
		return m.entry(ctx, o.Lock.Entries[i])
	})
	if err != nil {
		return nil, fmt.Errorf("getting what the lock names: %w", err)
	}
	slices.SortFunc(m.out.Artifacts, func(a, b bundle.Artifact) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(m.out.Artifacts); i++ {
		if m.out.Artifacts[i].Name == m.out.Artifacts[i-1].Name {
			return nil, fmt.Errorf("getting what the lock names: two entries give %q", m.out.Artifacts[i].Name)
		}
	}
	return &m.out, nil
}

type materialiser struct {
	client  *fetch.Client
	puller  *image.Puller
	encoder *encoder

	mu  sync.Mutex
	out Materials
}

func (m *materialiser) entry(ctx context.Context, e LockEntry) error {
	switch e.Kind {
	case EntryArchive, EntryFile:
		return m.program(ctx, e)
	case EntryRPM:
		return m.rpm(ctx, e)
	case EntryImage:
		return m.image(ctx, e)
	}
	return fmt.Errorf("lock entry %q: kind %q is not known", e.ID, e.Kind)
}

// program gets an archive or a file. A copy in the store whose bytes have changed since is thrown away and fetched again,
// once.
func (m *materialiser) program(ctx context.Context, e LockEntry) error {
	// The entry belongs to the lock: what is filled in must not show there.
	e.Members = slices.Clone(e.Members)
	for again := false; ; again = true {
		err := m.programOnce(ctx, e)
		if err == nil {
			return nil
		}
		var damaged *bundle.DigestError
		if verr := m.client.Store().Verify(ctx, e.SHA256); again || !errors.As(verr, &damaged) {
			return fmt.Errorf("%s %s from %s: %w", e.ID, e.Version, e.URL, err)
		}
		m.client.Report(progress.Event{Phase: "fetch", Item: e.ID + " " + e.Version, Kind: progress.Warn, Text: "the copy in the store is damaged; fetching it again"})
		if err := m.client.Store().Discard(e.SHA256); err != nil {
			return err
		}
	}
}

func (m *materialiser) programOnce(ctx context.Context, e LockEntry) error {
	if e.Kind == EntryFile {
		b, ok := m.encoder.known(e.SHA256, "")
		if !ok {
			if err := m.fetch(ctx, e); err != nil {
				return err
			}
			var err error
			if b, err = m.encoder.file(ctx, &e); err != nil {
				return err
			}
		}
		m.add(e, e.ID, bundle.KindProgram, b)
		return nil
	}
	if !m.encoder.archiveKnown(&e) {
		if err := m.fetch(ctx, e); err != nil {
			return err
		}
		if err := m.encoder.archive(ctx, &e); err != nil {
			return err
		}
	}
	for _, member := range e.Members {
		b, ok := m.encoder.known(member.SHA256, member.Contains)
		if !ok {
			return fmt.Errorf("internal error: %s was not remembered", member.Name)
		}
		m.add(e, member.Name, bundle.KindProgram, b)
	}
	return nil
}

func (m *materialiser) fetch(ctx context.Context, e LockEntry) error {
	_, err := m.client.Get(ctx, fetch.Request{Item: e.ID + " " + e.Version, URL: e.URL, SHA256: e.SHA256, Size: e.Size})
	return err
}

func (m *materialiser) add(e LockEntry, name, kind string, b bundle.Blob) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.out.Artifacts = append(m.out.Artifacts, bundle.Artifact{
		Name: name, Version: e.Version, Kind: kind, Source: e.URL, Vouched: e.Vouched, Blob: b,
	})
}

// rpm gets a package; it is compressed already and stays as it is.
func (m *materialiser) rpm(ctx context.Context, e LockEntry) error {
	if err := m.fetch(ctx, e); err != nil {
		return err
	}
	p := e.Package
	name := fmt.Sprintf("%s-%s-%s.%s.rpm", p.Name, p.Version, p.Release, p.Arch)
	m.add(e, name, bundle.KindPackage, bundle.Blob{Digest: e.SHA256, Size: e.Size, Stored: e.SHA256, StoredSize: e.Size, Encoding: bundle.EncodingRaw})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.out.Packages[p.Name] = bundle.Package{Name: p.Name, Epoch: p.Epoch, Version: p.Version, Release: p.Release, Arch: p.Arch, Artifact: name}
	return nil
}

func (m *materialiser) image(ctx context.Context, e LockEntry) error {
	img := &image.Image{Ref: e.Image.Ref, URL: e.URL, Manifest: imageBlob(e.Image.Manifest), Config: imageBlob(e.Image.Config)}
	for _, l := range e.Image.Layers {
		img.Layers = append(img.Layers, imageBlob(l))
	}
	if err := m.puller.Pull(ctx, img); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.out.Images[e.Image.Ref] = *e.Image
	return nil
}

func imageBlob(b LockBlob) image.Blob {
	return image.Blob{MediaType: b.MediaType, Digest: b.SHA256, Size: b.Size}
}
