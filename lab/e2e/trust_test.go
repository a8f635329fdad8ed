//go:build e2e

package e2e

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"
)

// TestBundlesOfStrangersAndOlderOnesAreRefusedAndNothingChanges tries what a changed or an old stick would bring.
func TestBundlesOfStrangersAndOlderOnesAreRefusedAndNothingChanges(t *testing.T) {
	older, newer := editions(t)
	h := newer.hosts(t, "node01")[0]
	dist := func(r *rig, name string) string { return filepath.Join(r.site, "dist", name) }
	etcd := []string{"./install", "--role", "etcd", "--ip", h.ip, "--yes"}
	fresh := h.snapshot()

	// An installer as it was compiled trusts nobody, one of another site only that site.
	h.lab("--put", filepath.Join(h.rig.root, "bin", "install"), dist(newer, "etcd.bundle"), "/root")
	h.refused(2, "and this program trusts no key", etcd...)
	h.lab("--put", dist(lab(t), "install"), "/root")
	h.refused(2, "which this program does not trust", etcd...)
	same(t, "after bundles of strangers", fresh, h.snapshot())

	h.gets(newer, "etcd")
	h.install("etcd")
	h.gets(older, "etcd", "node")
	was := h.kept()
	for _, role := range []string{"etcd", "node"} { // one that is installed, and one that is not
		h.refused(2, "the bundle is older than what is installed", "./install", "--role", role, "--ip", h.ip, "--yes")
	}
	same(t, "after older bundles", was, h.kept())
}

// kept is what is there of files that nothing but an installer changes.
func (h *host) kept() snapshot {
	h.t.Helper()
	all := h.snapshot()
	maps.DeleteFunc(all, func(name, _ string) bool {
		return !strings.HasPrefix(name, "file /opt/") && !strings.HasPrefix(name, "file /etc/") && !strings.HasPrefix(name, "file /var/lib/offgrid/") && !strings.HasPrefix(name, "package ")
	})
	return all
}
