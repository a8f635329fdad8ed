package builder

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"offgrid/builder/internal/store"
	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// DeltaName is the directory of the bundles that build on others.
const DeltaName = "delta"

// worthIt is how small a difference must be against the whole program, as a part of it, to be shipped in its place.
const worthIt = 0.9

// SinceError says that nothing can be built since what was named.
type SinceError struct {
	Path string
	Why  string
}

func (e *SinceError) Error() string { return fmt.Sprintf("building since %s: %s", e.Path, e.Why) }

// openSince opens the bundles that a delta builds on: those of a file, or of a directory such as an old dist/.
func openSince(path string) ([]*bundle.Bundle, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &SinceError{path, "there is no such file or directory"}
	}
	paths := []string{path}
	if info.IsDir() {
		paths = nil
		for _, role := range append(bundle.RoleOrder(), "site") {
			name := filepath.Join(path, role+bundleSuffix)
			if _, err := os.Stat(name); err == nil && (role != "site" || len(paths) == 0) {
				paths = append(paths, name)
			}
		}
		if len(paths) == 0 {
			return nil, &SinceError{path, "there are no bundles in this directory"}
		}
	}
	var all []*bundle.Bundle
	for _, path := range paths {
		found, err := bundle.OpenAll(path)
		all = append(all, found...)
		if err != nil {
			return nil, errors.Join(err, closeBundles(all))
		}
	}
	for _, b := range all {
		if b.Renewal || b.Delta != nil || b.IsDir {
			return nil, errors.Join(&SinceError{b.Path, "it is not whole: name the bundle that was built without --renewal and --since"}, closeBundles(all))
		}
	}
	return all, nil
}

func closeBundles(all []*bundle.Bundle) error {
	var errs []error
	for _, b := range all {
		errs = append(errs, b.Close())
	}
	return errors.Join(errs...)
}

// sinceKey is a digest of what a delta builds on.
func sinceKey(since []*bundle.Bundle) bundle.Digest {
	var text bytes.Buffer
	for _, b := range since {
		fmt.Fprintf(&text, "%s %s %s\n", b.Role.Role, b.RootDigest, bundle.DeltaCodecID)
	}
	return bundle.DigestOf(text.Bytes())
}

// deltas makes deltas of those roles of which there is an older bundle. The others keep what dist/ brings them, which is said.
func (s *Site) deltas(ctx context.Context, roles []roleInput, since []*bundle.Bundle) ([]roleInput, error) {
	var all []roleInput
	for _, r := range roles {
		i := slices.IndexFunc(since, func(b *bundle.Bundle) bool { return b.Role.Role == r.role })
		if i < 0 {
			s.report(progress.Event{Phase: "delta", Item: r.role, Kind: progress.Warn, Text: "there is no older bundle of it: its hosts need the whole one, of `bundle build`"})
			continue
		}
		old := since[i]
		if old.Role.Cluster.ID != r.in.Role.Cluster.ID {
			return nil, &SinceError{old.Path, fmt.Sprintf("it is of another cluster (%s, id %s)", old.Role.Cluster.Name, old.Role.Cluster.ID)}
		}
		if err := s.delta(ctx, &r, old); err != nil {
			return nil, fmt.Errorf("building role %q since %s: %w", r.role, old.Path, err)
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		return nil, &SinceError{since[0].Path, "it holds no bundle of a role of this site"}
	}
	return all, nil
}

// delta makes one role's input that of a delta against an older bundle of it.
func (s *Site) delta(ctx context.Context, r *roleInput, old *bundle.Bundle) error {
	in, changed := bundle.PlanDelta(old, &r.in.Role)
	for _, c := range changed {
		p, err := s.difference(ctx, old, c.Was, c.Now)
		if err != nil {
			return err
		}
		if float64(p.StoredSize) < worthIt*float64(c.Now.Blob.StoredSize) {
			p.Name, p.Path, p.Digest = c.Now.Name, c.Path, c.Was.Blob.Digest
			in.Programs = append(in.Programs, p)
		}
	}
	r.in.Delta = in
	return nil
}

// difference makes the difference between two versions of a program, or finds it in the store.
func (s *Site) difference(ctx context.Context, old *bundle.Bundle, was, now bundle.Artifact) (p bundle.DeltaProgram, err error) {
	key := store.RecordKey("difference", bundle.DeltaCodecID, was.Blob.Digest.String(), now.Blob.Digest.String())
	if data, ok := s.store.Record(key); ok && json.Unmarshal(data, &p) == nil {
		if size, err := s.store.Size(p.Stored); err == nil && size == p.StoredSize {
			return p, nil
		}
	}
	item := now.Name + " since " + was.Version
	s.report(progress.Event{Phase: "delta", Item: item, Kind: progress.Start, Total: now.Blob.Size})
	r, err := old.Content(ctx, was.Blob, was.Name)
	if err != nil {
		return p, err
	}
	base, err := s.store.Create() // on disk: frames refer to any part of it
	if err != nil {
		return p, errors.Join(err, r.Close())
	}
	defer base.Abort()
	_, err = io.Copy(base, r)
	if err = errors.Join(err, r.Close()); err != nil {
		return p, err
	}
	content, err := s.programContent(now)
	if err != nil {
		return p, err
	}
	defer content.Close()
	w, err := s.store.Create()
	if err != nil {
		return p, err
	}
	defer w.Abort()
	sum := sha256.New()
	counted := &searcher{r: io.TeeReader(content, sum), advance: func(n int64) {
		s.report(progress.Event{Phase: "delta", Item: item, Kind: progress.Advance, Done: n, Total: now.Blob.Size})
	}}
	if p, err = bundle.EncodeDelta(ctx, base, was.Blob.Size, counted, now.Blob.Size, w); err != nil {
		return p, err
	}
	if got := bundle.Digest(sum.Sum(nil)); got != now.Blob.Digest { // else hosts would find out
		return p, errors.Join(&bundle.DigestError{Name: now.Name, Want: now.Blob.Digest, Got: got, Size: now.Blob.Size}, s.store.Discard(now.Blob.Stored))
	}
	if err := w.Commit(p.Stored); err != nil {
		return p, err
	}
	data, err := json.Marshal(p)
	if err == nil {
		err = s.store.PutRecord(key, data)
	}
	s.report(progress.Event{Phase: "delta", Item: item, Kind: progress.Done, Done: now.Blob.Size, Total: now.Blob.Size,
		Text: fmt.Sprintf("%.0f %% of the whole", 100*float64(p.StoredSize)/float64(now.Blob.StoredSize))})
	return p, err
}

// programContent opens the content of a program that is encoded in the store.
func (s *Site) programContent(a bundle.Artifact) (io.ReadCloser, error) {
	f, err := s.store.Open(a.Blob.Stored)
	if err != nil || a.Blob.Encoding == bundle.EncodingRaw {
		return f, err
	}
	z, err := bundle.Unzstd(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{z, both{z, f}}, nil
}

// both closes two things.
type both struct{ first, second io.Closer }

// Close implements io.Closer.
func (b both) Close() error { return errors.Join(b.first.Close(), b.second.Close()) }
