//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Versions that the lab upgrades from and to.
const (
	oldKube = "v1.20.13"
	newKube = "v1.20.15"
)

// editions are two builds of one site, from the same directory as an operator makes them: with Kubernetes v1.20.13, and later
// with v1.20.15; that is there as deltas, too. master03 is in its cluster file as a spare.
func editions(t *testing.T) (older, newer *rig) {
	t.Helper()
	lab(t) // the site of the other tests first: the mirror serves that in the end
	dirs, err := theEditions()
	if err != nil {
		t.Fatal(err)
	}
	r := lab(t)
	return &rig{root: r.root, state: r.state, site: dirs[0]}, &rig{root: r.root, state: r.state, site: dirs[1]}
}

// theEditions are made when a test first asks for them.
var theEditions = sync.OnceValues(func() ([2]string, error) {
	var none [2]string
	r, err := theRig()
	if err != nil {
		return none, err
	}
	dir, older := filepath.Join(r.state, "editions"), filepath.Join(r.state, "editions-older")
	for _, old := range []string{dir, older} {
		if err := os.RemoveAll(old); err != nil {
			return none, err
		}
	}
	if err := r.make("", "bin/bundle", "init", dir); err != nil {
		return none, err
	}
	changes := []string{
		"  proxyMode: ipvs\n", "  proxyMode: iptables\n",
		"  joinCIDRs: []\n", "  joinCIDRs: [20.0.0.0/24]\n",
		"# versions:\n#   kubernetes: " + newKube + "\n", "versions:\n  kubernetes: " + oldKube + "\n",
		"    ip: 20.0.0.113\n    roles: [lb]\n", "    ip: 20.0.0.113\n    roles: [lb]\n  - name: master03\n    ip: 20.0.0.102\n    roles: [master, etcd]\n    spare: true\n",
	}
	if err := edit(filepath.Join(dir, "cluster.yaml"), changes...); err != nil {
		return none, err
	}
	if err := r.make("OFFGRID_LAB_RELEASES="+oldKube, "lab/site", dir); err != nil {
		return none, err
	}
	if err := os.Mkdir(older, 0o755); err != nil {
		return none, err
	}
	if err := os.Rename(filepath.Join(dir, "dist"), filepath.Join(older, "dist")); err != nil {
		return none, err
	}
	if err := edit(filepath.Join(dir, "cluster.yaml"), "kubernetes: "+oldKube, "kubernetes: "+newKube); err != nil {
		return none, err
	}
	if err := r.make("OFFGRID_LAB_RELEASES="+oldKube, "lab/site", dir); err != nil {
		return none, err
	}
	if err := r.make("OFFGRID_LAB_RELEASES="+oldKube+"\nOFFGRID_LAB_BUILD=--since "+filepath.Join(older, "dist"), "lab/site", dir); err != nil {
		return none, err
	}
	return [2]string{older, dir}, r.make("", "lab/mirror-up")
})

// make runs a program of the checkout. env is lines of NAME=VALUE.
func (r *rig) make(env, name string, args ...string) error {
	cmd := exec.Command(filepath.Join(r.root, name), args...)
	cmd.Dir = r.root
	if cmd.Env = os.Environ(); env != "" {
		cmd.Env = append(cmd.Env, strings.Split(env, "\n")...)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %q: %w\n%s", name, args, err, out)
	}
	return nil
}

// edit replaces texts that have to be in a file, each by the one after it.
func edit(name string, pairs ...string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	for i := 0; i < len(pairs); i += 2 {
		if bytes.Count(data, []byte(pairs[i])) != 1 {
			return fmt.Errorf("editing %s: %q is not in it once", name, pairs[i])
		}
		data = bytes.Replace(data, []byte(pairs[i]), []byte(pairs[i+1]), 1)
	}
	return os.WriteFile(name, data, 0o600)
}

// carried by hand: the host gets the stick of another build.
func (h *host) gets(stick *rig, roles ...string) {
	h.t.Helper()
	old := h.rig
	h.rig = stick
	h.bring(roles...)
	h.rig = old
}

// getsDelta gives the host the same build as a delta, without the stick of the whole one.
func (h *host) getsDelta(stick *rig, role string) {
	h.t.Helper()
	h.must("rm", "-f", "install", role+".bundle")
	h.lab("--put", filepath.Join(stick.site, "delta", "install"), filepath.Join(stick.site, "delta", role+".bundle"), "/root")
	whole, delta := h.size(filepath.Join(stick.site, "dist", role+".bundle")), h.size(filepath.Join(stick.site, "delta", role+".bundle"))
	h.t.Logf("%s: the delta has %d bytes, the whole bundle %d", role, delta, whole)
	if delta > whole/2 {
		h.t.Errorf("%s: the delta has %d bytes, the whole bundle %d", role, delta, whole)
	}
}

func (h *host) size(name string) int64 {
	h.t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		h.t.Fatal(err)
	}
	return info.Size()
}

// version is what a service's program says of itself, asked of the file that the running process was started from.
func (h *host) version(unit string) string {
	h.t.Helper()
	out := h.try("sh", "-c", "exec /proc/$(systemctl show -p MainPID "+unit+" | cut -d= -f2)/exe --version").out
	return strings.TrimPrefix(strings.TrimSpace(out), "Kubernetes ")
}

// runsAs insists on the versions of running services.
func (h *host) runsAs(version string, units ...string) {
	h.t.Helper()
	for _, unit := range units {
		if got := h.version(unit); got != version {
			h.t.Errorf("%s: %s runs %q, want %q", h.name, unit, got, version)
		}
	}
}

// kubelet is the version that the cluster knows of a node, and whether pods may be scheduled to it.
func (h *host) kubelet(node *host) string {
	h.t.Helper()
	return h.kubectl("get", "node", node.ip, "-o", "jsonpath={.status.nodeInfo.kubeletVersion} {.status.nodeInfo.kubeProxyVersion} cordoned:{.spec.unschedulable}").out
}
