package installer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"offgrid/installer"
	"offgrid/installer/hosttest"
	"offgrid/installer/sitetest"
)

// what is the role and address of one run.
type what struct{ role, ip string }

// theWholeTable is every run of a site, as an operator would type them.
func theWholeTable() []what {
	return []what{
		{"etcd", "20.0.0.100"}, {"etcd", "20.0.0.103"}, {"etcd", "20.0.0.104"},
		{"master", "20.0.0.100"}, {"master", "20.0.0.101"}, {"node", "20.0.0.103"}, {"node", "20.0.0.104"},
	}
}

// install is ./install --role ROLE --ip IP --yes.
func install(ctx context.Context, s *sitetest.Site, w what) (installer.Outcome, error) {
	return installOn(ctx, s.Session(w.ip), s, w)
}

// installOn is install by a session that was made for it.
func installOn(ctx context.Context, session *installer.Session, s *sitetest.Site, w what) (installer.Outcome, error) {
	job, err := session.Prepare(ctx, installer.Request{Roles: []string{w.role}, IP: w.ip, Bundle: s.Bundle(w.role)})
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

// converge is what the timers do, until nobody waits.
func converge(t *testing.T, s *sitetest.Site, runs []what) {
	t.Helper()
	var last []installer.Waiting
	for range 5 {
		waiting := false
		for _, w := range runs {
			if s.Hosts[w.ip].Get("/etc/systemd/system/offgrid-converge.timer") == "" {
				continue
			}
			o, err := s.Session(w.ip).Resume(t.Context())
			if err != nil {
				t.Fatalf("resuming on %s: %v", w.ip, err)
			}
			waiting, last = waiting || !o.Done, o.Waiting
		}
		if !waiting {
			return
		}
	}
	t.Fatalf("somebody still waits: %+v", last)
}

func TestHostsMayBeInstalledInAnyOrder(t *testing.T) {
	s := sitetest.New(t)
	orders := map[string][]what{"as planned": theWholeTable(), "backwards": nil, "nodes first": nil}
	for i := len(theWholeTable()) - 1; i >= 0; i-- {
		orders["backwards"] = append(orders["backwards"], theWholeTable()[i])
	}
	orders["nodes first"] = append(append([]what{}, theWholeTable()[5:]...), theWholeTable()[:5]...)
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			s.Reset(t)
			for _, w := range order {
				if _, err := install(t.Context(), s, w); err != nil {
					t.Fatalf("%s on %s: %v", w.role, w.ip, err)
				}
			}
			converge(t, s, order)
			for _, w := range order {
				all, err := s.Session(w.ip).Status(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range all {
					if !r.Installed {
						t.Errorf("%s on %s: %d of %d steps, next: %s, %s", r.Role, r.IP, r.Done, r.Steps, r.Next, r.Waiting)
					}
				}
				if v, err := s.Session(w.ip).Verify(t.Context()); err != nil || len(v.Differences) > 0 {
					t.Errorf("verify on %s: %v %+v", w.ip, err, v.Differences)
				}
			}
			if s.Object("cluster-jobs.yaml") != "applied" || s.Object("bootstrap-token-abcdef") == "" {
				t.Error("the cluster's jobs were not done")
			}
		})
	}
}

func TestTheFirstMembersWaitAndSayForWhom(t *testing.T) {
	s := sitetest.New(t)
	first, err := install(t.Context(), s, what{"etcd", "20.0.0.103"})
	if err != nil {
		t.Fatal(err)
	}
	want := "waiting for etcd: 2 of 3 members are needed; not there yet: etcd01 on master01 (20.0.0.100), etcd03 on node02 (20.0.0.104)"
	if first.Done || len(first.Waiting) != 1 || first.Waiting[0].Why != want {
		t.Errorf("got %+v, want it to wait: %s", first, want)
	}
	h := s.Hosts["20.0.0.103"]
	if !strings.Contains(h.Get("/etc/systemd/system/offgrid-converge.service"), "ExecStart=/var/lib/offgrid/install resume --unattended\n") {
		t.Error("the host does not go on by itself")
	}
	second, err := install(t.Context(), s, what{"etcd", "20.0.0.100"})
	if err != nil {
		t.Fatal(err)
	}
	if !second.Done || !second.Healthy() {
		t.Errorf("the second member is not done: %+v", second)
	}
	if s.Hosts["20.0.0.100"].Get("/etc/systemd/system/offgrid-converge.timer") != "" {
		t.Error("a host that is done still has the timer")
	}
	if _, err := s.Session("20.0.0.103").Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h.Get("/etc/systemd/system/offgrid-converge.timer") != "" || h.Get("/etc/systemd/system/offgrid-converge.service") != "" {
		t.Error("the timer did not remove itself")
	}
}

