package installer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"offgrid/installer"
	"offgrid/installer/hosttest"
	"offgrid/installer/sitetest"
)

// partOn is ./install with a bundle that is not whole.
func partOn(ctx context.Context, s *sitetest.Site, w what, path string) (installer.Outcome, error) {
	session := s.Session(w.ip)
	job, err := session.Prepare(ctx, installer.Request{Roles: []string{w.role}, IP: w.ip, Bundle: path})
	if err != nil {
		return installer.Outcome{}, err
	}
	defer job.Close()
	if _, refused := installer.Refused(job.Findings); refused {
		return installer.Outcome{}, fmt.Errorf("refused: %+v", job.Findings)
	}
	if faults := job.VerifyBundles(ctx, nil); len(faults) > 0 {
		return installer.Outcome{}, faults[0]
	}
	return session.Install(ctx, job)
}

// deltas are the roles' bundles of newer() since those that the hosts were installed from.
func deltas(t *testing.T, s *sitetest.Site) map[string]string {
	t.Helper()
	since := map[string]string{}
	for _, w := range renewals() {
		since[w.role] = s.Bundle(w.role)
	}
	s.Bring(t, newer())
	for role, old := range since {
		since[role] = s.Delta(t, role, old)
	}
	return since
}

func TestADeltaLeavesAHostAsTheWholeBundleDoes(t *testing.T) {
	s := siteUp(t)
	s.SetPods(sitetest.Pod{Name: "web-0", Node: "20.0.0.104", Owner: "ReplicaSet"})
	delta := deltas(t, s)
	for _, w := range []what{{"etcd", "20.0.0.104"}, {"master", "20.0.0.100"}, {"master", "20.0.0.101"}, {"node", "20.0.0.104"}} {
		var whole hosttest.Tree
		aside(t, s, w.ip, func(left *hosttest.Host) {
			if _, err := install(t.Context(), s, w); err != nil {
				t.Fatal(err)
			}
			whole = upgradeTree(t, left)
		})
		h := s.Hosts[w.ip]
		before := upgradeTree(t, h)
		o, err := partOn(t.Context(), s, w, delta[w.role])
		if err != nil || !o.Done || !o.Healthy() || len(o.Upgrades) != 1 || o.Upgrades[0].State != "done" {
			t.Fatalf("%s: %v %+v", w.role, err, o)
		}
		after := upgradeTree(t, h)
		if d := hosttest.Diff(whole, after); d != "" {
			t.Errorf("%s: the whole bundle and the delta differ:\n%s", w.role, d)
		}
		if hosttest.Diff(before, after) == "" {
			t.Errorf("%s: nothing has changed", w.role)
		}
		if v, err := s.Session(w.ip).Verify(t.Context()); err != nil || len(v.Differences) > 0 {
			t.Errorf("%s: verify: %v %+v", w.role, err, v.Differences)
		}
		again, err := partOn(t.Context(), s, w, delta[w.role])
		if err != nil || again.Changed != 0 || len(again.Upgrades) != 0 {
			t.Errorf("%s: once more: %v %+v", w.role, err, again)
		}
	}
	if got := strings.Join(s.Drained(), " "); !strings.Contains(got, "web-0") {
		t.Errorf("drained: %q", got)
	}
}

