//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// holders are the balancers that have the virtual address.
func (s *site) holders() []*host {
	var all []*host
	for _, h := range []*host{s.lb01, s.lb02} {
		if out := h.try("ip", "-4", "-o", "addr", "show", "to", vip+"/32"); out.code == 0 && strings.Contains(out.out, vip) {
			all = append(all, h)
		}
	}
	return all
}

func (s *site) oneHolder() string {
	if n := len(s.holders()); n != 1 {
		return fmt.Sprintf("%d balancers hold %s, want 1", n, vip)
	}
	return ""
}

// behind is kubectl on a master, through the virtual address: who answers there is the balancers' choice.
func (h *host) behind(args ...string) result {
	h.t.Helper()
	return h.kubectl(append([]string{"--server=https://" + vip + ":6443"}, args...)...)
}

// outage asks through the virtual address until it has answered many times in a row, and says how long it took to the first of
// them and how long the slowest was.
func outage(t *testing.T, h *host, since time.Time) (first, slowest time.Duration) {
	t.Helper()
	const wanted = 10
	answers := 0
	for answers < wanted {
		began := time.Now()
		r := h.behind("--request-timeout=10s", "get", "nodes", "--no-headers")
		took := time.Since(began)
		if r.code != 0 {
			answers, slowest = 0, 0
			if time.Since(since) > time.Minute {
				t.Fatalf("after a minute, kubectl through %s ends with %d:\n%s", vip, r.code, r.out)
			}
			continue
		}
		if answers == 0 {
			first = time.Since(since)
		}
		answers++
		slowest = max(slowest, took)
	}
	return first, slowest
}

func (s *site) balancerDies(t *testing.T) {
	s = s.in(t)
	active := s.holders()[0]
	standby := s.lb01
	if active == s.lb01 {
		standby = s.lb02
	}
	start := time.Now()
	active.lab("--kill")
	eventually(t, 20*time.Second, func() string {
		if slices.Contains(s.holders(), standby) {
			return ""
		}
		return standby.name + " does not have " + vip
	})
	moved := time.Since(start)
	first, slowest := outage(t, s.master01, start)
	t.Logf("%s died; %s had %s after %.1f s; kubectl was answered %.1f s after the death, and then within %.1f s", active.name, standby.name, vip, moved.Seconds(), first.Seconds(), slowest.Seconds())
	if first > 10*time.Second {
		t.Errorf("kubectl was without an answer for %s, want at most 10 s", first)
	}
	active.lab("--start")
	eventually(t, time.Minute, s.oneHolder)
	t.Run("and one whose nginx ends", func(t *testing.T) {
		s := s.in(t)
		active := s.holders()[0]
		start := time.Now()
		active.must("systemctl", "stop", "nginx")
		first, _ := outage(t, s.master01, start)
		t.Logf("nginx of %s was stopped; kubectl was answered %.1f s later", active.name, first.Seconds())
		active.must("systemctl", "start", "nginx")
		eventually(t, time.Minute, s.oneHolder)
	})
}

func (s *site) masterDies(t *testing.T) {
	s = s.in(t)
	start := time.Now()
	s.master01.lab("--kill")
	first, slowest := outage(t, s.master02, start)
	t.Logf("master01, a member of etcd too, died; kubectl was answered after %.1f s, the slowest of the next ten answers took %.1f s", first.Seconds(), slowest.Seconds())
	if first > 15*time.Second || slowest > 5*time.Second {
		t.Errorf("kubectl was without an answer for %s and then waited up to %s, want at most 15 s and 5 s", first, slowest)
	}
	// the controllers move to the other master: what is asked of them happens
	s.master02.must("kubectl", "create", "deployment", "after-the-loss", "--image=docker.io/library/busybox:1.28.4", "--", "sleep", "3600")
	eventually(t, time.Minute, func() string {
		if out := s.master02.kubectl("get", "pods", "-l", "app=after-the-loss", "--no-headers").out; !strings.Contains(out, " Running ") {
			return "no pod runs that was asked for after the loss of a master:\n" + out
		}
		return ""
	})
	t.Logf("a new deployment ran %.1f s after the death", time.Since(start).Seconds())
	s.master02.must("kubectl", "delete", "deployment", "after-the-loss", "--wait=false")
	s.master01.lab("--start")
	s.works()
}

func (s *site) memberDies(t *testing.T) {
	s = s.in(t)
	start := time.Now()
	s.node02.lab("--kill")
	first, slowest := outage(t, s.master01, start)
	t.Logf("node02, a member of etcd, died; kubectl was answered after %.1f s, the slowest of the next ten answers took %.1f s", first.Seconds(), slowest.Seconds())
	s.master01.must("kubectl", "create", "configmap", "written-with-two-members")
	s.node02.lab("--start")
	s.works()
	s.master02.must("kubectl", "delete", "configmap", "written-with-two-members")
}

func (s *site) powerFails(t *testing.T) {
	s = s.in(t)
	s.master01.must("kubectl", "create", "configmap", "before-the-night", "--from-literal=kept=yes")
	for _, h := range s.all() {
		h.lab("--cut")
	}
	start := time.Now()
	together(t, s.all(), func(h *host) { h.lab("--start") })
	s.works()
	t.Logf("the cluster was whole %.1f s after the power came back", time.Since(start).Seconds())
	if out := s.master02.must("kubectl", "get", "configmap", "before-the-night", "-o", "jsonpath={.data.kept}"); out != "yes" {
		t.Errorf("what was written before the power failed is %q, want yes", out)
	}
	for _, h := range s.all() {
		if out := h.must("systemctl", "list-units", "--state=failed", "--no-legend", "--plain"); strings.TrimSpace(out) != "" {
			t.Errorf("%s: units that failed after the power came back:\n%s", h.name, out)
		}
	}
	s.master01.check()
}

func (s *site) imageComesBack(t *testing.T) {
	s = s.in(t)
	const image = "docker.io/library/busybox:1.28.4"
	h := s.node02
	h.must("docker", "image", "inspect", image)
	h.must("docker", "rmi", "-f", image)
	if h.try("docker", "image", "inspect", image).code == 0 {
		t.Fatal("docker rmi removed nothing")
	}
	h.must("systemctl", "is-enabled", "offgrid-images.timer")
	h.must("systemctl", "start", "offgrid-images.service")
	h.must("docker", "image", "inspect", image)
}

// nodeLeaves is the end of node01: the workload goes to the other, and nothing of it stays.
func (s *site) nodeLeaves(t *testing.T, before snapshot) {
	s = s.in(t)
	s.node01.must("./install", "uninstall", "--yes", "--purge-data")
	s.node01.lab("--reboot")
	putBack(t, before, s.node01.snapshot())
	s.master01.must("kubectl", "delete", "node", s.node01.ip)
	eventually(t, 2*time.Minute, func() string { return s.master01.ready(s.node02) })
	// the second pod of CoreDNS waits for a second node; names are answered all the same
	eventually(t, 2*time.Minute, func() string {
		out := s.master01.kubectl("get", "pods", "-A", "-o", "wide", "--no-headers").out
		if strings.Contains(out, " "+s.node01.ip+" ") {
			return "there are pods of a node that has left:\n" + out
		}
		return ""
	})
	eventually(t, time.Minute, func() string {
		if out := s.master01.kubectl("get", "deployment", "-n", "kube-system", "coredns", "-o", "jsonpath={.status.readyReplicas}").out; out != "1" {
			return fmt.Sprintf("%q pods of CoreDNS are ready, want 1", out)
		}
		return ""
	})
}