func TestAHealthyEndSaysWhatWasLookedAt(t *testing.T) {
	s := sitetest.New(t)
	var last installer.Outcome
	for _, w := range theWholeTable() {
		var err error
		if last, err = install(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
		if w.role == "master" && !last.Healthy() {
			t.Errorf("%+v", last.Health)
		}
	}
	var names []string
	for _, l := range last.Health {
		names = append(names, l.Name+": "+l.Text)
	}
	got := strings.Join(names, "\n")
	for _, want := range []string{
		"service kubelet.service: active", "cgroup driver of docker: systemd", "mode of kube-proxy: ipvs (planned: ipvs)",
		"node 20.0.0.104: registered with v1.20.15; NotReady until the cluster has a pod network, which is right at this point",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("health does not say %q:\n%s", want, got)
		}
	}
}

func TestASecondRunChangesNothing(t *testing.T) {
	s := sitetest.New(t)
	for range 2 { // what waited for others in the first round is done in the second
		for _, w := range theWholeTable() {
			if _, err := install(t.Context(), s, w); err != nil {
				t.Fatalf("%s on %s: %v", w.role, w.ip, err)
			}
		}
	}
	for _, w := range theWholeTable() {
		h := s.Hosts[w.ip]
		before := h.Tree(t, "/var/lib/offgrid/lock")
		again, err := install(t.Context(), s, w)
		if err != nil || again.Changed != 0 {
			t.Errorf("%s on %s: %d steps changed the host: %v", w.role, w.ip, again.Changed, err)
		}
		if d := hosttest.Diff(before, h.Tree(t, "/var/lib/offgrid/lock")); d != "" {
			t.Errorf("%s on %s: %s", w.role, w.ip, d)
		}
	}
}

