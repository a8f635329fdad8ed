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

// older and newer are what the two sticks of these tests bring.
func older() sitetest.Versions { return sitetest.First() }
func newer() sitetest.Versions {
	return sitetest.Versions{Kube: "v1.20.16", Etcd: "v3.4.27", Serial: 2}
}

// renewed brings the same versions with other certificates.
func renewed() sitetest.Versions {
	return sitetest.Versions{Kube: "v1.20.15", Etcd: "v3.4.26", Serial: 3}
}

// siteUp is a site whose hosts are all installed.
func siteUp(t *testing.T) *sitetest.Site {
	t.Helper()
	s := sitetest.New(t)
	for _, w := range theWholeTable() {
		if _, err := install(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
	}
	converge(t, s, theWholeTable())
	return s
}

// prepared is what ./install plan says.
func prepared(t *testing.T, s *sitetest.Site, w what) *installer.Job {
	t.Helper()
	job, err := s.Session(w.ip).Prepare(t.Context(), installer.Request{Roles: []string{w.role}, IP: w.ip, Bundle: s.Bundle(w.role)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(job.Close)
	return job
}

// findings are the IDs of a job's findings that refuse, then those that warn.
func findings(job *installer.Job) string {
	var refused, warned []string
	for _, f := range job.Findings {
		switch {
		case f.Severity == installer.Refuse:
			refused = append(refused, f.ID)
		case f.ID != "old-kernel": // of every node here
			warned = append(warned, f.ID)
		}
	}
	return strings.Join(refused, " ") + "|" + strings.Join(warned, " ")
}

func TestASiteIsUpgradedHostByHost(t *testing.T) {
	s := siteUp(t)
	s.Bring(t, newer())
	for _, w := range theWholeTable() {
		o, err := install(t.Context(), s, w)
		if err != nil {
			t.Fatalf("%s on %s: %v", w.role, w.ip, err)
		}
		if !o.Done || !o.Healthy() || len(o.Upgrades) != 1 || o.Upgrades[0].State != "done" {
			t.Errorf("%s on %s: %+v", w.role, w.ip, o)
		}
	}
	for _, w := range theWholeTable() {
		h := s.Hosts[w.ip]
		if holdsOld(h) || h.Get("/etc/systemd/system/offgrid-converge.timer") != "" {
			t.Errorf("%s: something of the upgrade is left", w.ip)
		}
		if v, err := s.Session(w.ip).Verify(t.Context()); err != nil || len(v.Differences) > 0 {
			t.Errorf("verify on %s: %v %+v", w.ip, err, v.Differences)
		}
	}
	got := strings.Join([]string{s.Runs("20.0.0.100", "etcd"), s.Runs("20.0.0.101", "kube-apiserver"), s.Runs("20.0.0.104", "kubelet"), s.Runs("20.0.0.103", "kube-proxy")}, " ")
	if want := "v3.4.27 v1.20.16 v1.20.16 v1.20.16"; got != want {
		t.Errorf("running: %s, want %s", got, want)
	}
}

func TestThePlanSaysWhatIsUpgraded(t *testing.T) {
	s := siteUp(t)
	s.Bring(t, newer())
	for w, want := range map[what]string{
		{"etcd", "20.0.0.103"}:   "upgrade of etcd from v3.4.26 to v3.4.27; starts anew [etcd.service]; drain false; first keep:etcd snapshot",
		{"master", "20.0.0.101"}: "upgrade of master from v1.20.15 to v1.20.16; starts anew [kube-apiserver.service kube-controller-manager.service kube-scheduler.service]; drain false; first keep:master",
		{"node", "20.0.0.104"}:   "upgrade of node from v1.20.15 to v1.20.16; starts anew [kubelet.service kube-proxy.service]; drain true; first keep:node drain:20.0.0.104",
	} {
		job := prepared(t, s, w)
		doc, err := job.Roles[0].Plan.Describe(t.Context(), s.Hosts[w.ip])
		if err != nil {
			t.Fatal(err)
		}
		var first []string
		for _, step := range doc.Phases[0].Steps {
			first = append(first, strings.Split(step.ID, ":/")[0]) // a snapshot is named by its file
		}
		u := doc.Upgrade
		got := fmt.Sprintf("%s; starts anew %v; drain %v; first %s", u.Title, u.Restarts, u.Drain, strings.Join(first, " "))
		if got != want {
			t.Errorf("%s on %s:\n got %s\nwant %s", w.role, w.ip, got, want)
		}
	}
}

func TestASnapshotIsTakenBeforeEtcdOrAMasterBesideItIsUpgraded(t *testing.T) {
	s := siteUp(t)
	s.Bring(t, newer())
	h := s.Hosts["20.0.0.100"]
	h.Etcd = func(string, []string) (string, error) { return hosttest.Database(7, "objects"), nil }
	for _, role := range []string{"etcd", "master"} {
		session := s.Session("20.0.0.100")
		session.Probe = func(ctx context.Context, p installer.Probe) (installer.Answer, error) {
			a, err := s.Probe(ctx, p)
			a.Body = []byte(strings.Replace(string(a.Body), `"member_id"`, `"cluster_id":"1","member_id"`, 1))
			return a, err
		}
		job, err := session.Prepare(t.Context(), installer.Request{Roles: []string{role}, IP: "20.0.0.100", Bundle: s.Bundle(role)})
		if err != nil {
			t.Fatal(err)
		}
		defer job.Close()
		if _, err := session.Install(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		file := fmt.Sprintf("/data/backup/before-%s-%s.db", role, job.Roles[0].Plan.Bundle.Short())
		if got := h.Get(file); got != hosttest.Database(7, "objects") {
			t.Errorf("%s: %q", file, got)
		}
	}
}

func TestOtherCertificatesAloneDrainNothing(t *testing.T) {
	s := siteUp(t)
	s.SetPods(sitetest.Pod{Name: "web-0", Node: "20.0.0.104", Owner: "ReplicaSet"})
	s.Bring(t, renewed())
	w := what{"node", "20.0.0.104"}
	u := prepared(t, s, w).Roles[0].Plan.Upgrade
	if u.Drain || len(u.Restarts) != 0 || !strings.HasPrefix(u.Title, "update of node v1.20.15 from bundle ") {
		t.Errorf("%+v", u)
	}
	h := s.Hosts[w.ip]
	h.Ran = nil
	if _, err := install(t.Context(), s, w); err != nil {
		t.Fatal(err)
	}
	if got := s.Drained(); len(got) != 0 {
		t.Errorf("drained: %q", got)
	}
	for _, line := range h.Ran {
		if strings.Contains(line, "restart") {
			t.Errorf("ran %q", line)
		}
	}
}

func TestMastersComeBeforeNodes(t *testing.T) {
	s := siteUp(t)
	s.Bring(t, newer())
	job := prepared(t, s, what{"node", "20.0.0.104"})
	if got := findings(job); got != "masters-first|" {
		t.Fatalf("findings %s", got)
	}
	for _, f := range job.Findings[:1] {
		got := f.Where + "; " + f.Fix
		want := "master01 (20.0.0.100) with v1.20.15, master02 (20.0.0.101) with v1.20.15; first on master01: ./install --role master --ip 20.0.0.100"
		if got != want || f.Class != installer.ClassHost {
			t.Errorf("got %s (%s), want %s", got, f.Class, want)
		}
	}
	for _, ip := range []string{"20.0.0.100", "20.0.0.101"} {
		if _, err := install(t.Context(), s, what{"master", ip}); err != nil {
			t.Fatal(err)
		}
	}
	if got := findings(prepared(t, s, what{"node", "20.0.0.104"})); got != "|" {
		t.Errorf("after the masters: %s", got)
	}
}

func TestWhatKubernetesDoesNotSupportIsRefused(t *testing.T) {
	s := siteUp(t)
	for _, c := range []struct {
		v    sitetest.Versions
		w    what
		want string
	}{
		{sitetest.Versions{Kube: "v1.22.0", Etcd: "v3.4.26", Serial: 2}, what{"master", "20.0.0.100"}, "minor-skipped masters-apart|"},
		{sitetest.Versions{Kube: "v1.19.16", Etcd: "v3.4.26", Serial: 2}, what{"master", "20.0.0.100"}, "minor-lowered kubelet-newer|"},
		{sitetest.Versions{Kube: "v1.20.14", Etcd: "v3.4.26", Serial: 2}, what{"master", "20.0.0.100"}, "kubelet-newer|"},
		{sitetest.Versions{Kube: "v1.20.15", Etcd: "v3.5.0", Serial: 2}, what{"etcd", "20.0.0.103"}, "etcd-minor|"},
		{sitetest.Versions{Kube: "v1.20.15", Etcd: "v3.4.20", Serial: 2}, what{"etcd", "20.0.0.103"}, "|"},
		{sitetest.Versions{Kube: "v1.20.16", Etcd: "v3.4.27", Serial: 0}, what{"etcd", "20.0.0.103"}, "older-bundle|"},
		{sitetest.Versions{Kube: "v1.21.0", Etcd: "v3.4.27", Serial: 2}, what{"master", "20.0.0.101"}, "|"},
	} {
		s.Bring(t, c.v)
		if got := findings(prepared(t, s, c.w)); got != c.want {
			t.Errorf("%s to %+v: findings %s, want %s", c.w.role, c.v, got, c.want)
		}
	}
}

func TestAMemberIsNotUpgradedWhileAnotherOneIsDown(t *testing.T) {
	s := siteUp(t)
	s.Bring(t, newer())
	h := s.Hosts["20.0.0.104"]
	if _, err := h.Run(t.Context(), nil, "systemctl", "stop", "etcd.service"); err != nil {
		t.Fatal(err)
	}
	job := prepared(t, s, what{"etcd", "20.0.0.103"})
	if got := findings(job); got != "etcd-member-down|" {
		t.Fatalf("findings %s", got)
	}
	want := "node02 (20.0.0.104): with this one away, too, fewer than 2 of 3 members are left, and the whole cluster stops"
	for _, f := range job.Findings {
		if got := f.Where + ": " + f.Why; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := findings(prepared(t, s, what{"etcd", "20.0.0.104"})); got != "|" {
		t.Errorf("the one that is down may be upgraded: %s", got)
	}
}

func TestASiteThatIsOffIsUpgradedWithAWarning(t *testing.T) {
	s := siteUp(t)
	s.Bring(t, newer())
	for _, h := range s.Hosts {
		for _, unit := range []string{"etcd.service", "kube-apiserver.service", "kubelet.service"} {
			if h.Get("/run/hosttest/active/"+unit) == "" {
				continue
			}
			if _, err := h.Run(t.Context(), nil, "systemctl", "stop", unit); err != nil {
				t.Fatal(err)
			}
		}
	}
	for w, want := range map[what]string{
		{"etcd", "20.0.0.103"}: "|etcd-cold", {"master", "20.0.0.100"}: "|masters-cold", {"node", "20.0.0.104"}: "|masters-cold",
	} {
		if got := findings(prepared(t, s, w)); got != want {
			t.Errorf("%s: findings %s, want %s", w.role, got, want)
		}
	}
	w := what{"etcd", "20.0.0.103"}
	o, err := install(t.Context(), s, w)
	if err != nil || o.Done || len(o.Upgrades) != 1 || o.Upgrades[0].State != "waiting" {
		t.Fatalf("%v %+v", err, o)
	}
	if s.Hosts[w.ip].Get(installer.OldDir("etcd")+"/upgrade.json") == "" {
		t.Error("the old version was not kept until the others come")
	}
	o, err = install(t.Context(), s, what{"node", "20.0.0.104"})
	if err != nil || len(o.Upgrades) != 1 || o.Upgrades[0].State != "waiting" || len(s.Drained()) != 0 {
		t.Fatalf("the node: %v %+v, drained %q", err, o, s.Drained())
	}
	if _, err := install(t.Context(), s, what{"etcd", "20.0.0.104"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Session(w.ip).Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Hosts[w.ip].Get(installer.OldDir("etcd")+"/upgrade.json") != "" {
		t.Error("the upgrade did not come to its end")
	}
}

func TestANodeIsDrainedAndComesBack(t *testing.T) {
	for name, c := range map[string]struct {
		before bool // the operator had cordoned it
		want   string
	}{
		"as usual":          {false, "cordon 20.0.0.104, evict web-0, evict web-1, uncordon 20.0.0.104"},
		"of the operator's": {true, "evict web-0, evict web-1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := mastersUpgraded(t)
			s.Cordon("20.0.0.104", c.before)
			s.SetPods(
				sitetest.Pod{Name: "web-0", Node: "20.0.0.104", Owner: "ReplicaSet"}, sitetest.Pod{Name: "flannel", Node: "20.0.0.104", Owner: "DaemonSet"},
				sitetest.Pod{Name: "job", Node: "20.0.0.104", Owner: "Job", Phase: "Succeeded"}, sitetest.Pod{Name: "mirror", Node: "20.0.0.104", Mirror: true},
				sitetest.Pod{Name: "loose", Node: "20.0.0.104"}, sitetest.Pod{Name: "elsewhere", Node: "20.0.0.103", Owner: "ReplicaSet"},
				sitetest.Pod{Name: "web-1", Node: "20.0.0.104", Owner: "StatefulSet"},
			)
			if _, err := install(t.Context(), s, what{"node", "20.0.0.104"}); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(s.Drained(), ", "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if s.Cordoned("20.0.0.104") != c.before {
				t.Errorf("cordoned: %v", s.Cordoned("20.0.0.104"))
			}
		})
	}
}

// mastersUpgraded is a site whose etcd and masters run the new version.
func mastersUpgraded(t *testing.T) *sitetest.Site {
	t.Helper()
	s := siteUp(t)
	s.Bring(t, newer())
	for _, w := range theWholeTable()[:5] {
		if _, err := install(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestABudgetThatLetsAPodNotGoStopsTheUpgradeBeforeAnythingIsChanged(t *testing.T) {
	s := mastersUpgraded(t)
	s.SetPods(sitetest.Pod{Name: "db-0", Node: "20.0.0.104", Owner: "StatefulSet", Budget: "db"})
	h := s.Hosts["20.0.0.104"]
	before := h.Tree(t, installer.StateDir+"/journal.jsonl", installer.StateDir+"/lock", "/data")
	session := s.Session("20.0.0.104")
	session.DrainTimeout = 1
	job := prepared(t, s, what{"node", "20.0.0.104"})
	job2, err := session.Prepare(t.Context(), installer.Request{Roles: []string{"node"}, IP: "20.0.0.104", Bundle: s.Bundle("node")})
	if err != nil || findings(job) != "|" {
		t.Fatal(err, findings(job))
	}
	defer job2.Close()
	_, err = session.Install(t.Context(), job2)
	var drain *installer.DrainError
	if !errors.As(err, &drain) {
		t.Fatalf("got %v", err)
	}
	want := "draining node 20.0.0.104: pod default/db-0 does not go within 1ns: Cannot evict pod as it would violate the pod's disruption budget: " +
		"The disruption budget db needs 2 healthy pods and has 2 currently"
	if drain.Error() != want {
		t.Errorf("got %s\nwant %s", drain, want)
	}
	if d := hosttest.Diff(before, h.Tree(t, installer.StateDir+"/journal.jsonl", installer.StateDir+"/lock", "/data")); d != "" || s.Cordoned("20.0.0.104") {
		t.Errorf("cordoned: %v\n%s", s.Cordoned("20.0.0.104"), d)
	}
}

func TestAVersionThatDoesNotWorkIsPutBack(t *testing.T) {
	for w, program := range map[what]string{
		{"etcd", "20.0.0.103"}: "etcd v3.4.27", {"master", "20.0.0.100"}: "kube-apiserver v1.20.16", {"node", "20.0.0.104"}: "kubelet v1.20.16",
	} {
		t.Run(w.role, func(t *testing.T) {
			s := siteUp(t)
			if w.role == "node" {
				s = mastersUpgraded(t)
			}
			h := s.Hosts[w.ip]
			before := h.Tree(t, installer.StateDir, "/data")
			s.Bring(t, newer())
			s.Break(program, true)
			_, err := install(t.Context(), s, w)
			var back *installer.PutBackError
			if !errors.As(err, &back) || back.Back != nil || len(back.Waiting) > 0 {
				t.Fatalf("got %v", err)
			}
			if text := err.Error(); !strings.HasSuffix(text, " was put back and works") {
				t.Errorf("it says: %s", text)
			}
			if d := hosttest.Diff(before, h.Tree(t, installer.StateDir, "/data")); d != "" {
				t.Error(d)
			}
			name, _, _ := strings.Cut(program, " ")
			if got := s.Runs(w.ip, name); got != older().Kube && got != older().Etcd {
				t.Errorf("%s %s runs", name, got)
			}
			if s.Cordoned("20.0.0.104") {
				t.Error("the node is still cordoned")
			}
			// The timer does not try it again; an operator may, and is told.
			if _, err := s.Session(w.ip).Resume(t.Context()); err != nil {
				t.Errorf("resuming: %v", err)
			}
			if got := s.Runs(w.ip, name); got != older().Kube && got != older().Etcd {
				t.Errorf("after a resume: %s %s runs", name, got)
			}
			if got := findings(prepared(t, s, w)); got != "|upgrade-given-up" {
				t.Errorf("findings %s", got)
			}
			s.Break(program, false)
			if o, err := install(t.Context(), s, w); err != nil || !o.Done {
				t.Errorf("the second try: %v %+v", err, o)
			}
		})
	}
}

func TestWhatWasWrongBeforeIsNotTheUpgradesFault(t *testing.T) {
	s := siteUp(t)
	s.Bring(t, newer())
	h := s.Hosts["20.0.0.103"]
	h.Starting["chronyd.service"] = "failed"
	if _, err := h.Run(t.Context(), nil, "systemctl", "restart", "chronyd.service"); err != nil {
		t.Fatal(err)
	}
	h.Starting["chronyd.service"] = "activating" // it comes up some day
	o, err := install(t.Context(), s, what{"etcd", "20.0.0.103"})
	if err != nil || o.Healthy() || s.Runs("20.0.0.103", "etcd") != "v3.4.27" {
		t.Errorf("%v %+v", err, o)
	}
}

func TestTheOldMediumPutsAnUnfinishedUpgradeBack(t *testing.T) {
	s := siteUp(t)
	w := what{"etcd", "20.0.0.103"}
	h := s.Hosts[w.ip]
	before := h.Tree(t, installer.StateDir, "/data")
	s.Bring(t, newer())
	h.Crash(46, true)
	if h.Survives(func() { _, _ = install(t.Context(), s, w) }) {
		t.Fatal("it was not killed")
	}
	h.Revive()
	s.Bring(t, renewed())
	if got := findings(prepared(t, s, w)); got != "upgrade-unfinished|" {
		t.Errorf("a third bundle: %s", got)
	}
	s.Bring(t, older())
	job := prepared(t, s, w)
	if got := job.Roles[0].Plan.Upgrade.Title; got != "put-back of etcd from v3.4.27 to v3.4.26" {
		t.Error(got)
	}
	if o, err := install(t.Context(), s, w); err != nil || !o.Done || !o.Healthy() {
		t.Fatalf("%v %+v", err, o)
	}
	if _, err := s.Session(w.ip).Resume(t.Context()); err != nil { // the timer of the run that was killed
		t.Fatal(err)
	}
	if d := hosttest.Diff(before, h.Tree(t, installer.StateDir, "/data")); d != "" {
		t.Error(d)
	}
}

func TestUninstallAfterAnUpgradeGivesTheTreeBackAsItWasBeforeTheFirstInstall(t *testing.T) {
	s := sitetest.New(t)
	before := map[string]hosttest.Tree{}
	for ip, h := range s.Hosts {
		before[ip] = h.Tree(t)
	}
	for _, v := range []sitetest.Versions{older(), newer()} {
		s.Bring(t, v)
		for _, w := range theWholeTable() {
			if _, err := install(t.Context(), s, w); err != nil {
				t.Fatal(err)
			}
		}
		converge(t, s, theWholeTable())
	}
	for ip, h := range s.Hosts {
		if _, err := s.Session(ip).Uninstall(t.Context(), installer.UninstallRequest{}); err != nil {
			t.Errorf("%s: %v", ip, err)
		}
		if d := hosttest.Diff(before[ip], h.Tree(t, "/.autorelabel", "/data")); d != "" {
			t.Errorf("%s:\n%s", ip, d)
		}
	}
}

func TestUninstallInTheMiddleOfAnUpgradeGivesTheTreeBack(t *testing.T) {
	s := siteUp(t)
	w := what{"node", "20.0.0.104"}
	s.Bring(t, newer())
	fresh := sitetest.New(t).Hosts[w.ip].Tree(t)
	h := s.Hosts[w.ip]
	if _, err := s.Session(w.ip).Uninstall(t.Context(), installer.UninstallRequest{Role: "etcd", PurgeData: true}); err != nil {
		t.Fatal(err)
	}
	for _, ip := range []string{"20.0.0.100", "20.0.0.101"} {
		if _, err := install(t.Context(), s, what{"master", ip}); err != nil {
			t.Fatal(err)
		}
	}
	h.Crash(46, true)
	if h.Survives(func() { _, _ = install(t.Context(), s, w) }) {
		t.Fatal("it was not killed")
	}
	h.Revive()
	if h.Get(installer.OldDir("node")+"/upgrade.json") == "" {
		t.Fatal("the kill came too early")
	}
	if _, err := s.Session(w.ip).Uninstall(t.Context(), installer.UninstallRequest{PurgeData: true}); err != nil {
		t.Fatal(err)
	}
	if d := hosttest.Diff(fresh, h.Tree(t, "/.autorelabel", "/data")); d != "" {
		t.Error(d)
	}
}

func TestPackagesThatAnUpgradeBroughtAreTakenBackToTheOlderOnes(t *testing.T) {
	s := mastersUpgraded(t)
	w := what{"node", "20.0.0.104"}
	h := s.Hosts[w.ip]
	const database = "/var/lib/rpm/hosttest/docker-ce.x86_64"
	before := h.Get(database)
	v := newer()
	v.Docker = "1.1-1.el7"
	v.Serial = 4
	s.Bring(t, v)
	s.Break("kubelet v1.20.16", true)
	var back *installer.PutBackError
	if _, err := install(t.Context(), s, w); !errors.As(err, &back) || back.Back != nil {
		t.Fatalf("got %v", err)
	}
	if got := h.Get(database); got != before {
		t.Errorf("docker is %q, was %q", got, before)
	}
	s.Break("kubelet v1.20.16", false)
	if _, err := install(t.Context(), s, w); err != nil || !strings.Contains(h.Get(database), "1.1-1.el7") {
		t.Errorf("%v: docker is %q", err, h.Get(database))
	}
}

func TestProgramsOnAnotherFileSystemAreKeptAsCopies(t *testing.T) {
	s := siteUp(t)
	w := what{"etcd", "20.0.0.103"}
	h := s.Hosts[w.ip]
	h.Apart = "/opt"
	s.Bring(t, newer())
	s.Break("etcd v3.4.27", true)
	before := h.Tree(t, installer.StateDir, "/data")
	_, err := install(t.Context(), s, w)
	var back *installer.PutBackError
	if !errors.As(err, &back) || back.Back != nil {
		t.Fatalf("got %v", err)
	}
	if d := hosttest.Diff(before, h.Tree(t, installer.StateDir, "/data")); d != "" {
		t.Error(d)
	}
}

func TestAProgramThatWasChangedIsNotReplacedSinceItCouldNotBePutBack(t *testing.T) {
	s := siteUp(t)
	s.Hosts["20.0.0.103"].Put(t, "/opt/etcd/bin/etcd", "patched by hand")
	s.Bring(t, newer())
	job := prepared(t, s, what{"etcd", "20.0.0.103"})
	if got := findings(job); got != "step-conflict|" {
		t.Fatalf("findings %s", got)
	}
	if got, want := job.Findings[0].What, "/opt/etcd/bin/etcd is not as it was installed, so that it could not be put back"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// holdsOld reports whether anything of an unfinished upgrade is on a host.
func holdsOld(h *hosttest.Host) bool {
	names, err := h.ReadDir(filepath.Dir(installer.OldDir("x")))
	return err == nil && len(names) > 0
}

func TestTheNewerBundleOfTwoRolesDecidesWhatTheyShare(t *testing.T) {
	s := mastersUpgraded(t) // its etcd, too; node02's node is old
	s.Table = append(s.Table, bundle.Host{Name: "node03", IP: "20.0.0.105", Roles: []string{"node"}, NodeName: "20.0.0.105"})
	s.Bring(t, sitetest.Versions{Kube: "v1.20.16", Etcd: "v3.4.27", Serial: 9}) // a host more: /etc/hosts differs
	w := what{"node", "20.0.0.104"}
	h := s.Hosts[w.ip]
	if _, err := install(t.Context(), s, w); err != nil {
		t.Fatal(err)
	}
	s.Bring(t, newer())
	for _, again := range []func() (installer.Outcome, error){
		func() (installer.Outcome, error) { return s.Session(w.ip).Resume(t.Context()) },
		func() (installer.Outcome, error) { return install(t.Context(), s, what{"etcd", w.ip}) },
	} {
		o, err := again()
		if err != nil || o.Changed != 0 {
			t.Errorf("%d steps changed the host: %v", o.Changed, err)
		}
		if !strings.Contains(h.Get("/etc/hosts"), "node03") {
			t.Error("the older role took the newer one's host away")
		}
	}
	if v, err := s.Session(w.ip).Verify(t.Context()); err != nil || len(v.Differences) > 0 {
		t.Errorf("verify: %v %+v", err, v.Differences)
	}
	if got := s.Runs(w.ip, "etcd") + " " + s.Runs(w.ip, "kubelet"); got != "v3.4.27 v1.20.16" {
		t.Errorf("running: %s", got)
	}
	if _, err := s.Session(w.ip).Uninstall(t.Context(), installer.UninstallRequest{Role: "node"}); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Session(w.ip).Verify(t.Context()); err != nil || len(v.Differences) > 0 {
		t.Errorf("verify without the node: %v %+v", err, v.Differences)
	}
}
