package installer_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"offgrid/bundle"
	"offgrid/installer"
	"offgrid/installer/hosttest"
	"offgrid/installer/sitetest"
)

// renewOn is ./install with the renewal bundle of a role.
func renewOn(ctx context.Context, s *sitetest.Site, w what) (installer.Outcome, error) {
	return partOn(ctx, s, w, s.Renewal(w.role))
}

// renewals are what the lists of the tests below are about.
func renewals() []what {
	return []what{{"etcd", "20.0.0.104"}, {"master", "20.0.0.101"}, {"node", "20.0.0.104"}}
}

// aside calls try on a copy of a host, and leaves host and site as they were.
func aside(t *testing.T, s *sitetest.Site, ip string, try func(*hosttest.Host)) {
	t.Helper()
	back, h, tried := s.Aside(), s.Hosts[ip], false
	h.Kills(t, journalAndLock(), func() {
		if _, err := h.Run(t.Context(), nil, "systemctl", "daemon-reload"); err != nil { // changes nothing: its copy is a host to try on
			t.Fatal(err)
		}
	}, func(left *hosttest.Host, _ int, after bool) {
		if after || tried {
			return
		}
		tried = true
		s.Hosts[ip] = left
		try(left)
		s.Hosts[ip] = h
		back()
	})
}

func TestARenewalLeavesAHostAsTheWholeBundleDoes(t *testing.T) {
	s := siteUp(t)
	s.SetPods(sitetest.Pod{Name: "web-0", Node: "20.0.0.104", Owner: "ReplicaSet"})
	s.Bring(t, renewed())
	for _, w := range renewals() {
		var whole hosttest.Tree
		aside(t, s, w.ip, func(left *hosttest.Host) {
			if _, err := install(t.Context(), s, w); err != nil {
				t.Fatal(err)
			}
			whole = upgradeTree(t, left)
		})
		h := s.Hosts[w.ip]
		before := upgradeTree(t, h)
		h.Ran = nil
		o, err := renewOn(t.Context(), s, w)
		if err != nil || !o.Done || !o.Healthy() || len(o.Upgrades) != 1 || o.Upgrades[0].State != "done" {
			t.Fatalf("%s: %v %+v", w.role, err, o)
		}
		after := upgradeTree(t, h)
		if d := hosttest.Diff(whole, after); d != "" {
			t.Errorf("%s: the whole bundle and the renewal differ:\n%s", w.role, d)
		}
		if hosttest.Diff(before, after) == "" {
			t.Errorf("%s: nothing has changed", w.role)
		}
		if ran := strings.Join(h.Ran, "\n"); strings.Contains(ran, "rpm -U") || strings.Contains(ran, "docker load") {
			t.Errorf("%s: ran\n%s", w.role, ran)
		}
		if v, err := s.Session(w.ip).Verify(t.Context()); err != nil || len(v.Differences) > 0 {
			t.Errorf("%s: verify: %v %+v", w.role, err, v.Differences)
		}
		if r := prepared(t, s, w).Roles[0].Plan.Upgrade; r != nil {
			t.Errorf("%s: the whole bundle would upgrade: %s", w.role, r.Title)
		}
	}
	if got := s.Drained(); len(got) != 0 {
		t.Errorf("drained: %q", got)
	}
}

func TestOnlyTheServicesWhoseCertificatesChangedStartAnew(t *testing.T) {
	s := siteUp(t)
	s.Bring(t, renewed())
	h := s.Hosts["20.0.0.104"]
	h.Ran = nil
	if _, err := renewOn(t.Context(), s, what{"etcd", "20.0.0.104"}); err != nil {
		t.Fatal(err)
	}
	var restarts []string
	for _, line := range h.Ran {
		if strings.Contains(line, "restart") {
			restarts = append(restarts, line)
		}
	}
	if got := strings.Join(restarts, "; "); got != "systemctl restart --no-block etcd.service" {
		t.Errorf("ran %q", got)
	}
}

// refusal is the one finding that refuses a job with the renewal bundle.
func refusal(t *testing.T, s *sitetest.Site, w what) installer.Finding {
	t.Helper()
	job, err := s.Session(w.ip).Prepare(t.Context(), installer.Request{Roles: []string{w.role}, IP: w.ip, Bundle: s.Renewal(w.role)})
	if err != nil {
		t.Fatal(err)
	}
	defer job.Close()
	for _, f := range job.Findings {
		if f.Severity == installer.Refuse {
			return f
		}
	}
	return installer.Finding{}
}

