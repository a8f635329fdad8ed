package builder

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"offgrid/builder/catalogue"
	"offgrid/builder/internal/fetch"
	"offgrid/builder/internal/rpmrepo"
)

// repository finds the wanted packages of one repository, fetches them and checks their signatures.
func (m *lockMaker) repository(ctx context.Context, r catalogue.Repository, wanted []catalogue.Package) error {
	src := rpmrepo.Source{ID: r.ID, BaseURL: r.BaseURL, Signed: r.SignedMetadata}
	if r.Key != "" {
		var err error
		if src.Key, err = m.key(ctx, r.Key); err != nil {
			return err
		}
	}
	names := make([]rpmrepo.Wanted, len(wanted))
	for i, p := range wanted {
		names[i] = rpmrepo.Wanted{Name: p.Name, EVR: p.EVR, Arch: p.Arch}
	}
	found, vouched, err := rpmrepo.Find(ctx, m.client, src, names)
	if err != nil {
		return err
	}
	return fetch.Each(ctx, len(found), lockParallel, func(ctx context.Context, i int) error {
		return m.rpm(ctx, src, wanted[i], found[i], vouched)
	})
}

// key fetches a key file; the key in it must have the pinned fingerprint.
func (m *lockMaker) key(ctx context.Context, id string) (*rpmrepo.Key, error) {
	m.mu.Lock()
	k := m.keys[id]
	m.mu.Unlock()
	if k != nil {
		return k, nil
	}
	i := slices.IndexFunc(m.cat.Keys, func(k catalogue.Key) bool { return k.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("the catalogue has no key %q", id)
	}
	pinned := m.cat.Keys[i]
	a, err := m.client.Text(ctx, fetch.Request{Item: "key " + id, URL: pinned.URL})
	if err != nil {
		return nil, err
	}
	if k, err = rpmrepo.ParseKey(a.Body, pinned.Fingerprint); err != nil {
		return nil, fmt.Errorf("key %s from %s: %w", id, a.URL, err)
	}
	m.mu.Lock()
	m.keys[id] = k
	m.mu.Unlock()
	return k, nil
}

// rpm fetches one package, checks it and writes its entry.
func (m *lockMaker) rpm(ctx context.Context, src rpmrepo.Source, w catalogue.Package, p rpmrepo.Package, vouched string) error {
	url := src.URL(p.Path)
	if w.SHA256 != "" && w.SHA256 != p.SHA256.Hex() {
		return fmt.Errorf("package %s: the catalogue pins sha256 %s, repository %s has %s", p, w.SHA256, src.ID, p.SHA256.Hex())
	}
	key := src.Key
	switch {
	case w.SHA256 != "": // the digest is the stronger promise
		vouched, key = "sha256 in the catalogue", nil
	case key == nil:
		return fmt.Errorf("nothing vouches for package %s (%s): pin the key that signs it in the catalogue, or give its sha256 there", p, url)
	}
	var covers string
	req := fetch.Request{Item: p.String(), URL: url, SHA256: p.SHA256, Size: p.Size}
	err := m.whole(ctx, req, func(fetch.Result) (err error) {
		covers, err = m.checkPackage(ctx, p, key, url)
		return err
	})
	if err != nil {
		return err
	}
	if key != nil {
		vouched += "; " + covers + " signed by " + key.Fingerprint
	}
	m.add(LockEntry{
		ID: "rpm/" + p.Name, Kind: EntryRPM, Version: p.EVR(), URL: url, Size: p.Size, SHA256: p.SHA256, Vouched: vouched,
		Package: &LockPackage{Name: p.Name, Epoch: p.Epoch, Version: p.Version, Release: p.Release, Arch: p.Arch, Repository: src.ID},
	})
	return nil
}

// checkPackage says what of the package in the store its signature covers.
func (m *lockMaker) checkPackage(ctx context.Context, p rpmrepo.Package, key *rpmrepo.Key, url string) (string, error) {
	f, err := m.client.Store().Open(p.SHA256)
	if err != nil {
		return "", err
	}
	defer f.Close()
	covers, err := rpmrepo.CheckPackage(ctx, f, p, key)
	if errors.Is(err, rpmrepo.ErrUnsigned) {
		return "", fmt.Errorf("%w (%s): use a build of it that the key %s has signed, or give its sha256 in the catalogue", err, url, key.Fingerprint)
	}
	if err != nil {
		return "", fmt.Errorf("%w (%s): pin the key that signed it in the catalogue, or give its sha256 there", err, url)
	}
	return covers, nil
}
