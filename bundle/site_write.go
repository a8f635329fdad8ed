package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// SiteSummary says what WriteSite wrote.
type SiteSummary struct {
	Roles []Summary // in the order of the inputs; Size is that of the role's own file
	Size  int64     // bytes written
	Blobs int       // each counted once
}

// WriteSite writes the bundles of several roles of one site into one file, each blob once. Roles must come in the order in which
// they are installed; they must be of one cluster and serial, and all or none renewals. Each root is that of the role's own file.
func WriteSite(ctx context.Context, w io.Writer, roles []Input) (SiteSummary, error) {
	s := &sitePieces{from: map[Digest]*pieces{}, out: map[Digest]bool{}}
	for _, in := range roles {
		p := &pieces{in: in, data: map[Digest][]byte{}, names: map[Digest]string{}}
		if err := p.assemble(ctx); err != nil {
			return SiteSummary{}, fmt.Errorf("writing role %q of a site file: %w", in.Role.Role, err)
		}
		if err := s.add(p); err != nil {
			return SiteSummary{}, fmt.Errorf("writing role %q of a site file: %w", in.Role.Role, err)
		}
	}
	t := &tarWriter{w: w}
	if err := s.write(ctx, t); err != nil {
		return SiteSummary{}, fmt.Errorf("writing site file: %w", err)
	}
	sum := SiteSummary{Size: t.n, Blobs: len(s.blobs)}
	for _, p := range s.roles {
		sum.Roles = append(sum.Roles, p.summary())
	}
	return sum, nil
}

// sitePieces is a site file that is being put together.
type sitePieces struct {
	roles []*pieces
	from  map[Digest]*pieces // who has a blob
	out   map[Digest]bool    // all who have it leave it out
	blobs []StoredBlob       // sorted as in the tar, with the metadata
}

func (s *sitePieces) add(p *pieces) error {
	if len(s.roles) > 0 && s.roles[0].in.Renewal != p.in.Renewal {
		return errors.New("some roles are renewals and some are not")
	}
	if p.in.Delta != nil {
		return errors.New("a site file cannot hold deltas")
	}
	s.roles = append(s.roles, p)
	for d, size := range p.sizes {
		out := p.in.Renewal && p.bulk[d]
		if first, known := s.from[d]; known {
			if first.sizes[d] != size {
				return fmt.Errorf("%s: %d bytes, but %s with the same digest has %d", p.names[d], size, first.names[d], first.sizes[d])
			}
			s.out[d] = s.out[d] && out
			continue
		}
		s.from[d], s.out[d] = p, out
	}
	return nil
}

func (s *sitePieces) write(ctx context.Context, t *tarWriter) error {
	var roots []siteRoot
	for _, p := range s.roles {
		roots = append(roots, siteRoot{Descriptor{Digest: p.root, Size: p.sizes[p.root]}, p.top})
	}
	if len(roots) == 0 {
		return errors.New("there are no roles")
	}
	top, err := siteIndex(roots, s.roles[0].in.Renewal)
	if err != nil {
		return err
	}
	index, err := MarshalCanonical(top)
	if err == nil && len(index) > MaxIndexJSON {
		err = fmt.Errorf("index.json: %d bytes are more than the limit of %d", len(index), MaxIndexJSON)
	}
	if err == nil && len(s.from) > MaxMembers-2-2*MaxRoles {
		err = fmt.Errorf("%d blobs are more than the limit of %d", len(s.from), MaxMembers-2-2*MaxRoles)
	}
	if err == nil {
		err = t.bytes(layoutName, []byte(ociLayout))
	}
	if err == nil {
		err = t.bytes(indexName, index)
	}
	if err != nil {
		return err
	}
	if err := s.writeSignatures(t); err != nil {
		return err
	}
	fixed := map[Digest]bool{}
	for _, p := range s.roles {
		for _, d := range p.fixed {
			fixed[d] = true
			if err := t.bytes(blobPath(d), p.data[d]); err != nil {
				return err
			}
		}
	}
	return s.writeBlobs(ctx, t, fixed)
}

// writeSignatures writes the signatures of the roots, by their digests.
func (s *sitePieces) writeSignatures(t *tarWriter) error {
	signed := slices.DeleteFunc(slices.Clone(s.roles), func(p *pieces) bool { return p.sig == nil })
	slices.SortFunc(signed, func(a, b *pieces) int { return bytes.Compare(a.root[:], b.root[:]) })
	for _, p := range signed {
		if err := t.bytes(signaturePath(p.root), p.sig); err != nil {
			return err
		}
	}
	return nil
}

// writeBlobs writes all but the metadata that came before.
func (s *sitePieces) writeBlobs(ctx context.Context, t *tarWriter, fixed map[Digest]bool) error {
	for d, p := range s.from {
		if !s.out[d] {
			s.blobs = append(s.blobs, StoredBlob{Digest: d, Size: p.sizes[d], Name: p.names[d]})
		}
	}
	slices.SortFunc(s.blobs, StoredBlob.order)
	for _, b := range s.blobs {
		if fixed[b.Digest] {
			continue
		}
		if err := s.from[b.Digest].writeBlob(ctx, t, b); err != nil {
			return fmt.Errorf("%s: %w", b.Name, err)
		}
	}
	return t.end()
}

// summary is what Write would say of the role's own file.
func (p *pieces) summary() Summary {
	member := func(size int64) int64 { return tarBlock + size + tarPadding(size) }
	sum := Summary{Root: p.root, Size: member(int64(len(ociLayout))) + member(int64(len(p.index))) + tarEnd}
	if p.sig != nil {
		sum.Size += member(int64(len(p.sig)))
	}
	for d, size := range p.sizes {
		if !p.in.Renewal || !p.bulk[d] {
			sum.Size += member(size)
			sum.Blobs++
		}
	}
	return sum
}