func TestVerifyNamesWhatWasChangedSince(t *testing.T) {
	s := sitetest.New(t)
	for _, w := range theWholeTable()[:2] {
		if _, err := install(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
	}
	h := s.Hosts["20.0.0.103"]
	h.Put(t, "/opt/etcd/cfg/etcd", "ETCD_NAME=nobody\n")
	v, err := s.Session("20.0.0.103").Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	for _, d := range v.Differences {
		steps = append(steps, d.Step)
	}
	if got := strings.Join(steps, " "); got != "file:/opt/etcd/cfg/etcd unit:etcd.service" {
		t.Errorf("differences: %s", got)
	}
}

func TestUninstallGivesTheTreeBack(t *testing.T) {
	s := sitetest.New(t)
	before := map[string]hosttest.Tree{}
	for ip, h := range s.Hosts {
		before[ip] = h.Tree(t)
	}
	for _, w := range theWholeTable() {
		if _, err := install(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
	}
	converge(t, s, theWholeTable())
	for ip, h := range s.Hosts {
		if _, err := s.Session(ip).Uninstall(t.Context(), installer.UninstallRequest{}); err != nil {
			t.Errorf("%s: %v", ip, err)
		}
		if d := hosttest.Diff(before[ip], h.Tree(t, "/.autorelabel")); d != "" {
			t.Errorf("%s:\n%s", ip, d)
		}
	}
}

func TestUninstallOfOneRoleLeavesTheOther(t *testing.T) {
	s := sitetest.New(t)
	for _, w := range theWholeTable() {
		if _, err := install(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
	}
	converge(t, s, theWholeTable())
	for ip, role := range map[string]string{"20.0.0.103": "node", "20.0.0.104": "etcd"} {
		session := s.Session(ip)
		if _, err := session.Uninstall(t.Context(), installer.UninstallRequest{Role: role}); err != nil {
			t.Fatal(err)
		}
		h := s.Hosts[ip]
		if etcd, kubelet := h.Get("/opt/etcd/bin/etcd") != "", h.Get("/opt/kubernetes/bin/kubelet") != ""; etcd == (role == "etcd") || kubelet == (role == "node") {
			t.Errorf("%s without %s: etcd is there: %v, kubelet is there: %v", ip, role, etcd, kubelet)
		}
		if v, err := session.Verify(t.Context()); err != nil || len(v.Differences) > 0 {
			t.Errorf("%s: the role that stays does not verify: %v %+v", ip, err, v.Differences)
		}
	}
}

func TestEtcdDataStaysAndMayBeUsedAgainByTheSameCluster(t *testing.T) {
	s := sitetest.New(t)
	w := what{"etcd", "20.0.0.103"}
	if _, err := install(t.Context(), s, w); err != nil {
		t.Fatal(err)
	}
	h := s.Hosts[w.ip]
	h.Put(t, "/var/lib/etcd/default.etcd/member/snap/db", "data")
	if _, err := s.Session(w.ip).Uninstall(t.Context(), installer.UninstallRequest{}); err != nil {
		t.Fatal(err)
	}
	if h.Get("/var/lib/etcd/default.etcd/member/snap/db") != "data" || h.Get("/var/lib/etcd/default.etcd.cluster") != sitetest.Cluster+"\n" {
		t.Error("the data, or the mark beside it, is gone")
	}
	if _, err := install(t.Context(), s, w); err != nil {
		t.Errorf("installing again on the cluster's own data: %v", err)
	}
	if _, err := s.Session(w.ip).Uninstall(t.Context(), installer.UninstallRequest{PurgeData: true}); err != nil {
		t.Fatal(err)
	}
	if h.Get("/var/lib/etcd/default.etcd.cluster") != "" {
		t.Error("the mark outlived the data")
	}
}

func TestASecondInstallerIsRefusedAndNamesTheFirst(t *testing.T) {
	s := sitetest.New(t)
	h := s.Hosts["20.0.0.103"]
	lock, err := installer.LockState(h.Root + installer.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	_, err = install(t.Context(), s, what{"etcd", "20.0.0.103"})
	if err == nil || !strings.Contains(err.Error(), "another installer is running, process ") {
		t.Errorf("got %v", err)
	}
}

func TestAnInterruptEndsTheRunAfterTheStepAtWork(t *testing.T) {
	s := sitetest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	h := s.Hosts["20.0.0.103"]
	h.Script("hostnamectl --static", func(string, []string) (string, error) {
		cancel()
		h.Put(t, "/etc/hostname", "node01\n")
		h.Put(t, "/proc/sys/kernel/hostname", "node01\n")
		return "", nil
	})
	_, err := install(ctx, s, what{"etcd", "20.0.0.103"})
	if err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Fatalf("got %v", err)
	}
	if h.Get("/etc/hostname") != "node01\n" || strings.Contains(h.Get("/etc/hosts"), "master01") {
		t.Error("the step at work was not finished, or another one was begun")
	}
	if _, err := install(t.Context(), s, what{"etcd", "20.0.0.103"}); err != nil {
		t.Errorf("going on: %v", err)
	}
}

func TestWhatAStepMustNotReplaceIsFoundBeforeAnythingIsChanged(t *testing.T) {
	s := sitetest.New(t)
	h := s.Hosts["20.0.0.103"]
	h.Put(t, "/etc/docker/daemon.json", `{"log-driver": "syslog"}`)
	session := s.Session("20.0.0.103")
	job, err := session.Prepare(t.Context(), installer.Request{Roles: []string{"node"}, IP: "20.0.0.103", Bundle: s.Bundle("node")})
	if err != nil {
		t.Fatal(err)
	}
	defer job.Close()
	var found []string
	for _, f := range job.Findings {
		if f.ID == "step-conflict" {
			found = append(found, f.What)
		}
	}
	want := `/etc/docker/daemon.json has log-driver = "syslog" where "json-file" is needed`
	if len(found) != 1 || found[0] != want {
		t.Errorf("findings %q, want %q", found, want)
	}
	if _, err := session.Install(t.Context(), job); err == nil || h.Changes() != 0 {
		t.Errorf("it was installed all the same: %v, %d changes", err, h.Changes())
	}
}