func TestADeltaOnAHostWithoutItsBaseIsRefusedByName(t *testing.T) {
	s := siteUp(t)
	delta := deltas(t, s)
	w := what{"node", "20.0.0.104"}
	kubelet := "/opt/kubernetes/bin/kubelet"
	refusal := func() installer.Finding {
		t.Helper()
		job, err := s.Session(w.ip).Prepare(t.Context(), installer.Request{Roles: []string{w.role}, IP: w.ip, Bundle: delta[w.role]})
		must(t, err)
		defer job.Close()
		for _, f := range job.Findings {
			if f.Severity == installer.Refuse && (strings.HasPrefix(f.ID, "part-") || f.ID == "delta-memory") {
				return f
			}
		}
		return installer.Finding{}
	}
	if f := refusal(); f.ID != "" {
		t.Errorf("a host with the base: %+v", f)
	}
	for _, c := range []struct {
		name  string
		spoil func(h *hosttest.Host)
		want  string
	}{
		{"a program was replaced", func(h *hosttest.Host) { must(t, h.Remove(kubelet)); h.Put(t, kubelet, "another") },
			"part-base usage: this delta bundle does not fit what is installed: the host lacks /opt/kubernetes/bin/kubelet as v1.20.15 had it (sha256 "},
		{"a program that did not change is gone", func(h *hosttest.Host) { must(t, h.Remove(kubelet)) },
			"part-base usage: this delta bundle does not fit what is installed: the host lacks /opt/kubernetes/bin/kubelet as v1.20.15 had it (sha256 "},
		{"a carried package is gone", func(h *hosttest.Host) { must(t, h.Remove(carriedPackage(t, s, "chrony"))) },
			"part-base usage: this delta bundle does not fit what is installed: the host lacks chrony-1.0-1.el7.x86_64.rpm"},
		{"there is no memory", func(h *hosttest.Host) { h.Put(t, "/proc/meminfo", "MemTotal: 2000000 kB\nMemAvailable: 50000 kB\n") },
			"delta-memory host: 49 MiB of memory are available, 84 MiB are needed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			aside(t, s, w.ip, func(left *hosttest.Host) {
				c.spoil(left)
				before := upgradeTree(t, left)
				f := refusal()
				if got := f.ID + " " + string(f.Class) + ": " + f.What; !strings.HasPrefix(got, c.want) {
					t.Errorf("got\n%s, want\n%s", got, c.want)
				}
				if !strings.Contains(f.Fix, "whole bundle") {
					t.Errorf("fix %q", f.Fix)
				}
				if d := hosttest.Diff(before, upgradeTree(t, left)); d != "" {
					t.Errorf("the host was changed:\n%s", d)
				}
			})
		})
	}
	s.Replace(t, w.ip)
	if f := refusal(); f.ID != "part-first" || f.What != "the role node is not installed on this host, and this is a delta bundle" {
		t.Errorf("a new host: %+v", f)
	}
}

func TestADeltaThatDoesNotWorkIsPutBack(t *testing.T) {
	s := siteUp(t)
	delta := deltas(t, s)
	w := what{"etcd", "20.0.0.104"}
	h := s.Hosts[w.ip]
	old := upgradeTree(t, h)
	s.Break("etcd v3.4.27", true)
	_, err := partOn(t.Context(), s, w, delta[w.role])
	var back *installer.PutBackError
	if !errors.As(err, &back) || back.Back != nil || !strings.Contains(err.Error(), "was put back and works") {
		t.Fatalf("got %v", err)
	}
	if d := hosttest.Diff(old, upgradeTree(t, h)); d != "" {
		t.Errorf("it is not as it was:\n%s", d)
	}
	s.Break("etcd v3.4.27", false)
	if o, err := partOn(t.Context(), s, w, delta[w.role]); err != nil || !o.Done {
		t.Errorf("the same command, when it works: %v %+v", err, o)
	}
}

// TestADeltaThatIsKilledAnywhereEndsNewOrOld kills the upgrade at changes, also between two programs; a resume, without the
// stick, or the same command goes on.
func TestADeltaThatIsKilledAnywhereEndsNewOrOld(t *testing.T) {
	s := siteUp(t)
	delta := deltas(t, s)
	w := what{"etcd", "20.0.0.104"}
	killedAnywhere(t, s, w, func(ctx context.Context) error {
		_, err := partOn(ctx, s, w, delta[w.role])
		return err
	})
}

func TestAHostWithoutTheMemoryThatAPassphraseTakesIsToldSo(t *testing.T) {
	s := siteUp(t)
	s.Replace(t, "20.0.0.103")
	s.Hosts["20.0.0.103"].Put(t, "/proc/meminfo", "MemTotal: 2000000 kB\nMemAvailable: 40000 kB\n")
	job, err := s.Session("20.0.0.103").Prepare(t.Context(), installer.Request{Roles: []string{"node"}, IP: "20.0.0.103", Bundle: s.Bundle("node")})
	must(t, err)
	defer job.Close()
	for _, f := range job.Findings {
		if f.ID == "memory-passphrase" && f.Severity == installer.Refuse {
			return
		}
	}
	t.Errorf("findings %+v", job.Findings)
}
