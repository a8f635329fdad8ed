package installer_test

import (
	"errors"
	"strings"
	"testing"

	"offgrid/installer"
	"offgrid/installer/hosttest"
	"offgrid/installer/sitetest"
)

func change(t *testing.T, e *sitetest.Etcd, ip string, req installer.MemberRequest) (*installer.MemberJob, error) {
	t.Helper()
	session := e.Session(ip)
	job, err := session.PrepareMembers(t.Context(), req)
	if err != nil {
		return nil, err
	}
	defer job.Close()
	return job, session.ChangeMembers(t.Context(), job)
}

// die takes a host away: what comes in its place is new.
func die(t *testing.T, s *sitetest.Site, e *sitetest.Etcd, ip string) {
	t.Helper()
	s.Replace(t, ip)
	e.Attach(ip)
}

func TestADeadMemberIsReplacedByANewHostWithItsAddress(t *testing.T) {
	s, e := runningEtcd(t)
	die(t, s, e, "20.0.0.104")
	job, err := change(t, e, "20.0.0.100", installer.MemberRequest{Remove: "etcd03"})
	if err != nil || job.Remove != "etcd03" || job.Add != "etcd03" {
		t.Fatalf("%+v %v", job, err)
	}
	job, err = change(t, e, "20.0.0.103", installer.MemberRequest{Remove: "etcd03"})
	if err != nil || job.Remove != "" || job.Add != "" {
		t.Errorf("a second time: %+v %v", job, err)
	}
	o, err := installOn(t.Context(), e.Session("20.0.0.104"), s, what{"etcd", "20.0.0.104"})
	if err != nil || !o.Done || !o.Healthy() {
		t.Fatalf("%v %+v", err, o)
	}
	const want = "# Written by offgrid: this member joins a cluster that runs. It matters at the first start only.\n" +
		"ETCD_INITIAL_CLUSTER=etcd01=https://20.0.0.100:2380,etcd02=https://20.0.0.103:2380,etcd03=https://20.0.0.104:2380\nETCD_INITIAL_CLUSTER_STATE=existing\n"
	if got := s.Hosts["20.0.0.104"].Get("/opt/etcd/cfg/etcd-initial"); got != want {
		t.Errorf("it was started with\n%s\nwant\n%s", got, want)
	}
	if _, err := e.Session("20.0.0.104").Resume(t.Context()); err != nil {
		t.Error(err)
	}
	if got := s.Hosts["20.0.0.104"].Get("/opt/etcd/cfg/etcd-initial"); got != want {
		t.Errorf("after a resume it is\n%s", got)
	}
	if _, err := e.Session("20.0.0.104").Uninstall(t.Context(), installer.UninstallRequest{PurgeData: true}); err != nil {
		t.Fatal(err)
	}
	if names, _ := s.Hosts["20.0.0.104"].ReadDir("/opt"); len(names) != 0 {
		t.Errorf("an uninstall leaves %q in /opt", names)
	}
}

func TestAReplaceThatWouldHarmIsRefused(t *testing.T) {
	s, e := runningEtcd(t)
	for name, c := range map[string]struct {
		req  installer.MemberRequest
		want string
	}{
		"a member that answers": {installer.MemberRequest{Remove: "etcd03"}, "etcd03 on node02 (20.0.0.104) answers: it is not dead"},
		"a name of nobody":      {installer.MemberRequest{Remove: "etcd09"}, `"etcd09" is no planned member of etcd`},
		"one that is there":     {installer.MemberRequest{Add: "etcd02"}, "etcd02 on node01 (20.0.0.103) is a member already"},
	} {
		if _, err := change(t, e, "20.0.0.100", c.req); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	systemctl(t, s, "20.0.0.103", "stop", "etcd.service")
	systemctl(t, s, "20.0.0.104", "stop", "etcd.service")
	var usage *installer.UsageError
	if _, err := change(t, e, "20.0.0.100", installer.MemberRequest{Remove: "etcd03"}); !errors.As(err, &usage) || !strings.Contains(usage.What, "most members do not run") ||
		usage.Hint != "start the others first; when most of them are lost for good: /var/lib/offgrid/install etcd restore FILE" {
		t.Errorf("without a majority: %v", err)
	}
}

func TestANewHostThatWasNotLetInYetWaitsAndSaysSo(t *testing.T) {
	s, e := runningEtcd(t)
	die(t, s, e, "20.0.0.104")
	o, err := installOn(t.Context(), e.Session("20.0.0.104"), s, what{"etcd", "20.0.0.104"})
	const want = "let it in as a new member: on master01 (20.0.0.100) run: /var/lib/offgrid/install etcd replace etcd03"
	if err != nil || len(o.Waiting) != 1 || !strings.HasSuffix(o.Waiting[0].Why, want) {
		t.Fatalf("%v %+v", err, o)
	}
	if _, err := change(t, e, "20.0.0.100", installer.MemberRequest{Remove: "etcd03"}); err != nil {
		t.Fatal(err)
	}
	if o, err := e.Session("20.0.0.104").Resume(t.Context()); err != nil || !o.Done {
		t.Errorf("%v %+v", err, o)
	}
}

// TestAKillWhileAMemberJoinsEndsTheSame is the crash test of a role for a member that joins a cluster which runs.
func TestAKillWhileAMemberJoinsEndsTheSame(t *testing.T) {
	s, e := runningEtcd(t)
	const ip = "20.0.0.104"
	die(t, s, e, ip)
	if _, err := change(t, e, "20.0.0.100", installer.MemberRequest{Remove: "etcd03"}); err != nil {
		t.Fatal(err)
	}
	own := s.Hosts[ip]
	written := []string{installer.StateDir + "/journal.jsonl", installer.StateDir + "/lock"}
	run := func() {
		if carried(s.Hosts[ip]) {
			if _, err := e.Session(ip).Resume(t.Context()); err != nil {
				t.Fatal(err)
			}
			return
		}
		if _, err := installOn(t.Context(), e.Session(ip), s, what{"etcd", ip}); err != nil {
			t.Fatal(err)
		}
	}
	var want hosttest.Tree
	kills := own.Kills(t, written, run, func(left *hosttest.Host, n int, after bool) {
		started := e.Snapshot()
		s.Hosts[ip] = left
		e.Attach(ip)
		run()
		tree := left.Tree(t, written...)
		if want == nil {
			want = tree
		}
		if d := hosttest.Diff(want, tree); d != "" {
			t.Errorf("killed at change %d, after it: %v, and resumed:\n%s", n, after, d)
		}
		e.Back(started)
		s.Hosts[ip] = own
	})
	if d := hosttest.Diff(want, own.Tree(t, written...)); d != "" {
		t.Errorf("without a kill:\n%s", d)
	}
	if kills < 50 {
		t.Errorf("only %d kills were tried", kills)
	}
}
