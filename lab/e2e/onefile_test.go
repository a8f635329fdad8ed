//go:build e2e

package e2e

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestAClusterComesFromOneFile builds site.bundle and the executables, and installs every host from the one or from the other.
func TestAClusterComesFromOneFile(t *testing.T) {
	if !*full {
		t.Skip("only with -full: a build of its own, six hosts")
	}
	r := lab(t)
	dir := filepath.Join(r.state, "onefile")
	if err := r.make("OFFGRID_LAB_BUILD=--site --single-file", "lab/site", dir); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.make("", "lab/mirror-up"); err != nil {
			t.Error(err)
		}
	}()
	dist := filepath.Join(dir, "dist")
	h := r.hosts(t, "master01", "master02", "node01", "node02", "lb01", "lb02")
	s := &site{t: t, rig: &rig{root: r.root, state: r.state, site: dir}, master01: h[0], master02: h[1], node01: h[2], node02: h[3], lb01: h[4], lb02: h[5]}
	site := h[0].size(filepath.Join(dist, "site.bundle"))
	t.Logf("site.bundle has %d bytes", site)

	// Without --role every host takes what it gets. node02 has one executable and nothing else.
	for _, hosts := range [][]*host{{s.master01, s.master02}, {s.lb01, s.lb02}, {s.node01, s.node02}} {
		together(t, hosts, func(h *host) {
			program := "install"
			if h.name == s.node02.name {
				program = "install-site"
				h.lab("--put", filepath.Join(dist, program), "/root")
			} else {
				h.lab("--put", filepath.Join(dist, program), filepath.Join(dist, "site.bundle"), "/root")
			}
			cmd := h.command("./"+program, "--yes", "--ip", h.ip)
			if out := finish(h.t, cmd, 15*time.Minute); out.code != 0 {
				h.t.Fatalf("%s# ./%s ended with %d:\n%s", h.name, program, out.code, out.out)
			}
			h.must("rm", "-f", program, "site.bundle")
		})
	}
	s.works()
	if got, want := s.node02.must("sh", "-c", "stat -c %s /var/lib/offgrid/install"), s.node02.size(filepath.Join(dist, "install")); strings.TrimSpace(got) != strconv.FormatInt(want, 10) {
		t.Errorf("node02 carries an installer of %s bytes, the program has %d", got, want)
	}
}
