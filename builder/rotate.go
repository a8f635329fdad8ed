package builder

import (
	"context"
	"errors"
	"io/fs"

	"offgrid/builder/internal/pki"
)

// RotateOptions says what is to become of the change of a site's authorities.
type RotateOptions struct {
	Next   bool // its next step: every host has the bundles of this one
	Cancel bool // give up, in step 1
}

// Rotation says what a step has made.
type Rotation = pki.Rotation

// Rotate begins a change of a site's certificate authorities, or takes it to its next step. Nothing is built: that is the next
// thing to do, with bundles for every host. Errors are those of Renew, and that a step is not due.
func Rotate(ctx context.Context, site SiteOptions, o RotateOptions) (r *Rotation, err error) {
	s, after, err := openPKI(site)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.lock.Release()) }()
	return pki.Rotate(ctx, s.path(PKIName), pki.RotateRequest{
		Request: pki.Request{Cluster: s.cluster, Now: site.Now(), Report: site.Report}, Next: o.Next, Cancel: o.Cancel, After: after,
	})
}

// RotationStep is the step of the change of authorities that a site is in: 1 or 2 of 3, 0 when none is under way.
func RotationStep(dir string) (int, error) {
	s := &Site{opts: SiteOptions{Dir: dir}}
	step, err := pki.ReadStep(s.path(PKIName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return step, err
}
