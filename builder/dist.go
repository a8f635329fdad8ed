package builder

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"offgrid/bundle"
	"offgrid/bundle/progress"
)

const (
	bundleSuffix  = ".bundle"
	installerName = InstallerName
	sumsName      = "SHA256SUMS"
	stampName     = ".stamp"
	stampFormat   = 2
)

// stamp remembers what dist/ was made from. It lies there itself.
type stamp struct {
	Format  int           `json:"format"`
	Input   bundle.Digest `json:"input"`
	Bundles []BuiltBundle `json:"bundles"` // with names for paths
	Files   []DistFile    `json:"files"`   // sorted by name
}

// roleInput is a role bundle that is ready to be written.
type roleInput struct {
	role  string
	hosts []string
	in    bundle.Input
}

// inputKey is a digest of all that decides what dist/ holds.
func (s *Site) inputKey(o BuildOptions, since []*bundle.Bundle, sign *signing) (bundle.Digest, error) {
	lock, err := FileDigest(s.path(LockName))
	if err != nil {
		return bundle.Digest{}, err
	}
	installer, err := FileDigest(s.opts.Installer)
	if err != nil {
		return bundle.Digest{}, err
	}
	secrets, err := treeDigest(s.path(PKIName))
	if err != nil {
		return bundle.Digest{}, err
	}
	inputs := []bundle.Digest{bundle.DigestOf(s.data), bundle.DigestOf(s.opts.Catalogue), lock, installer, secrets, s.opts.Program, o.key(), sinceKey(since), sign.input()}
	for _, name := range append(slices.Clone(s.cluster.Extras.Manifests), s.cluster.Images.RegistryCA) {
		if name == "" {
			continue
		}
		d, err := FileDigest(s.path(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // that it is not there is said when it is used
			return bundle.Digest{}, err
		}
		inputs = append(inputs, d)
	}
	key, err := bundle.MarshalCanonical(inputs)
	return bundle.DigestOf(key), err
}

// treeDigest digests the names and contents of all files below dir but the sealed packs: these follow from the rest.
func treeDigest(dir string) (bundle.Digest, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && filepath.Dir(path) == filepath.Join(dir, sealedName) {
			return filepath.SkipDir
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		sum, err := FileDigest(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		fmt.Fprintf(h, "%s %q\n", sum, filepath.ToSlash(name))
		return err
	})
	return bundle.Digest(h.Sum(nil)), err
}

// readStamp returns the stamp of the last build, nil when there is none that can be read: the build is done anew then.
func readStamp(dist string) *stamp {
	data, err := readLimited(filepath.Join(dist, stampName))
	if err != nil {
		return nil
	}
	var st stamp
	if json.Unmarshal(data, &st) != nil || st.Format != stampFormat {
		return nil
	}
	for _, f := range st.Files {
		if f.Name != filepath.Base(f.Name) {
			return nil
		}
	}
	return &st
}

// intact reports whether the files of dist/ are still those of the stamp.
func intact(ctx context.Context, dist string, st *stamp) bool {
	good := make([]bool, len(st.Files))
	var group sync.WaitGroup
	for i, f := range st.Files {
		group.Go(func() {
			d, size, err := digestFile(filepath.Join(dist, f.Name))
			good[i] = err == nil && d == f.SHA256 && size == f.Size
		})
	}
	group.Wait()
	sums, err := os.ReadFile(filepath.Join(dist, sumsName))
	return ctx.Err() == nil && err == nil && string(sums) == st.sums() && !slices.Contains(good, false)
}

// writeDist replaces the files of dist/. Until the last one is in place there is neither a SHA256SUMS nor a stamp: a half
// written dist/ cannot be taken for a whole one.
func (s *Site) writeDist(ctx context.Context, dist string, key bundle.Digest, roles []roleInput, extras []distExtra, o BuildOptions) (*stamp, error) {
	old := readStamp(dist)
	if err := openDist(dist); err != nil {
		return nil, err
	}
	write := func(ctx context.Context) ([]BuiltBundle, []DistFile, error) { return s.writeRoles(ctx, dist, roles) }
	if o.Site {
		write = func(ctx context.Context) ([]BuiltBundle, []DistFile, error) { return s.writeSite(ctx, dist, roles) }
	}
	bundles, files, err := write(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range extras {
		written, err := e.write(dist)
		if err != nil {
			return nil, err
		}
		files = append(files, written)
	}
	st := &stamp{Format: stampFormat, Input: key, Bundles: bundles, Files: files}
	if o.SingleFile {
		if err := s.writeSingleFiles(ctx, dist, st); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(st.Files, func(a, b DistFile) int { return strings.Compare(a.Name, b.Name) })
	if err := removeOld(dist, old, st); err != nil {
		return nil, err
	}
	if err := WriteFile(filepath.Join(dist, sumsName), 0o600, writeBytes([]byte(st.sums()))); err != nil {
		return nil, err
	}
	data, err := bundle.MarshalCanonical(st)
	if err != nil {
		return nil, err
	}
	return st, WriteFile(filepath.Join(dist, stampName), 0o600, writeBytes(data))
}

// writeRoles writes a file for each role, all at the same time.
func (s *Site) writeRoles(ctx context.Context, dist string, roles []roleInput) ([]BuiltBundle, []DistFile, error) {
	bundles, files, errs := make([]BuiltBundle, len(roles)), make([]DistFile, len(roles)), make([]error, len(roles))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	for i, r := range roles {
		group.Go(func() {
			if bundles[i], files[i], errs[i] = s.writeBundle(ctx, dist, r); errs[i] != nil {
				cancel()
			}
		})
	}
	group.Wait()
	return bundles, files, firstCause(errs)
}

// openDist makes dist/, readable by its owner only, and removes what says that it is whole and what a killed build left.
func openDist(dist string) error {
	if err := os.MkdirAll(dist, 0o700); err != nil {
		return fmt.Errorf("making %q: %w", dist, err)
	}
	if err := os.Chmod(dist, 0o700); err != nil { // an older one may have been made with another umask
		return fmt.Errorf("making %q: %w", dist, err)
	}
	if err := removeTemp(dist, ""); err != nil {
		return fmt.Errorf("cleaning %q: %w", dist, err)
	}
	for _, name := range []string{stampName, sumsName} {
		if err := os.Remove(filepath.Join(dist, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cleaning %q: %w", dist, err)
		}
	}
	return nil
}

// removeOld removes the files that the last build wrote and this one did not: of roles that the site has no more, or in
// another form.
func removeOld(dist string, old, now *stamp) error {
	if old == nil {
		return nil
	}
	for _, f := range old.Files {
		if slices.ContainsFunc(now.Files, func(n DistFile) bool { return n.Name == f.Name }) ||
			!strings.HasSuffix(f.Name, bundleSuffix) && !strings.HasPrefix(f.Name, singlePrefix) && f.Name != PublicKeyName {
			continue
		}
		if err := os.Remove(filepath.Join(dist, f.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cleaning %q: %w", dist, err)
		}
	}
	return nil
}

// firstCause prefers an error to the cancellations that followed from it.
func firstCause(errs []error) error {
	var cancelled error
	for _, err := range errs {
		switch {
		case errors.Is(err, context.Canceled):
			cancelled = err
		case err != nil:
			return err
		}
	}
	return cancelled
}

func (s *Site) writeBundle(ctx context.Context, dist string, r roleInput) (BuiltBundle, DistFile, error) {
	name := r.role + bundleSuffix
	m := &meter{report: s.opts.Report, item: name, total: estimate(r.in)}
	s.report(progress.Event{Phase: "seal", Item: name, Kind: progress.Start, Total: m.total})
	var sum bundle.Summary
	h := sha256.New()
	err := WriteFile(filepath.Join(dist, name), 0o600, func(w io.Writer) (err error) {
		sum, err = bundle.Write(ctx, io.MultiWriter(w, h, m), r.in)
		return err
	})
	if err != nil {
		return BuiltBundle{}, DistFile{}, s.afterDamage(err)
	}
	s.report(progress.Event{Phase: "seal", Item: name, Kind: progress.Done, Done: sum.Size, Total: sum.Size})
	return BuiltBundle{Role: r.role, Path: name, Root: sum.Root, Size: sum.Size, Hosts: r.hosts}, DistFile{name, sum.Size, bundle.Digest(h.Sum(nil))}, nil
}

// afterDamage throws a damaged blob out of the store, so that the next build makes it anew.
func (s *Site) afterDamage(err error) error {
	var damaged *bundle.DigestError
	if !errors.As(err, &damaged) {
		return err
	}
	return fmt.Errorf("%w; the copy in the store %q was damaged and is thrown away, so the next build gets it again", errors.Join(err, s.store.Discard(damaged.Want)), s.opts.Store)
}

// estimate is about what a bundle will be big, for progress.
func estimate(in bundle.Input) int64 {
	var n int64
	if in.Delta != nil {
		for _, p := range in.Delta.Programs {
			n += p.StoredSize
		}
		return n
	}
	for _, a := range in.Role.Artifacts {
		if !in.Renewal || a.Kind == bundle.KindText {
			n += a.Blob.StoredSize
		}
	}
	return n
}

// meter reports how much was written, every few MiB.
type meter struct {
	report         progress.Func
	item           string
	n, told, total int64
}

func (m *meter) Write(p []byte) (int, error) {
	m.n += int64(len(p))
	if m.n-m.told >= bundle.FrameSize {
		m.told = m.n
		m.report.Report(progress.Event{Phase: "seal", Item: m.item, Kind: progress.Advance, Done: m.n, Total: max(m.n, m.total)})
	}
	return len(p), nil
}

// distExtra is a file of dist/ that is no bundle.
type distExtra struct {
	name string
	mode os.FileMode
	data []byte
}

// extraFiles are the installer, with the keys that it trusts, and the key that signed.
func (s *Site) extraFiles(sign *signing) ([]distExtra, error) {
	installer, err := sign.installer(s.opts.Installer)
	extras := []distExtra{{installerName, 0o700, installer}}
	if sign.key != nil {
		extras = append(extras, distExtra{PublicKeyName, 0o600, sign.key.Public().File()})
	}
	return extras, err
}

func (e distExtra) write(dist string) (DistFile, error) {
	err := WriteFile(filepath.Join(dist, e.name), e.mode, writeBytes(e.data))
	return DistFile{e.name, int64(len(e.data)), bundle.DigestOf(e.data)}, err
}

// sums is SHA256SUMS, as sha256sum writes it.
func (st *stamp) sums() string {
	var b strings.Builder
	for _, f := range st.Files {
		fmt.Fprintf(&b, "%s  %s\n", f.SHA256.Hex(), f.Name)
	}
	return b.String()
}
