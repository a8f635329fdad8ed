//go:build e2e

package e2e

import (
	"os"
	"strings"
	"testing"
	"time"
)

// four are a master, a balancer and two nodes; three of them are members of etcd.
func (r *rig) four(t *testing.T) *site {
	t.Helper()
	h := r.hosts(t, "master01", "node01", "node02", "lb01")
	s := &site{t: t, rig: r, master01: h[0], node01: h[1], node02: h[2], lb01: h[3]}
	s.master01.bring("etcd", "master")
	s.node01.bring("etcd", "node")
	s.node02.bring("etcd", "node")
	s.lb01.bring("lb")
	for role, hosts := range map[string][]*host{"etcd": {s.master01, s.node01, s.node02}, "lb": {s.lb01}} {
		together(t, hosts, func(h *host) { h.install(role) })
	}
	s.master01.install("master")
	together(t, []*host{s.node01, s.node02}, func(h *host) { h.install("node") })
	s.whole()
	for _, h := range h {
		eventually(t, 3*time.Minute, h.converged)
	}
	return s
}

// whole waits until the four hosts work.
func (s *site) whole() {
	s.t.Helper()
	eventually(s.t, 3*time.Minute, s.master01.oneLeader)
	eventually(s.t, 3*time.Minute, s.master01.healthy)
	eventually(s.t, 3*time.Minute, func() string { return s.master01.ready(s.node01, s.node02) })
	eventually(s.t, 3*time.Minute, s.master01.podsReady)
}

// TestAnUpgradeThatFailsIsPutBackAndTheNextTrySucceeds does what goes wrong on sites, on a master and on nodes.
func TestAnUpgradeThatFailsIsPutBackAndTheNextTrySucceeds(t *testing.T) {
	if !*full {
		t.Skip("only with -full: two builds of a site, four hosts")
	}
	older, newer := editions(t)
	s := older.four(t)
	s.master01.deploys()
	t.Run("a master whose new API server does not start", func(t *testing.T) {
		s := s.in(t)
		s.putBack(newer, s.master01, "master", "kube-apiserver", masterUnits)
	})
	t.Run("a node whose pods may not go", func(t *testing.T) { s.in(t).budgetHolds(newer) })
	t.Run("a node whose new kubelet does not start", func(t *testing.T) {
		s := s.in(t)
		s.putBack(newer, s.node01, "node", "kubelet", nodeUnits)
		s.nodeCameBack(t, s.node01)
	})
	t.Run("a node whose power fails while its programs are replaced", func(t *testing.T) { s.in(t).powerEarly(newer) })
	t.Run("and again once they are in place", func(t *testing.T) { s.in(t).powerLate(newer) })
	t.Run("all is well after it", func(t *testing.T) { s.in(t).whole() })
}

// budgetHolds: both pods of the website have to be there, so none may go.
func (s *site) budgetHolds(newer *rig) {
	s.t.Helper()
	budget := func(least string) {
		s.master01.must("kubectl", "patch", "pdb", "website", "--type=merge", "-p", `{"spec": {"minAvailable": `+least+`}}`)
	}
	budget("2")
	h := s.node01
	if out := s.master01.must("kubectl", "get", "pods", "-l", "app=website", "-o", "wide"); !strings.Contains(out, " "+h.ip+" ") {
		h = s.node02
	}
	h.gets(newer, "node")
	h.refused(5, "The disruption budget website needs 2 healthy pods and has 2 currently", "./install", "--yes", "--role", "node", "--ip", h.ip, "--drain-timeout", "10s")
	h.isOld("node", nodeUnits)
	if got, want := s.master01.kubelet(h), oldKube+" "+oldKube+" cordoned:"; got != want {
		s.t.Errorf("%s is %q, want %q", h.name, got, want)
	}
	budget("1")
	s.whole()
}

// refused insists on an exit code and words of a command.
func (h *host) refused(code int, words string, argv ...string) string {
	h.t.Helper()
	r := h.try(argv...)
	if r.code != code || !strings.Contains(flat(r.out), words) {
		h.t.Errorf("%s# %q ended with %d, want %d and %q:\n%s", h.name, argv, r.code, code, words, r.out)
	}
	return r.out
}

// guarded makes systemd start a service only when its program is the one that is known today, as sites do that watch their
// programs.
func (h *host) guarded(unit string) {
	h.t.Helper()
	h.must("sh", "-c", "sha256sum /opt/kubernetes/bin/"+unit+" >/etc/known-programs && mkdir -p /etc/systemd/system/"+unit+".service.d && "+
		"printf '[Service]\\nExecStartPre=/usr/bin/sha256sum -c --quiet /etc/known-programs\\n' >/etc/systemd/system/"+unit+".service.d/known.conf && systemctl daemon-reload")
}

func (h *host) unguarded(unit string) {
	h.t.Helper()
	h.must("sh", "-c", "rm -r /etc/known-programs /etc/systemd/system/"+unit+".service.d && systemctl daemon-reload")
}

