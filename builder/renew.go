package builder

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"offgrid/builder/internal/pki"
	"offgrid/bundle/seal"
)

// RenewOptions says which certificates are made anew. What is left empty does not choose.
type RenewOptions struct {
	Role   string        // what this role needs of its hosts
	Hosts  []string      // names in the cluster file; "join" is what joining nodes bring
	Within time.Duration // certificates that end within it
}

// Renewal says what was made anew.
type Renewal = pki.Renewal

// Renew makes certificates of a site anew, ahead of time: new keys, the same authorities. The old ones are kept in pki/.
// Nothing is built: that is the next step. Of the site's options Dir, Now and Report are used. A site without pki/ is a
// *NoPKIError, one that another command works on a *BusyError.
func Renew(ctx context.Context, site SiteOptions, o RenewOptions) (r *Renewal, err error) {
	s, after, err := openPKI(site)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.lock.Release()) }()
	return pki.Renew(ctx, s.path(PKIName), pki.RenewRequest{
		Request: pki.Request{Cluster: s.cluster, Now: site.Now(), Report: site.Report},
		Role:    o.Role, Hosts: o.Hosts, Within: o.Within, After: after,
	})
}

// openPKI holds a site whose certificates are to change. Bundles that are built then must have a serial greater than after,
// whatever the clocks of then and now say.
func openPKI(site SiteOptions) (_ *Site, after int64, err error) {
	s := &Site{opts: site}
	if err := s.readCluster(); err != nil {
		return nil, 0, err
	}
	if err := s.hold(); err != nil {
		return nil, 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.lock.Release())
		}
	}()
	if _, err := os.Lstat(s.path(PKIName)); errors.Is(err, fs.ErrNotExist) {
		return nil, 0, &NoPKIError{site.Dir}
	}
	lock, err := ReadLock(s.path(LockName))
	switch {
	case err == nil:
		return s, lock.Date.Unix(), nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, 0, err
	}
	return s, 0, nil
}

// PKILocked reports whether the private keys of the site in dir are locked with a passphrase.
func PKILocked(dir string) bool { return pki.Locked(filepath.Join(dir, PKIName)) }

// LockPKI locks the private keys of a site with a passphrase, and UnlockPKI gives them back. Of the site's options Dir and Now are
// used. They return how many files it is. A site without pki/ is a *NoPKIError, one that another command works on a *BusyError.
func LockPKI(site SiteOptions, p seal.Passphrase, workFactor int) (int, error) {
	return withPKI(site, func(dir string) (int, error) { return pki.Lock(dir, p, workFactor, site.Now()) })
}

// UnlockPKI is the other way of LockPKI.
func UnlockPKI(site SiteOptions, p seal.Passphrase) (int, error) {
	return withPKI(site, func(dir string) (int, error) { return pki.Unlock(dir, p) })
}

// withPKI works on the pki/ of a site that nobody else works on.
func withPKI(site SiteOptions, work func(dir string) (int, error)) (n int, err error) {
	s := &Site{opts: site}
	if _, err := os.Lstat(s.path(PKIName)); errors.Is(err, fs.ErrNotExist) {
		return 0, &NoPKIError{site.Dir}
	}
	if err := s.hold(); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.lock.Release()) }()
	return work(s.path(PKIName))
}
