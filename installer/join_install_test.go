package installer_test

import (
	"context"
	"strings"
	"testing"

	"offgrid/installer"
	"offgrid/installer/hosttest"
	"offgrid/installer/sitetest"
)

// newcomer is a host that the cluster file does not list.
const newcomer = "20.0.9.5"

func TestAHostThatIsNotInTheClusterFileJoinsAndWaitsForAnApproval(t *testing.T) {
	s := sitetest.New(t)
	for _, w := range theWholeTable()[:5] {
		if _, err := install(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
	}
	s.Join(t, newcomer, "press07")
	o, err := install(t.Context(), s, what{"node", newcomer})
	const want = "waiting for somebody to approve this node's serving certificate (until then its logs cannot be read): " +
		"on master01 (20.0.0.100), master02 (20.0.0.101) run: /var/lib/offgrid/install approve --ip 20.0.9.5"
	if err != nil || len(o.Waiting) != 1 || o.Waiting[0].Why != want {
		t.Fatalf("%v %+v", err, o)
	}
	h := s.Hosts[newcomer]
	if got := h.Get("/opt/kubernetes/cfg/kubelet"); got != "--hostname-override=20.0.9.5 --node-ip=20.0.9.5\n" {
		t.Errorf("kubelet is started with %q", got)
	}
	if !strings.Contains(h.Get("/etc/hosts"), "20.0.9.5 press07\n") || h.Get("/etc/hostname") != "press07\n" {
		t.Errorf("its own name: %q in\n%s", h.Get("/etc/hostname"), h.Get("/etc/hosts"))
	}
	h.Put(t, "/proc/sys/kernel/hostname", "renamed\n")
	h.Put(t, "/opt/kubernetes/ssl/kubelet-server-current.pem", "a certificate")
	if o, err = s.Session(newcomer).Resume(t.Context()); err != nil || !o.Done {
		t.Errorf("resuming: %v %+v", err, o)
	}
	if h.Get("/proc/sys/kernel/hostname") != "press07\n" {
		t.Errorf("a resume forgets the name that it joined with: %q", h.Get("/proc/sys/kernel/hostname"))
	}
}

func TestATokenOfTheOperatorsStaysWithTheNode(t *testing.T) {
	s := sitetest.New(t)
	s.Join(t, newcomer, "press07")
	session := s.Session(newcomer)
	job, err := session.Prepare(t.Context(), installer.Request{Roles: []string{"node"}, IP: newcomer, Bundle: s.Bundle("node"), Token: "fresh1.0123456789abcdef"})
	if err != nil {
		t.Fatal(err)
	}
	defer job.Close()
	if _, err := session.Install(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	const file = "/opt/kubernetes/cfg/bootstrap.kubeconfig"
	for _, token := range []string{"fresh1.0123456789abcdef", "other2.0123456789abcdef"} {
		if token != "fresh1.0123456789abcdef" {
			if err := session.GiveToken(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := session.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.Hosts[newcomer].Get(file); !strings.Contains(got, token) {
			t.Errorf("the node joins with\n%s\nwant the token %s", got, token)
		}
	}
	if _, err := install(t.Context(), s, what{"node", newcomer}); err != nil {
		t.Fatal(err)
	}
	if got := s.Hosts[newcomer].Get(file); !strings.Contains(got, "other2.0123456789abcdef") {
		t.Errorf("an install without a token forgets the last one:\n%s", got)
	}
}

func TestAHostWhoseNameOrAddressIsTakenCannotJoin(t *testing.T) {
	for name, c := range map[string]struct{ name, id string }{
		"no name":         {"localhost.localdomain", "join-name"},
		"a planned name":  {"node01", "join-name"},
		"capital letters": {"Press07", "join-name"},
		"a good name":     {"press07.plant", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := sitetest.New(t)
			s.Join(t, newcomer, c.name)
			job, err := s.Session(newcomer).Prepare(t.Context(), installer.Request{Roles: []string{"node"}, IP: newcomer, Bundle: s.Bundle("node")})
			if err != nil {
				t.Fatal(err)
			}
			defer job.Close()
			var got []string
			for _, f := range job.Findings {
				if f.Severity == installer.Refuse {
					got = append(got, f.ID)
				}
			}
			if strings.Join(got, " ") != c.id {
				t.Errorf("found %q, want %q", got, c.id)
			}
		})
	}
}

// TestAKillOfANodeThatJoinsEndsTheSame is the crash test of a role for a host that the cluster file does not list.
func TestAKillOfANodeThatJoinsEndsTheSame(t *testing.T) {
	s := sitetest.New(t)
	for _, w := range theWholeTable()[:4] {
		if _, err := install(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
	}
	crashes := hosttest.CrashTest{
		State: installer.StateDir,
		Kept:  []string{"/.autorelabel", "/opt/kubernetes/ssl/kubelet-client-current.pem"},
		New: func(t testing.TB) *hosttest.Host {
			s.Join(t, newcomer, "press07")
			return s.Hosts[newcomer]
		},
		Use: func(h *hosttest.Host) { s.Hosts[newcomer] = h },
		Apply: func(h *hosttest.Host) error {
			if h.Get("/var/lib/offgrid/roles/node/want.json") != "" && h.Get("/opt/kubernetes/bin/kubelet") != "" {
				_, err := s.Session(newcomer).Resume(context.Background())
				return err
			}
			_, err := install(context.Background(), s, what{"node", newcomer})
			return err
		},
		Undo: func(h *hosttest.Host) error {
			if _, err := h.Lstat(installer.StateDir); err != nil {
				return nil // it came to its end and only its last word was lost
			}
			_, err := s.Session(newcomer).Uninstall(context.Background(), installer.UninstallRequest{})
			return err
		},
	}.Run(t)
	t.Logf("%d crashes", crashes)
}