func TestARenewalOnAHostWithoutItsBaseIsRefusedByName(t *testing.T) {
	s := siteUp(t)
	s.Bring(t, renewed())
	w := what{"node", "20.0.0.104"}
	kubelet := "/opt/kubernetes/bin/kubelet"
	for _, c := range []struct {
		name  string
		spoil func(h *hosttest.Host)
		want  string
	}{
		{"a program was replaced", func(h *hosttest.Host) { must(t, h.Remove(kubelet)); h.Put(t, kubelet, "another") },
			"part-base usage: this renewal bundle does not fit what is installed: the host lacks /opt/kubernetes/bin/kubelet as it was built (file/opt/kubernetes/bin/kubelet v1.20.15)"},
		{"a program is gone", func(h *hosttest.Host) { must(t, h.Remove(kubelet)) },
			"part-base usage: this renewal bundle does not fit what is installed: the host lacks /opt/kubernetes/bin/kubelet"},
		{"a carried package is gone", func(h *hosttest.Host) { must(t, h.Remove(carriedPackage(t, s, "chrony"))) },
			"part-base usage: this renewal bundle does not fit what is installed: the host lacks chrony-1.0-1.el7.x86_64.rpm"},
	} {
		t.Run(c.name, func(t *testing.T) {
			aside(t, s, w.ip, func(left *hosttest.Host) {
				c.spoil(left)
				f := refusal(t, s, w)
				if got := f.ID + " " + string(f.Class) + ": " + f.What; got != c.want {
					t.Errorf("got\n%s, want\n%s", got, c.want)
				}
				if want := "./install --role node --ip 20.0.0.104   (from the medium with the whole bundle, which `bundle build` makes)"; f.Fix != want {
					t.Errorf("fix %q", f.Fix)
				}
				if _, err := install(t.Context(), s, w); err != nil {
					t.Errorf("the whole bundle: %v", err)
				}
			})
		})
	}
	// Another version's renewal, and a host that was never installed.
	s.Bring(t, newer())
	if f := refusal(t, s, what{"master", "20.0.0.100"}); f.ID != "part-base" || !strings.Contains(f.What, "kube-controller-manager as it was built (file/opt/kubernetes/bin/kube-controller-manager v1.20.16)") {
		t.Errorf("another version: %+v", f)
	}
	s.Replace(t, "20.0.0.104")
	if f := refusal(t, s, what{"etcd", "20.0.0.104"}); f.ID != "part-first" || f.What != "the role etcd is not installed on this host, and this is a renewal bundle" {
		t.Errorf("a new host: %+v", f)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// carriedPackage is where a package of the node's bundle is carried.
func carriedPackage(t *testing.T, s *sitetest.Site, name string) string {
	t.Helper()
	b, err := bundle.Open(s.Bundle("node"))
	must(t, err)
	defer b.Close()
	for _, a := range b.Role.Artifacts {
		if a.Kind == bundle.KindPackage && strings.HasPrefix(a.Name, name+"-") {
			return filepath.Join(installer.RoleDir("node"), bundle.StoredBlob{Digest: a.Blob.Stored}.Path())
		}
	}
	t.Fatalf("no package %s", name)
	return ""
}

func TestARenewalThatDoesNotWorkIsPutBack(t *testing.T) {
	s := siteUp(t)
	s.Bring(t, renewed())
	w := what{"etcd", "20.0.0.104"}
	h := s.Hosts[w.ip]
	old := upgradeTree(t, h)
	pem := h.Get("/opt/etcd/ssl/server.pem")
	session := s.Session(w.ip)
	session.Probe = func(ctx context.Context, p installer.Probe) (installer.Answer, error) {
		if strings.Contains(p.URL, w.ip) && h.Get("/opt/etcd/ssl/server.pem") != pem {
			return installer.Answer{}, errors.New("remote error: tls: bad certificate")
		}
		return s.Probe(ctx, p)
	}
	job, err := session.Prepare(t.Context(), installer.Request{Roles: []string{w.role}, IP: w.ip, Bundle: s.Renewal(w.role)})
	must(t, err)
	defer job.Close()
	_, err = session.Install(t.Context(), job)
	var back *installer.PutBackError
	if !errors.As(err, &back) || back.Back != nil || !strings.Contains(err.Error(), "was put back and works") {
		t.Fatalf("got %v", err)
	}
	if d := hosttest.Diff(old, upgradeTree(t, h)); d != "" {
		t.Errorf("it is not as it was:\n%s", d)
	}
}

// TestARenewalThatIsKilledAnywhereEndsNewOrOld kills a renewal at changes; a resume, without the stick, or the same command
// goes on.
func TestARenewalThatIsKilledAnywhereEndsNewOrOld(t *testing.T) {
	for _, w := range renewals() {
		t.Run(w.role, func(t *testing.T) {
			t.Parallel()
			s := siteUp(t)
			s.Bring(t, renewed())
			killedAnywhere(t, s, w, func(ctx context.Context) error {
				_, err := renewOn(ctx, s, w)
				return err
			})
		})
	}
}

// killedAnywhere kills a change of version at changes of its own; afterwards a resume, without the stick, or the same command goes on.
func killedAnywhere(t *testing.T, s *sitetest.Site, w what, change func(context.Context) error) {
	t.Helper()
	e := ends{old: upgradeTree(t, s.Hosts[w.ip])}
	aside(t, s, w.ip, func(left *hosttest.Host) {
		if err := change(t.Context()); err != nil {
			t.Fatal(err)
		}
		e.now = upgradeTree(t, left)
	})
	killedInTheCase(t, s, upgradeCase{run: w}, e, change)
}

// killedInTheCase is killedAnywhere where the two ends are known.
func killedInTheCase(t *testing.T, s *sitetest.Site, c upgradeCase, e ends, change func(context.Context) error) {
	t.Helper()
	h, count := s.Hosts[c.run.ip], map[string]int{}
	h.Kills(t, journalAndLock(), func() {
		if err := change(context.Background()); err != nil {
			t.Fatal(err)
		}
	}, func(left *hosttest.Host, n int, after bool) {
		if !hosttest.Tried(n, after) {
			return
		}
		at := fmt.Sprintf("killed at change %d, after it: %v", n, after)
		back := s.Aside()
		s.Hosts[c.run.ip] = left
		defer func() { s.Hosts[c.run.ip] = h; back() }()
		again := n/2%2 == 0
		if again {
			if err := change(context.Background()); err != nil {
				t.Errorf("%s: the same command: %v", at, err)
			}
		}
		count[endsOne(t, s, c, e, at, again)]++
	})
	t.Logf("kills: %v", count)
	if count["new"] == 0 || count["old"] == 0 {
		t.Error("one of the ends was never seen")
	}
}