// putBack tries an upgrade that cannot work, and again when it can.
func (s *site) putBack(newer *rig, h *host, role, unit string, units []string) {
	s.t.Helper()
	h.gets(newer, role)
	h.guarded(unit)
	start := time.Now()
	r := finish(s.t, h.installing(role), 15*time.Minute)
	s.t.Logf("%s: given up and put back after %.0f s:\n%s", h.name, time.Since(start).Seconds(), r.out)
	if r.code != 6 {
		s.t.Errorf("exit code %d, want 6", r.code)
	}
	for _, words := range []string{"upgrading " + role + " from " + oldKube + " to " + newKube + ": ", oldKube + " was put back and works", "journalctl --since", unit} {
		if !strings.Contains(flat(r.out), words) {
			s.t.Errorf("the message does not say %q", words)
		}
	}
	h.isOld(role, units)
	s.whole()
	eventually(s.t, time.Minute, s.master01.deployed)
	if role == "node" {
		if got, want := s.master01.kubelet(h), oldKube+" "+oldKube+" cordoned:"; got != want {
			s.t.Errorf("%s is %q, want %q", h.name, got, want)
		}
	}

	h.unguarded(unit)
	start = time.Now()
	out := h.install(role)
	s.t.Logf("%s: the second try took %.0f s", h.name, time.Since(start).Seconds())
	if !strings.Contains(flat(out), "this upgrade was tried before and put back") {
		s.t.Errorf("the second try does not say that there was a first:\n%s", out)
	}
	h.runsAs(newKube, units...)
	s.whole()
}

// isOld insists that a host is what it was before an upgrade, and that nothing goes on there.
func (h *host) isOld(role string, units []string) {
	h.t.Helper()
	h.runsAs(oldKube, units...)
	st := h.status(role)
	if !strings.Contains(strings.Join(st.Versions, ","), oldKube) || !st.Installed || st.Upgrade != "" {
		h.t.Errorf("%s: status of %s: %+v, want %s and nothing unfinished", h.name, role, st, oldKube)
	}
	if _, err := os.Stat(h.path("var/lib/offgrid/old")); err == nil {
		h.t.Errorf("%s: what was kept of the old version is still there", h.name)
	}
	if missing := h.converged(); missing != "" {
		h.t.Errorf("after the put-back %s", missing)
	}
	if r := h.try(offgrid, "verify"); r.code != 0 {
		h.t.Errorf("%s# install verify ended with %d:\n%s", h.name, r.code, r.out)
	}
}

// cutWhen begins the upgrade of a node and cuts its power once the journal has a record.
func (s *site) cutWhen(h *host, newer *rig, step, event string) {
	s.t.Helper()
	h.gets(newer, "node")
	h.must("sync")
	before := len(h.journal())
	r := h.start("./install", "--yes", "--role", "node", "--ip", h.ip)
	there := func() bool {
		for _, rec := range h.journal()[before:] {
			if rec.Step == step && rec.Event == event {
				return true
			}
		}
		return false
	}
	if !r.until(there) {
		s.t.Fatalf("the upgrade ended with %d before its %s was %s:\n%s", r.last.code, step, event, r.last.out)
	}
	h.lab("--cut")
	r.wait()
}

// powerEarly: half of the programs are new ones. Nobody does anything; the stick stays away.
func (s *site) powerEarly(newer *rig) {
	s.t.Helper()
	h := s.node02
	s.cutWhen(h, newer, "file:/opt/kubernetes/bin/kube-proxy", "begin")
	start := time.Now()
	h.lab("--start")
	eventually(s.t, 5*time.Minute, func() string {
		if _, err := os.Stat(h.path("var/lib/offgrid/old")); err == nil {
			return "the upgrade is not over"
		}
		return h.converged()
	})
	s.t.Logf("%.0f s after the power came back the node is the old one", time.Since(start).Seconds())
	h.isOld("node", nodeUnits)
	s.whole()
	if got, want := s.master01.kubelet(h), oldKube+" "+oldKube+" cordoned:"; got != want {
		s.t.Errorf("%s is %q, want %q", h.name, got, want)
	}
}

// powerLate: all programs are new. The operator types resume.
func (s *site) powerLate(newer *rig) {
	s.t.Helper()
	h := s.node02
	s.cutWhen(h, newer, "unit:kubelet.service", "begin")
	h.lab("--start")
	start := time.Now()
	r := h.try(offgrid, "resume")
	s.t.Logf("resume ended with %d after %.0f s:\n%s", r.code, time.Since(start).Seconds(), r.out)
	if r.code != 0 {
		s.t.Errorf("resume ended with %d, want 0", r.code)
	}
	s.whole()
	s.nodeCameBack(s.t, h)
	if _, err := os.Stat(h.path("var/lib/offgrid/old")); err == nil {
		s.t.Errorf("what was kept of the old version is still there")
	}
	eventually(s.t, time.Minute, h.converged)
}
