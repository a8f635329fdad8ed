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

// upgradeCase is a role whose upgrade is killed; before are those that are upgraded already, broken a program that does
// not start in its new version.
type upgradeCase struct {
	run    what
	before []what
	broken string
}

func upgradeCases() []upgradeCase {
	masters := []what{{"master", "20.0.0.100"}, {"master", "20.0.0.101"}}
	return []upgradeCase{
		{run: what{"etcd", "20.0.0.104"}, broken: "etcd v3.4.27"},
		{run: what{"master", "20.0.0.101"}, broken: "kube-apiserver v1.20.16"},
		{run: what{"node", "20.0.0.104"}, before: masters, broken: "kubelet v1.20.16"},
	}
}

// ends are the host's trees that an upgrade may end with.
type ends struct {
	old, now hosttest.Tree
}

// upgradeTree is a host without what differs from run to run.
func upgradeTree(t testing.TB, h *hosttest.Host) hosttest.Tree {
	return h.Tree(t, installer.StateDir+"/journal.jsonl", installer.StateDir+"/lock", installer.StateDir+"/before", "/data")
}

// upgradeSite is a site that waits for one more upgrade, with pods on the node.
func upgradeSite(t *testing.T, c upgradeCase) (*sitetest.Site, ends) {
	t.Helper()
	s := siteUp(t)
	s.Bring(t, newer())
	for _, w := range c.before {
		if _, err := install(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
	}
	s.SetPods(sitetest.Pod{Name: "web-0", Node: "20.0.0.104", Owner: "ReplicaSet"}, sitetest.Pod{Name: "flannel", Node: "20.0.0.104", Owner: "DaemonSet"})
	e := ends{old: upgradeTree(t, s.Hosts[c.run.ip])}
	back, h := s.Aside(), s.Hosts[c.run.ip]
	h.Kills(t, journalAndLock(), func() {
		_, err := s.Hosts[c.run.ip].Run(t.Context(), nil, "systemctl", "daemon-reload") // a change that changes nothing: its copy is a host to try on
		if err != nil {
			t.Fatal(err)
		}
	}, func(left *hosttest.Host, _ int, after bool) {
		if after {
			return
		}
		s.Hosts[c.run.ip] = left
		if _, err := install(t.Context(), s, c.run); err != nil {
			t.Fatal(err)
		}
		e.now = upgradeTree(t, left)
		s.Hosts[c.run.ip] = h
		back()
	})
	return s, e
}

func journalAndLock() []string {
	return []string{installer.StateDir + "/journal.jsonl", installer.StateDir + "/lock"}
}

// TestAnUpgradeThatIsKilledAnywhereEndsNewOrOld kills an upgrade at every change, and goes on with a resume,
// which has no medium, or with the same command. The one ends with either version, the other with the new one.
func TestAnUpgradeThatIsKilledAnywhereEndsNewOrOld(t *testing.T) {
	for _, c := range upgradeCases() {
		t.Run(c.run.role, func(t *testing.T) {
			t.Parallel()
			s, e := upgradeSite(t, c)
			killedInTheCase(t, s, c, e, func(ctx context.Context) error {
				_, err := install(ctx, s, c.run)
				return err
			})
		})
	}
}

// endsOne resumes until the host has come to an end, and says to which.
func endsOne(t *testing.T, s *sitetest.Site, c upgradeCase, e ends, at string, wantNew bool) string {
	t.Helper()
	_, err := s.Session(c.run.ip).Resume(context.Background())
	var back *installer.PutBackError
	if errors.As(err, &back) && back.Back == nil {
		_, err = s.Session(c.run.ip).Resume(context.Background())
	}
	if err != nil {
		t.Errorf("%s: %v", at, err)
		return "error"
	}
	if s.Cordoned("20.0.0.104") {
		t.Errorf("%s: the node is still cordoned", at)
	}
	left := s.Hosts[c.run.ip]
	now := upgradeTree(t, left)
	old, new := hosttest.Diff(e.old, now), "no such end"
	if e.now != nil {
		new = hosttest.Diff(e.now, now)
	}
	switch {
	case new == "":
		return "new"
	case old == "" && !wantNew:
		return "old"
	}
	t.Errorf("%s: the host is neither new:\n%s\nnor old:\n%s", at, new, old)
	return "mixed"
}

// TestAPutBackThatIsKilledAnywhereEndsOld kills the put-back of an upgrade to a version that does not work at every change.
func TestAPutBackThatIsKilledAnywhereEndsOld(t *testing.T) {
	for _, c := range upgradeCases() {
		t.Run(c.run.role, func(t *testing.T) {
			t.Parallel()
			s, e := upgradeSite(t, c)
			e.now = nil
			s.Break(c.broken, true)
			h, count, began := s.Hosts[c.run.ip], map[string]int{}, false
			h.Kills(t, journalAndLock(), func() {
				var failed *installer.PutBackError
				if _, err := install(context.Background(), s, c.run); !errors.As(err, &failed) || failed.Back != nil {
					t.Fatal(err)
				}
			}, func(left *hosttest.Host, n int, after bool) {
				began = began || strings.Contains(left.Get(installer.OldDir(c.run.role)+"/upgrade.json"), `"state":"putting back"`)
				if !began || !hosttest.Tried(n, after) {
					return // a kill before that is the other test's
				}
				back := s.Aside()
				s.Hosts[c.run.ip] = left
				defer func() { s.Hosts[c.run.ip] = h; back() }()
				count[endsOne(t, s, c, e, fmt.Sprintf("killed at change %d, after it: %v", n, after), false)]++
			})
			t.Logf("kills: %v", count)
			if count["old"] == 0 {
				t.Error("nothing was tried")
			}
			if d := hosttest.Diff(e.old, upgradeTree(t, h)); d != "" {
				t.Errorf("without a kill:\n%s", d)
			}
		})
	}
}
