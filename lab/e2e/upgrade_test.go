//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// masterUnits and nodeUnits are those whose programs are Kubernetes'.
var (
	masterUnits = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"}
	nodeUnits   = []string{"kubelet", "kube-proxy"}
)

// TestASiteIsUpgradedHostByHostWhileItsPodsAnswer is installer/UPGRADE.md from its first line to its last.
func TestASiteIsUpgradedHostByHostWhileItsPodsAnswer(t *testing.T) {
	if !*full {
		t.Skip("only with -full: two builds of a site, seven hosts")
	}
	older, newer := editions(t)
	s := older.six(t)
	for _, role := range []string{"etcd", "master", "lb", "node"} {
		s.install(role)
	}
	joined := s.joins()
	s.works()
	for _, h := range append(s.all(), joined) {
		eventually(t, 3*time.Minute, h.converged)
	}
	s.master01.runsAs(oldKube, masterUnits...)
	s.master01.deploys()

	t.Run("a node before the masters is refused, and nothing changes", func(t *testing.T) { s.nodeFirst(t, newer) })
	if !t.Run("in the right order every host comes to the new version", func(t *testing.T) { s.upgraded(t, newer, joined) }) {
		return
	}
	t.Run("the old bundle is refused then", func(t *testing.T) {
		s := s.in(t)
		s.master02.gets(older, "master")
		r := finish(t, s.master02.installing("master"), time.Minute)
		if r.code != 2 || !strings.Contains(flat(r.out), "the bundle is older than the one that is installed") {
			t.Errorf("exit code %d, want 2 and a word on the older bundle:\n%s", r.code, r.out)
		}
		s.master02.runsAs(newKube, masterUnits...)
	})
	t.Run("all is well after it", func(t *testing.T) { s.in(t).master01.check() })
}

// nodeFirst tries the order that Kubernetes does not support.
func (s *site) nodeFirst(t *testing.T, newer *rig) {
	s = s.in(t)
	s.node01.gets(newer, "node")
	before, lines := strip(s.node01.snapshot()), len(s.node01.journal())
	for _, argv := range [][]string{{"./install", "plan"}, {"./install", "--yes"}} {
		r := s.node01.try(append(argv, "--role", "node", "--ip", s.node01.ip)...)
		for _, words := range []string{"kubelet and kube-proxy would be " + newKube + ", and an API server is older", "first on master01: ./install --role master --ip 20.0.0.100"} {
			if r.code != 5 || !strings.Contains(flat(r.out), words) {
				t.Errorf("%q ended with %d, want 5 and %q:\n%s", argv, r.code, words, r.out)
			}
		}
	}
	same(t, "a node that was refused", before, strip(s.node01.snapshot()))
	if n := len(s.node01.journal()); n != lines {
		t.Errorf("the journal has %d records, had %d", n, lines)
	}
	s.node01.runsAs(oldKube, nodeUnits...)
	if got, want := s.master01.kubelet(s.node01), oldKube+" "+oldKube+" cordoned:"; got != want {
		t.Errorf("node01 is %q, want %q", got, want)
	}
}

// upgraded goes from host to host. Somebody asks for the website and for the API all the time.
func (s *site) upgraded(t *testing.T, newer *rig, joined *host) {
	s = s.in(t)
	watches := []*watch{
		s.master02.watches("api", "ok", "https://"+vip+":6443/readyz"),
		s.master02.watches("service", "here", "https://"+vip+":6443/api/v1/namespaces/default/services/website:80/proxy/"),
		s.master02.watches("node01", "here", "http://"+s.node01.ip+":30080/"),
		s.master02.watches("node02", "here", "http://"+s.node02.ip+":30080/"),
	}
	start := time.Now()
	for _, step := range []struct {
		role string
		h    *host
	}{
		{"etcd", s.master01}, {"etcd", s.node01}, {"etcd", s.node02}, {"master", s.master01}, {"master", s.master02}, {"lb", s.lb01}, {"lb", s.lb02},
		{"node", s.node01}, {"node", s.node02}, {"node", joined},
	} {
		h := *step.h
		h.t = t
		began := time.Now()
		if step.role == "node" && h.name == s.node02.name { // one of them from a delta
			h.upgradeWith(step.role, func() { h.getsDelta(newer, step.role) })
		} else {
			h.upgrade(newer, step.role)
		}
		text := ""
		for _, w := range watches {
			gap, _ := w.gap(t, began)
			text += " " + w.name + " " + gap.Round(100*time.Millisecond).String()
		}
		t.Logf("%s of %s: %.1f s; the longest without an answer:%s", step.role, h.name, time.Since(began).Seconds(), text)
		if step.role == "node" {
			s.nodeCameBack(t, &h)
		}
	}
	t.Logf("ten upgrades: %.0f s", time.Since(start).Seconds())
	s.works()
	for _, h := range []*host{s.master01, s.master02} {
		h.runsAs(newKube, masterUnits...)
		if out := h.must("kubectl", "version", "--short"); !strings.Contains(out, "Client Version: "+newKube) || !strings.Contains(out, "Server Version: "+newKube) {
			t.Errorf("%s# kubectl version:\n%s", h.name, out)
		}
	}
	// What asks an API server waits while that one starts and another question is answered by the other.
	limits := map[string]time.Duration{"api": 15 * time.Second, "service": 15 * time.Second, "node01": 5 * time.Second, "node02": 5 * time.Second}
	for _, w := range watches {
		gap, asked := w.gap(t, start)
		if limit := limits[w.name]; gap > limit || asked < 60 {
			t.Errorf("%s did not answer for %s (asked %d times), want at most %s", w.name, gap, asked, limit)
		}
	}
}

