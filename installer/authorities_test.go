package installer_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"offgrid/installer"
	"offgrid/installer/sitetest"
)

// step is the bundles of a step of a change of authorities.
func step(n int) sitetest.Versions {
	v := renewed()
	v.Serial, v.Authority = int64(10+n), n
	return v
}

// The findings of these tests: "authority-unknown", "authority-skipped", "authority-kubelet", "authority-peer".

// said is what one renewal of a role is refused for, "" when it is not.
func said(t *testing.T, s *sitetest.Site, w what) string {
	t.Helper()
	f := refusal(t, s, w)
	if f.ID == "" {
		return ""
	}
	return f.ID + ": " + f.What
}

func TestAChangeOfAuthoritiesGoesHostByHostInThreeSteps(t *testing.T) {
	s := siteUp(t)
	node := what{"node", "20.0.0.104"}
	for n := 1; n <= 3; n++ {
		s.Bring(t, step(n))
		hosts := theWholeTable()
		for _, w := range hosts {
			if n == 3 && w.role == "node" {
				want := "authority-kubelet: kubelet's certificate is signed by kubernetes, which the bundle does not trust any more"
				if got := said(t, s, w); got != want {
					t.Errorf("a kubelet that has not asked again: %q, want %q", got, want)
				}
				s.Bring(t, step(2))
				s.KubeletRenews(t, w.ip)
				s.Bring(t, step(3))
			}
			if o, err := renewOn(t.Context(), s, w); err != nil || !o.Done || !o.Healthy() {
				t.Fatalf("step %d, %s on %s: %v %+v", n, w.role, w.ip, err, o)
			}
		}
	}
	if ca := s.Hosts[node.ip].Get("/opt/kubernetes/ssl/ca.pem"); strings.Count(ca, "BEGIN") != 1 {
		t.Errorf("at the end a node trusts %d authorities", strings.Count(ca, "BEGIN"))
	}
}

func TestAStepTooEarlyOrTooLateIsRefused(t *testing.T) {
	s := siteUp(t)
	etcd := what{"etcd", "20.0.0.104"}
	s.Bring(t, step(2))
	if got := said(t, s, etcd); !strings.HasPrefix(got, "authority-unknown: /opt/etcd/ssl/") || !strings.HasSuffix(got, " is signed by next etcd, which this host does not trust yet") {
		t.Errorf("step 2 without step 1: %q", got)
	}
	s.Bring(t, step(1))
	if _, err := renewOn(t.Context(), s, etcd); err != nil {
		t.Fatal(err)
	}
	s.Bring(t, step(3))
	if got := said(t, s, etcd); !strings.HasPrefix(got, "authority-skipped: /opt/etcd/ssl/") || !strings.HasSuffix(got, " on this host is signed by etcd, which the bundle does not trust any more") {
		t.Errorf("step 3 without step 2: %q", got)
	}
}

func TestAHostIsNotTakenToAStepThatItsPeersDoNotUnderstand(t *testing.T) {
	s := siteUp(t)
	w := what{"etcd", "20.0.0.104"}
	s.Bring(t, step(1))
	if _, err := renewOn(t.Context(), s, w); err != nil {
		t.Fatal(err)
	}
	s.Bring(t, step(2))
	for says, want := range map[string]string{
		"remote error: tls: bad certificate":       "does not accept the bundle's certificates yet",
		"its certificate is of another cluster":    "still has certificates that the bundle does not trust any more",
		"no answer in time":                        "",
		"asking it: the connection was cut (EOF).": "",
	} {
		session := s.Session(w.ip)
		ask := session.Probe
		session.Probe = func(ctx context.Context, p installer.Probe) (installer.Answer, error) {
			if strings.Contains(p.URL, "20.0.0.103:2379") {
				return installer.Answer{}, errors.New(says)
			}
			return ask(ctx, p)
		}
		job, err := session.Prepare(t.Context(), installer.Request{Roles: []string{w.role}, IP: w.ip, Bundle: s.Renewal(w.role)})
		must(t, err)
		got := ""
		for _, f := range job.Findings {
			if f.ID == "authority-peer" {
				got = f.What
			}
		}
		job.Close()
		if want != "" && got != "node01 (20.0.0.103) "+want || want == "" && got != "" {
			t.Errorf("a peer says %q: %q", says, got)
		}
	}
}
