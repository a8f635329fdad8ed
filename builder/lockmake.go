package builder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"offgrid/builder/catalogue"
	"offgrid/builder/cluster"
	"offgrid/builder/internal/fetch"
	"offgrid/builder/internal/image"
	"offgrid/builder/internal/rpmrepo"
	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// lockParallel is how many things are looked into at the same time; the downloads among them keep to Download.Parallel.
const lockParallel = 8

// LockOptions are what a lock is made from.
type LockOptions struct {
	Cluster        *cluster.File
	Catalogue      *catalogue.Catalogue
	CatalogueBytes []byte // the file it was loaded from
	Baseline       []byte // what the hosts have already (see bundle.Baseline); none: nothing
	Store          *Store
	Download       Download
	Now            time.Time
	Report         progress.Func
}

// MakeLock asks upstream for everything that the cluster needs, checks who vouches for it and writes down what came. All
// of it is in the store afterwards, and so are the programs as they will be shipped, so that a build that follows fetches
// and encodes nothing.
func MakeLock(ctx context.Context, o LockOptions) (*Lock, error) {
	if o.Now.IsZero() {
		return nil, errors.New("internal error: MakeLock without a time")
	}
	sel, err := Select(o.Cluster, o.Catalogue)
	if err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	request, err := RequestDigest(o.Cluster)
	if err != nil {
		return nil, err
	}
	baseline := &bundle.Baseline{OS: "empty"}
	if o.Baseline != nil {
		if baseline, err = bundle.ParseBaseline(o.Baseline); err != nil {
			return nil, fmt.Errorf("locking: %w", err)
		}
	}
	encoder, err := newEncoder(o.Store, bundle.Default, o.Report)
	if err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	client := o.Download.client(o.Store, o.Report)
	m := &lockMaker{
		baseline: baseline, client: client, puller: image.NewPuller(client), cat: o.Catalogue, sel: sel,
		encoder: encoder, keys: map[string]*rpmrepo.Key{},
	}
	if err := m.run(ctx); err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	slices.SortFunc(m.entries, func(a, b LockEntry) int { return strings.Compare(a.ID, b.ID) })
	return &Lock{
		Schema: LockSchema, Date: o.Now.UTC().Truncate(time.Second), Catalogue: bundle.DigestOf(o.CatalogueBytes),
		Request: request, Baseline: bundle.DigestOf(o.Baseline), Entries: m.entries,
	}, nil
}

type lockMaker struct {
	baseline *bundle.Baseline
	client   *fetch.Client
	puller   *image.Puller
	cat      *catalogue.Catalogue
	sel      *Selection
	encoder  *encoder

	mu      sync.Mutex
	entries []LockEntry
	keys    map[string]*rpmrepo.Key
}

func (m *lockMaker) add(e LockEntry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = append(m.entries, e)
}

// baselineName names the system that the hosts have, for people.
func (m *lockMaker) baselineName() string { return m.baseline.OS }

func (m *lockMaker) baselineHas(name string) bool {
	return slices.ContainsFunc(m.baseline.Packages, func(p bundle.BaselinePackage) bool { return p.Name == name })
}

func (m *lockMaker) run(ctx context.Context) error {
	var jobs []func(context.Context) error
	for _, d := range m.sel.Downloads {
		jobs = append(jobs, func(ctx context.Context) error { return m.download(ctx, d) })
	}
	jobs = append(jobs, m.packages)
	for _, i := range m.sel.Images {
		jobs = append(jobs, func(ctx context.Context) error { return m.image(ctx, i) })
	}
	return fetch.Each(ctx, len(jobs), lockParallel, func(ctx context.Context, i int) error { return jobs[i](ctx) })
}