// upgrade is what an operator types on a host of an upgrade, and what `install status` says before and after it.
func (h *host) upgrade(newer *rig, role string) {
	h.t.Helper()
	h.upgradeWith(role, func() { h.gets(newer, role) })
}

// upgradeWith is upgrade with what brings the stick.
func (h *host) upgradeWith(role string, bring func()) {
	h.t.Helper()
	want := map[string][2]string{ // a program whose version the host shows
		"etcd": {"etcd v3.4.23", "etcd v3.4.23"}, "master": {"kube-apiserver " + oldKube, "kube-apiserver " + newKube}, "node": {"kubelet " + oldKube, "kubelet " + newKube},
	}[role]
	before := h.status(role)
	if !strings.Contains(strings.Join(before.Versions, ","), want[0]) || !before.Installed {
		h.t.Errorf("%s: status of %s before: %+v, want %s", h.name, role, before, want[0])
	}
	bring()
	start := time.Now()
	out := h.install(role)
	h.t.Logf("%s# ./install --role %s took %.1f s", h.name, role, time.Since(start).Seconds())
	if !strings.Contains(out, "Done.") || !strings.Contains(flat(out), " is healthy; what was kept of ") {
		h.t.Errorf("%s: the upgrade of %s does not end as one:\n%s", h.name, role, out)
	}
	after := h.status(role)
	if !strings.Contains(strings.Join(after.Versions, ","), want[1]) || !after.Installed || after.Serial <= before.Serial || after.Upgrade != "" {
		h.t.Errorf("%s: status of %s after: %+v, want %s and a serial above %d", h.name, role, after, want[1], before.Serial)
	}
	if _, err := os.Stat(h.path("var/lib/offgrid/old")); err == nil {
		h.t.Errorf("%s: what was kept of the old version is still there", h.name)
	}
	if missing := h.converged(); missing != "" {
		h.t.Errorf("after the upgrade %s", missing)
	}
	h.must("rm", role+".bundle")
}

// A roleStatus is as much of `install status --json` as these tests read.
type roleStatus struct {
	Role      string   `json:"role"`
	Versions  []string `json:"versions"`
	Installed bool     `json:"installed"`
	Next      string   `json:"next"`
	Serial    int64    `json:"serial"`
	Upgrade   string   `json:"upgrade"`
}

// status is what the host says of one of its roles.
func (h *host) status(role string) roleStatus {
	h.t.Helper()
	out := h.must(offgrid, "status", "--json")
	var all []roleStatus
	if err := json.Unmarshal([]byte(out[max(0, strings.Index(out, "[")):]), &all); err != nil {
		h.t.Fatalf("%s# install status --json: %v\n%s", h.name, err, out)
	}
	for _, r := range all {
		if r.Role == role {
			return r
		}
	}
	h.t.Fatalf("%s# install status does not name %s:\n%s", h.name, role, out)
	return roleStatus{}
}

// nodeCameBack looks at a node after its upgrade: its version, that it was drained, that pods may come again.
func (s *site) nodeCameBack(t *testing.T, h *host) {
	t.Helper()
	h.runsAs(newKube, nodeUnits...)
	eventually(t, time.Minute, func() string { return s.master01.ready(h) })
	if got, want := s.master01.kubelet(h), newKube+" "+newKube+" cordoned:"; got != want {
		t.Errorf("%s is %q, want %q", h.name, got, want)
	}
	eventually(t, 30*time.Second, func() string { // kubelet tells it with its next status
		events := " " + s.master01.must("kubectl", "get", "events", "--field-selector", "involvedObject.name="+h.ip, "-o", "jsonpath={.items[*].reason}") + " "
		if !strings.Contains(events, " NodeNotSchedulable ") || !strings.Contains(events, " NodeSchedulable ") {
			return h.name + " was not cordoned and uncordoned; its events: " + events
		}
		return ""
	})
	eventually(t, time.Minute, s.master01.deployed)
}
