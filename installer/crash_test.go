package installer_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"offgrid/installer"
	"offgrid/installer/hosttest"
	"offgrid/installer/sitetest"
)

// crashCase is a role whose installation is killed at every change; others are the runs that come before it on other hosts.
type crashCase struct {
	run    what
	others []what
	make   func(t testing.TB) *sitetest.Site // nil: without load balancers
}

func crashCases() []crashCase {
	etcd := []what{{"etcd", "20.0.0.100"}, {"etcd", "20.0.0.104"}}
	return []crashCase{
		{run: what{"etcd", "20.0.0.103"}, others: etcd[:1]},
		{run: what{"master", "20.0.0.101"}, others: etcd},
		{run: what{"node", "20.0.0.103"}, others: append(append([]what{}, etcd...), what{"master", "20.0.0.100"})},
		{run: what{"lb", "20.0.0.112"}, others: append(append([]what{}, etcd...), what{"master", "20.0.0.101"}), make: sitetest.NewBalanced},
	}
}

// TestAKillAtEveryChangeOfEveryRoleEndsTheSame kills the installer before and after every change that it makes to the
// host, also to its own state, and in the same places of the uninstall.
func TestAKillAtEveryChangeOfEveryRoleEndsTheSame(t *testing.T) {
	for _, c := range crashCases() {
		t.Run(c.run.role, func(t *testing.T) {
			t.Parallel()
			crashes := crashTest(t, c)
			t.Logf("%d crashes", crashes)
			if crashes == 0 {
				t.Error("nothing was tried")
			}
		})
	}
}

func crashTest(t *testing.T, c crashCase) int {
	newSite := c.make
	if newSite == nil {
		newSite = sitetest.New
	}
	s := newSite(t)
	for _, w := range c.others {
		if _, err := install(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
	}
	return hosttest.CrashTest{
		State: installer.StateDir,
		Kept:  []string{"/.autorelabel", "/opt/kubernetes/ssl/kubelet-client-current.pem"},
		New: func(t testing.TB) *hosttest.Host {
			s.Replace(t, c.run.ip)
			return s.Hosts[c.run.ip]
		},
		Use: func(h *hosttest.Host) { s.Hosts[c.run.ip] = h },
		Apply: func(h *hosttest.Host) error {
			// The medium is there for the first try only until everything is carried: what follows is a resume.
			if carried(h) {
				_, err := s.Session(c.run.ip).Resume(context.Background())
				return err
			}
			_, err := install(context.Background(), s, c.run)
			return err
		},
		Undo: func(h *hosttest.Host) error {
			if _, err := os.Stat(filepath.Join(h.Root, installer.StateDir)); os.IsNotExist(err) {
				return nil // it came to its end and only its last word was lost
			}
			_, err := s.Session(c.run.ip).Uninstall(context.Background(), installer.UninstallRequest{})
			return err
		},
	}.Run(t)
}

// carried reports whether the host can go on without the medium: its programs are placed.
func carried(h *hosttest.Host) bool { return h.Get("/etc/hostname") != "localhost.localdomain\n" }
