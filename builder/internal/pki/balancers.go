package pki

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"path/filepath"

	"offgrid/builder/cluster"
)

// The secret of the load balancers stands in a directory of its own: a site may get them later.
const (
	balancersDir = "balancers"
	vrrpFile     = "vrrp-secret"
	vrrpLength   = 8 // VRRP's simple authentication takes no more
)

// ensureBalancers reads the secret that the load balancers share, or makes it when the site has got some.
func ensureBalancers(dir string, req Request, set *Set) error {
	path := filepath.Join(dir, balancersDir)
	if len(req.Cluster.With(cluster.RoleLB)) == 0 {
		return nil
	}
	if !exists(path) {
		secret := []byte(rand.Text())[:vrrpLength]
		if err := writeDir(dir, balancersDir, map[string][]byte{vrrpFile: append(bytes.ToLower(secret), '\n')}); err != nil {
			return fmt.Errorf("making the secret of the load balancers: %w", err)
		}
		set.Made = append(set.Made, balancersDir)
	}
	data, err := readSecret(filepath.Join(path, vrrpFile))
	set.VRRPSecret = string(bytes.TrimSuffix(data, []byte("\n")))
	if err == nil && !isToken(set.VRRPSecret, vrrpLength) {
		err = fmt.Errorf("want %d characters of a-z and 0-9", vrrpLength)
	}
	if err != nil {
		return &Problems{Dir: dir, Items: []Problem{{filepath.Join(balancersDir, vrrpFile), err.Error() + "; put the file back from a copy, or move the directory " + balancersDir + " away to have a new one made, then build and install again on all load balancers"}}}
	}
	return nil
}
