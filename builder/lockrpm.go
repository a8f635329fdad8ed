package builder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"offgrid/builder/catalogue"
	"offgrid/builder/cluster"
	"offgrid/builder/internal/fetch"
	"offgrid/builder/internal/rpmrepo"
)

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
	if k, err = rpmrepo.ParseKey(a.Body, pinned.Fingerprint, pinned.Weak); err != nil {
		return nil, fmt.Errorf("key %s from %s: %w", id, a.URL, err)
	}
	m.mu.Lock()
	m.keys[id] = k
	m.mu.Unlock()
	return k, nil
}

// fetchPackages gets the chosen packages and checks each, and then all together.
func (m *lockMaker) fetchPackages(ctx context.Context, choices []*packageChoice) error {
	files := &fileOwners{first: map[string]owned{}}
	err := fetch.Each(ctx, len(choices), lockParallel, func(ctx context.Context, i int) error {
		return m.rpm(ctx, choices[i], files)
	})
	if err != nil {
		return err
	}
	if files.clashes != nil {
		slices.Sort(files.clashes)
		return fmt.Errorf("checking packages together: rpm would refuse them, because they hold different files of one name: %s", strings.Join(shorten(files.clashes, 10), "; "))
	}
	return m.checkChosen(choices)
}

// shorten keeps the first n of a list and says how many more there are.
func shorten(list []string, n int) []string {
	if len(list) <= n {
		return list
	}
	return append(list[:n:n], fmt.Sprintf("and %d more", len(list)-n))
}

// checkChosen looks for what the solver cannot know to be wrong.
func (m *lockMaker) checkChosen(choices []*packageChoice) error {
	has := func(name string) bool {
		return slices.ContainsFunc(choices, func(c *packageChoice) bool { return c.listed.Name == name }) || m.baselineHas(name)
	}
	if m.sel.Kernel != nil && !has("dracut") {
		return errors.New("checking the kernel: neither the baseline nor the bundle has dracut, which makes the initial RAM disk that it boots with")
	}
	for _, c := range choices {
		major, _, _ := strings.Cut(c.listed.Version, ".")
		if n, err := strconv.Atoi(major); c.listed.Name == "docker-ce" && err == nil && n >= cluster.MaxDockerMajor {
			return fmt.Errorf("choosing packages: docker %s does not work with Kubernetes v1.20; name a version of 20.10 or 19.03 in the catalogue's package set", c.listed.Version)
		}
	}
	return nil
}

// rpm fetches one package, checks it and writes its entry.
func (m *lockMaker) rpm(ctx context.Context, c *packageChoice, files *fileOwners) error {
	p, src := c.listed.Package, c.source
	url := src.URL(p.Path)
	pinned := c.wanted != nil && c.wanted.SHA256 != ""
	if pinned && c.wanted.SHA256 != p.SHA256.Hex() {
		return fmt.Errorf("package %s: the catalogue pins sha256 %s, repository %s has %s", p, c.wanted.SHA256, src.ID, p.SHA256.Hex())
	}
	key, vouched := src.Key, src.Vouched
	switch {
	case p.Size > rpmrepo.MaxPackage:
		return fmt.Errorf("package %s (%s): it has %d bytes, the limit is %d", p, url, p.Size, rpmrepo.MaxPackage)
	case pinned: // the digest is the stronger promise
		vouched, key = "sha256 in the catalogue", nil
	case key == nil:
		return fmt.Errorf("nothing vouches for package %s (%s): pin the key that signs it in the catalogue, or give its sha256 there", p, url)
	}
	var covers string
	req := fetch.Request{Item: p.String(), URL: url, SHA256: p.SHA256, Size: p.Size}
	err := m.whole(ctx, req, func(fetch.Result) (err error) {
		covers, err = m.checkPackage(ctx, p, src, key, url, files)
		return err
	})
	if err != nil {
		return err
	}
	e := LockEntry{
		ID: "rpm/" + p.Name, Kind: EntryRPM, Version: p.EVR(), URL: url, Size: p.Size, SHA256: p.SHA256, Vouched: vouched,
		Package: &LockPackage{Name: p.Name, Epoch: p.Epoch, Version: p.Version, Release: p.Release, Arch: p.Arch, Repository: src.ID,
			Roles: slices.Sorted(slices.Values(c.roles)), Kernel: c.kernel, Sets: c.sets, NeededBy: c.by, Needs: c.dep, Replaces: c.replaces},
	}
	if key != nil {
		e.Vouched += "; " + covers + " signed by " + key.Fingerprint
		e.Package.Key = key.Fingerprint
	}
	m.add(e)
	return nil
}

// checkPackage says what of the package in the store its signature covers, and notes its files.
func (m *lockMaker) checkPackage(ctx context.Context, p rpmrepo.Package, src *rpmrepo.Repository, key *rpmrepo.Key, url string, files *fileOwners) (string, error) {
	f, err := m.client.Store().Open(p.SHA256)
	if err != nil {
		return "", err
	}
	defer f.Close()
	covers, err := rpmrepo.CheckPackage(ctx, f, p, key, src.Signed)
	if errors.Is(err, rpmrepo.ErrUnsigned) {
		return "", fmt.Errorf("%w (%s): use a build of it that the key %s has signed, or give its sha256 in the catalogue", err, url, key.Fingerprint)
	}
	if errors.Is(err, rpmrepo.ErrHeaderOnly) {
		return "", fmt.Errorf("%w (%s): use a build of it that is signed as a whole, or give its sha256 in the catalogue", err, url)
	}
	if err != nil {
		return "", fmt.Errorf("%w (%s): pin the key that signed it in the catalogue, or give its sha256 there", err, url)
	}
	contents, err := rpmrepo.ReadContents(f)
	if err != nil {
		return "", fmt.Errorf("package %s (%s): %w", p, url, err)
	}
	if unknown := contents.UnknownToRpm(); unknown != nil {
		return "", fmt.Errorf("package %s (%s): rpm 4.11 of CentOS 7 cannot install it, it lacks %s: choose a build of it for el7", p, url, strings.Join(unknown, ", "))
	}
	files.add(p, contents.Files)
	return covers, nil
}

// fileOwners finds files that two packages hold with different content.
type fileOwners struct {
	mu      sync.Mutex
	first   map[string]owned
	clashes []string
}

type owned struct {
	by   rpmrepo.Package
	file rpmrepo.Held
}

func (o *fileOwners) add(p rpmrepo.Package, files []rpmrepo.Held) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range files {
		other, taken := o.first[f.Path]
		switch {
		case !taken:
			o.first[f.Path] = owned{p, f}
		case other.by.Name != p.Name && f.Clashes(other.file):
			names := []string{other.by.String(), p.String()}
			slices.Sort(names)
			o.clashes = append(o.clashes, fmt.Sprintf("%s is in %s and %s", f.Path, names[0], names[1]))
		}
	}
}
