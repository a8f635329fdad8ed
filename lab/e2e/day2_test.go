//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// offgrid is the installer where it was carried to.
const offgrid = "/var/lib/offgrid/install"

// TestTheDaysAfter is what an operator does with a cluster that stands: a host joins, a member is exchanged, yesterday comes back.
func TestTheDaysAfter(t *testing.T) {
	s := sixHosts(t)
	// balancers first, and the others in another order than in the other test
	for _, role := range []string{"lb", "etcd", "node", "master"} {
		s.install(role)
	}
	s.works()
	for _, h := range s.all() {
		eventually(t, 3*time.Minute, h.converged)
	}
	t.Run("a host joins that the cluster file does not list", s.hostJoins)
	t.Run("a member of etcd whose host burnt is replaced", s.memberIsReplaced)
	t.Run("a restored snapshot has yesterday's objects", s.yesterdayComesBack)
	t.Run("all is well after it", func(t *testing.T) { s.in(t).master01.check() })
}

func (s *site) hostJoins(t *testing.T) {
	s = s.in(t)
	h := s.joins()
	s.master01.check()
	s.master01.must("kubectl", "delete", "node", h.ip)
}

// joins installs a node that is in no cluster file, and approves it.
func (s *site) joins() *host {
	s.t.Helper()
	h := s.rig.hosts(s.t, "node03")[0]
	h.bring("node")
	h.must("hostnamectl", "set-hostname", "press07")
	token := firstWord(s.master01.must(offgrid, "token", "--ttl", "1h"))
	h.must("sh", "-c", "umask 077; echo "+token+" >token")
	h.must("./install", "--yes", "--role", "node", "--ip", h.ip, "--token-file", "token")
	s.approved(h)
	return h
}

// approved waits until a node that joins is approved and serves.
func (s *site) approved(h *host) {
	s.t.Helper()
	eventually(s.t, 2*time.Minute, func() string {
		if r := s.master01.try(offgrid, "approve", "--ip", h.ip); r.code != 0 {
			return r.out
		}
		return ""
	})
	s.serves(h)
}

// serves waits until a node is Ready and its serving certificate is there.
func (s *site) serves(h *host) {
	s.t.Helper()
	eventually(s.t, 3*time.Minute, func() string { return s.master01.ready(h) })
	// its serving certificate is right when the API server reads logs from it
	eventually(s.t, 2*time.Minute, func() string {
		pod := firstWord(s.master01.kubectl("get", "pods", "-n", "kube-system", "-l", "app=flannel", "--field-selector", "spec.nodeName="+h.ip, "-o", "name").out)
		if r := s.master01.kubectl("logs", "-n", "kube-system", pod, "--tail=1"); r.code != 0 {
			return "no logs from the joined node: " + r.out
		}
		return ""
	})
}

func (s *site) memberIsReplaced(t *testing.T) {
	s = s.in(t)
	s.node02.lab("--remove")
	s.node02.lab("--new", s.node02.ip)
	s.node02.bring("etcd", "node")
	s.node01.must(offgrid, "etcd", "replace", "etcd03", "--yes")
	start := time.Now()
	s.node02.install("etcd")
	eventually(t, 2*time.Minute, s.node01.oneLeader)
	t.Logf("three members again %.1f s after the new host's installation began", time.Since(start).Seconds())
	s.node02.install("node")
	s.works()
}

// yesterdayComesBack restores as installer/RECOVERY.md says.
func (s *site) yesterdayComesBack(t *testing.T) {
	s = s.in(t)
	masters, members := []*host{s.master01, s.master02}, []*host{s.master01, s.node01, s.node02}
	s.master01.must("kubectl", "create", "configmap", "yesterday", "--from-literal=kept=yes")
	s.master01.must("kubectl", "create", "secret", "generic", "yesterday", "--from-literal=kept=yes")
	s.master01.must(offgrid, "etcd", "snapshot", "/root/yesterday.db")
	s.master01.must("kubectl", "delete", "configmap,secret", "yesterday")
	s.master01.must("kubectl", "create", "configmap", "today")

	early := s.master01.try(offgrid, "etcd", "restore", "/root/yesterday.db", "--yes")
	if early.code == 0 {
		t.Fatalf("a restore on a living cluster was not refused:\n%s", early.out)
	}
	start := time.Now()
	together(t, masters, func(h *host) {
		h.must("systemctl", "stop", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
	})
	together(t, members, func(h *host) { h.must("systemctl", "stop", "etcd") })
	for _, h := range members[1:] {
		h.lab("--put", s.master01.path("root/yesterday.db"), s.master01.path("root/yesterday.db.json"), "/root")
	}
	for _, h := range members {
		h.must(offgrid, "etcd", "restore", "/root/yesterday.db", "--yes")
	}
	together(t, masters, func(h *host) {
		h.must("systemctl", "start", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
	})
	together(t, []*host{s.node01, s.node02}, func(h *host) { h.must("systemctl", "restart", "kubelet", "kube-proxy") })
	s.works()
	t.Logf("restored %.1f s after the first API server was stopped", time.Since(start).Seconds())

	for _, kind := range []string{"configmap", "secret"} {
		if out := s.master02.must("kubectl", "get", kind, "yesterday", "-o", "jsonpath={.data.kept}"); out != "yes" && out != "eWVz" {
			t.Errorf("yesterday's %s says %q", kind, out)
		}
	}
	if r := s.master02.kubectl("get", "configmap", "today"); r.code == 0 {
		t.Errorf("today's object is there after a restore of yesterday:\n%s", r.out)
	}
	for _, h := range members {
		if old, err := filepath.Glob(h.path("var/lib/etcd/default.etcd.before-restore-*")); err != nil || len(old) != 1 {
			t.Errorf("%s keeps %q of the data from before, want one directory", h.name, old)
		}
	}
}

func firstWord(out string) string {
	if f := strings.Fields(out); len(f) > 0 {
		return f[0]
	}
	return ""
}
