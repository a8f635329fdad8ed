package builder

import (
	"context"
	"crypto/sha256"
	"io"
	"path/filepath"

	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// siteName is the file with the bundles of all roles.
const siteName = "site" + bundleSuffix

// writeSite writes one file with all roles.
func (s *Site) writeSite(ctx context.Context, dist string, roles []roleInput) ([]BuiltBundle, []DistFile, error) {
	var inputs []bundle.Input
	m := &meter{report: s.opts.Report, item: siteName}
	counted := map[bundle.Digest]bool{}
	for _, r := range roles {
		inputs = append(inputs, r.in)
		for _, a := range r.in.Role.Artifacts {
			if !counted[a.Blob.Stored] && (!r.in.Renewal || a.Kind == bundle.KindText) {
				counted[a.Blob.Stored] = true
				m.total += a.Blob.StoredSize
			}
		}
	}
	s.report(progress.Event{Phase: "seal", Item: siteName, Kind: progress.Start, Total: m.total})
	var sum bundle.SiteSummary
	h := sha256.New()
	err := WriteFile(filepath.Join(dist, siteName), 0o600, func(w io.Writer) (err error) {
		sum, err = bundle.WriteSite(ctx, io.MultiWriter(w, h, m), inputs)
		return err
	})
	if err != nil {
		return nil, nil, s.afterDamage(err)
	}
	s.report(progress.Event{Phase: "seal", Item: siteName, Kind: progress.Done, Done: sum.Size, Total: sum.Size})
	var bundles []BuiltBundle
	for i, r := range roles {
		bundles = append(bundles, BuiltBundle{Role: r.role, Path: siteName, Root: sum.Roles[i].Root, Size: sum.Roles[i].Size, Hosts: r.hosts})
	}
	return bundles, []DistFile{{siteName, sum.Size, bundle.Digest(h.Sum(nil))}}, nil
}