// download fetches a file or archive, and looks into an archive for the digests of its members.
func (m *lockMaker) download(ctx context.Context, d SelectedDownload) error {
	item := d.Download.ID + " " + d.Release.Version
	req := fetch.Request{Item: item, URL: d.Release.URL}
	vouched, err := m.vouch(ctx, d, &req)
	if err != nil {
		return err
	}
	var e LockEntry
	err = m.whole(ctx, req, func(got fetch.Result) error {
		e = LockEntry{
			ID: d.Download.ID, Kind: EntryFile, Version: d.Release.Version, URL: d.Release.URL,
			Size: got.Size, SHA256: got.SHA256, Vouched: vouched,
		}
		err := m.encode(ctx, d, &e)
		if err != nil {
			return fmt.Errorf("%s from %s: %w", item, e.URL, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.add(e)
	return nil
}

// encode gets ready what is shipped of a download.
func (m *lockMaker) encode(ctx context.Context, d SelectedDownload, e *LockEntry) error {
	if d.Download.Kind != catalogue.KindArchive {
		_, err := m.encoder.file(ctx, e)
		return err
	}
	e.Kind = EntryArchive
	for _, w := range d.Members {
		e.Members = append(e.Members, LockMember{Name: w.Name, Path: w.Path, Contains: w.Contains})
	}
	return m.encoder.archive(ctx, e)
}

// whole fetches something and uses it. When that fails because the copy in the store has rotted, it is thrown away and
// fetched again, once.
func (m *lockMaker) whole(ctx context.Context, req fetch.Request, use func(fetch.Result) error) error {
	for again := false; ; again = true {
		got, err := m.client.Get(ctx, req)
		if err != nil {
			return err
		}
		err = use(got)
		if err == nil || again {
			return err
		}
		var rotten *bundle.DigestError
		if verr := m.client.Store().Verify(ctx, got.SHA256); !errors.As(verr, &rotten) {
			return err
		}
		m.client.Report(progress.Event{Phase: "fetch", Item: req.Item, Kind: progress.Warn, Text: "the copy in the store is damaged; fetching it again"})
		if err := m.client.Store().Discard(got.SHA256); err != nil {
			return err
		}
	}
}

// vouch finds the digest that the bytes must have, and says where it comes from.
func (m *lockMaker) vouch(ctx context.Context, d SelectedDownload, req *fetch.Request) (string, error) {
	r := d.Release
	switch {
	case r.SHA256 != "":
		var err error
		req.SHA256, err = bundle.ParseDigest("sha256:" + r.SHA256)
		return "sha256 in the catalogue", err
	case r.SHA512 != "":
		req.SHA512 = r.SHA512
		return "sha512 in the catalogue", nil
	case r.Sums == nil:
		return "", fmt.Errorf("nothing vouches for %s (%s): give the sha256 or sha512 of its bytes in the catalogue, or sums with the address of the checksum list that upstream publishes", req.Item, r.URL)
	}
	a, err := m.client.Text(ctx, fetch.Request{Item: "the checksums of " + req.Item, URL: r.Sums.URL})
	if err != nil {
		return "", err
	}
	if a.URL != r.Sums.URL {
		m.client.Report(progress.Event{Phase: "lock", Item: req.Item, Kind: progress.Warn, Text: fmt.Sprintf("its checksums come from the mirror %s and not from %s: the mirror vouches for what it serves itself; compare them elsewhere, or give the digest in the catalogue", a.URL, r.Sums.URL)})
	}
	digits := 64
	if r.Sums.Algorithm == "sha512" {
		digits = 128
	}
	file := r.URL[strings.LastIndexByte(r.URL, '/')+1:]
	sum, err := parseSums(a.Body, file, digits)
	if err != nil {
		return "", fmt.Errorf("the checksums of %s at %s: %w", req.Item, a.URL, err)
	}
	if digits == 128 {
		req.SHA512 = sum
	} else if req.SHA256, err = bundle.ParseDigest("sha256:" + sum); err != nil {
		return "", err
	}
	return r.Sums.Algorithm + " in " + a.URL, nil
}

func (m *lockMaker) image(ctx context.Context, i catalogue.Image) error {
	img, err := m.puller.Resolve(ctx, i.Ref, i.Source, i.Digest, m.cat.Platform)
	if err != nil {
		return err
	}
	if err := m.puller.Pull(ctx, img); err != nil {
		return err
	}
	e := LockEntry{
		ID: "image/" + i.Ref, Kind: EntryImage, Version: i.Source[strings.LastIndexByte(i.Source, ':')+1:], URL: img.URL,
		Size: img.Manifest.Size, SHA256: img.Manifest.Digest, Vouched: "digest in the catalogue",
		Image: &LockImage{Ref: i.Ref, Manifest: lockBlob(img.Manifest), Config: lockBlob(img.Config)},
	}
	if i.Digest == "" {
		e.Vouched = "the tag " + i.Source + " at the time of the lock"
		if m.extra(i.Ref) {
			e.Vouched += "; asked for by extras in cluster.yaml"
		}
	}
	if img.Index != nil {
		b := lockBlob(*img.Index)
		e.Image.Index = &b
	}
	for _, l := range img.Layers {
		e.Image.Layers = append(e.Image.Layers, lockBlob(l))
	}
	m.add(e)
	return nil
}

// extra reports whether an image is not the catalogue's.
func (m *lockMaker) extra(ref string) bool {
	return !slices.ContainsFunc(m.cat.Images, func(i catalogue.Image) bool { return i.Ref == ref })
}

func lockBlob(b image.Blob) LockBlob {
	return LockBlob{MediaType: b.MediaType, SHA256: b.Digest, Size: b.Size}
}
