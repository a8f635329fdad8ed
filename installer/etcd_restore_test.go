package installer_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"offgrid/installer"
	"offgrid/installer/host"
	"offgrid/installer/hosttest"
	"offgrid/installer/sitetest"
)

// systemctl is what an operator types on a host.
func systemctl(t testing.TB, s *sitetest.Site, ip string, args ...string) {
	t.Helper()
	if _, err := s.Hosts[ip].Run(t.Context(), nil, append([]string{"systemctl"}, args...)...); err != nil {
		t.Fatal(err)
	}
}

// yesterday takes a snapshot on the first member, lets the cluster go on, and copies the snapshot to every member.
func yesterday(t *testing.T, s *sitetest.Site, e *sitetest.Etcd) (file string) {
	t.Helper()
	res, err := e.Session("20.0.0.100").Snapshot(t.Context(), installer.SnapshotRequest{})
	if err != nil {
		t.Fatal(err)
	}
	e.Text, e.Revision = "new objects", 99
	for _, ip := range etcdIPs()[1:] {
		for _, name := range []string{res.File, res.File + ".json"} {
			s.Hosts[ip].Put(t, name, s.Hosts["20.0.0.100"].Get(name))
		}
	}
	return res.File
}

func restore(t *testing.T, e *sitetest.Etcd, ip string, req installer.RestoreRequest) (installer.RestoreResult, error) {
	t.Helper()
	session := e.Session(ip)
	job, err := session.PrepareRestore(t.Context(), req)
	if err != nil {
		return installer.RestoreResult{}, err
	}
	defer job.Close()
	return session.Restore(t.Context(), job)
}

func TestARestoreIsRefusedWhileAnythingWorksOnTheData(t *testing.T) {
	s, e := runningEtcd(t)
	for _, w := range []what{{"master", "20.0.0.100"}, {"master", "20.0.0.101"}} {
		if _, err := installOn(t.Context(), e.Session(w.ip), s, w); err != nil {
			t.Fatal(err)
		}
	}
	req := installer.RestoreRequest{File: yesterday(t, s, e)}
	want := [][]string{
		{"etcd on node01 (20.0.0.103)", "etcd on node02 (20.0.0.104)", "etcd on this host", "kube-apiserver on this host", "kube-apiserver on master02 (20.0.0.101)"},
		{"etcd on node01 (20.0.0.103)", "etcd on node02 (20.0.0.104)", "kube-apiserver on this host", "kube-apiserver on master02 (20.0.0.101)"},
		{"etcd on node02 (20.0.0.104)", "kube-apiserver on this host"},
	}
	stop := []string{"20.0.0.100", "20.0.0.103"}
	for i, running := range want {
		var refused *installer.RestoreRefusedError
		_, err := restore(t, e, "20.0.0.100", req)
		if !errors.As(err, &refused) || !slices.Equal(refused.Running, running) {
			t.Fatalf("refused with %v, want %q", err, running)
		}
		if i == 0 {
			text := strings.Join(refused.Steps, "\n")
			const all = `on master01 (20.0.0.100), master02 (20.0.0.101): systemctl stop kube-apiserver kube-controller-manager kube-scheduler
on master01 (20.0.0.100), node01 (20.0.0.103), node02 (20.0.0.104): systemctl stop etcd
copy /data/backup/etcd-20260301T120000Z-r51.db and /data/backup/etcd-20260301T120000Z-r51.db.json to the same place on master01 (20.0.0.100), node01 (20.0.0.103), node02 (20.0.0.104)
on each of master01 (20.0.0.100), node01 (20.0.0.103), node02 (20.0.0.104), one after the other: /var/lib/offgrid/install etcd restore /data/backup/etcd-20260301T120000Z-r51.db
when all members are restored, on master01 (20.0.0.100), master02 (20.0.0.101): systemctl start kube-apiserver kube-controller-manager kube-scheduler
on node01 (20.0.0.103), node02 (20.0.0.104), and on every node that joined later: systemctl restart kubelet kube-proxy`
			if text != all {
				t.Errorf("the steps are\n%s\nwant\n%s", text, all)
			}
		}
		if i < len(stop) {
			systemctl(t, s, stop[i], "stop", "etcd.service")
		}
	}
}

func TestThreeMembersAreRestoredOneAfterTheOther(t *testing.T) {
	s, e := runningEtcd(t)
	req := installer.RestoreRequest{File: yesterday(t, s, e)}
	for _, ip := range etcdIPs() {
		systemctl(t, s, ip, "stop", "etcd.service")
		if err := s.Hosts[ip].Mkdir("/var/lib/etcd/default.etcd/member/old", host.Meta{Mode: 0o700}); err != nil {
			t.Fatal(err)
		}
	}
	waiting := []string{"waiting for etcd: 2 of 3 members are needed; not known to be restored yet: etcd02 on node01 (20.0.0.103), etcd03 on node02 (20.0.0.104)", "", ""}
	for i, ip := range etcdIPs() {
		res, err := restore(t, e, ip, req)
		if err != nil {
			t.Fatalf("%s: %v", ip, err)
		}
		if got := strings.Join(res.Waiting, "; "); got != waiting[i] {
			t.Errorf("%s waits: %q, want %q", ip, got, waiting[i])
		}
		h := s.Hosts[ip]
		const data = "/var/lib/etcd/default.etcd"
		if e.Restored(ip) != hosttest.Database(51, "old objects") {
			t.Errorf("%s holds %q", ip, e.Restored(ip))
		}
		if there, _ := h.ReadDir(data + ".before-restore-20260301T120000Z/member"); !slices.Contains(there, "old") {
			t.Errorf("%s: the data from before is not kept: %q", ip, there)
		}
		if user, group, err := h.Owner(data + "/member/snap/db"); user != "etcd" || group != "etcd" || err != nil {
			t.Errorf("%s: the data belongs to %s:%s, %v", ip, user, group, err)
		}
		names, _ := h.ReadDir("/var/lib/etcd")
		if want := []string{"default.etcd", "default.etcd.before-restore-20260301T120000Z", "default.etcd.cluster"}; !slices.Equal(names, want) {
			t.Errorf("%s: /var/lib/etcd has %q, want %q", ip, names, want)
		}
	}
	for _, ip := range etcdIPs() { // once more: nothing is to be done, and nothing is lost
		res, err := restore(t, e, ip, req)
		if err != nil || len(res.Waiting) > 0 {
			t.Errorf("%s: a second time: %v %+v", ip, err, res)
		}
		if o, err := e.Session(ip).Resume(t.Context()); err != nil || !o.Done {
			t.Errorf("%s: resuming afterwards: %v %+v", ip, err, o)
		}
	}
}

func TestASnapshotThatIsNotWhatItsRecordSaysIsRefused(t *testing.T) {
	s, e := runningEtcd(t)
	file := yesterday(t, s, e)
	for _, ip := range etcdIPs() {
		systemctl(t, s, ip, "stop", "etcd.service")
	}
	h := s.Hosts["20.0.0.103"]
	text, record := h.Get(file), h.Get(file+".json")
	for name, c := range map[string]struct{ text, record, want string }{
		"a flipped byte":  {strings.Replace(text, "old", "olb", 1), record, "is damaged, or not the file that its record is about"},
		"another cluster": {text, strings.Replace(record, `"cluster":"0123`, `"cluster":"9123`, 1), "is of another cluster, plant (id 9123456789abcdef0123456789abcdef)"},
		"a newer record":  {text, strings.Replace(record, `"format":0`, `"format":1`, 1), "format 1 is newer than this installer"},
		"other members":   {text, strings.ReplaceAll(record, "20.0.0.103", "20.0.0.109"), "etcd02 is not among the members that the snapshot is restored to"},
	} {
		h.Put(t, file, c.text)
		h.Put(t, file+".json", c.record)
		before := h.Tree(t)
		if _, err := restore(t, e, "20.0.0.103", installer.RestoreRequest{File: file}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if d := hosttest.Diff(before, h.Tree(t)); d != "" {
			t.Errorf("%s: changed\n%s", name, d)
		}
	}
	h.Put(t, file, text)
	if err := h.Remove(file + ".json"); err != nil {
		t.Fatal(err)
	}
	if _, err := restore(t, e, "20.0.0.103", installer.RestoreRequest{File: file}); err == nil || !strings.Contains(err.Error(), "has no record beside it") {
		t.Errorf("without a record: %v", err)
	}
	if _, err := restore(t, e, "20.0.0.103", installer.RestoreRequest{File: file, Unrecorded: true}); err != nil {
		t.Errorf("without a record, as told: %v", err)
	}
}

// TestARestoreThatIsKilledAnywhereEndsRight kills a restore before and after every change that it makes, and runs it again.
func TestARestoreThatIsKilledAnywhereEndsRight(t *testing.T) {
	for name, mounts := range map[string]string{"a directory": "", "a file system of its own": "/dev/sdb1 /var/lib/etcd/default.etcd xfs rw 0 0\n"} {
		t.Run(name, func(t *testing.T) {
			s, e := runningEtcd(t)
			req := installer.RestoreRequest{File: yesterday(t, s, e)}
			for _, ip := range etcdIPs() {
				systemctl(t, s, ip, "stop", "etcd.service")
			}
			const ip = "20.0.0.104"
			own := s.Hosts[ip]
			own.Put(t, "/proc/self/mounts", mounts)
			use := func(h *hosttest.Host) {
				s.Hosts[ip] = h
				e.Attach(ip)
			}
			run := func() {
				if _, err := restore(t, e, ip, req); err != nil {
					t.Fatal(err)
				}
			}
			written := []string{installer.StateDir + "/journal.jsonl", installer.StateDir + "/lock"}
			var want hosttest.Tree
			kills := own.Kills(t, written, run, func(left *hosttest.Host, n int, after bool) {
				use(left)
				run()
				tree := left.Tree(t, written...)
				if want == nil {
					want = tree
				}
				if d := hosttest.Diff(want, tree); d != "" || e.Restored(ip) != hosttest.Database(51, "old objects") {
					t.Errorf("killed at change %d, after it: %v, and run again, with the data %q:\n%s", n, after, e.Restored(ip), d)
				}
				use(own)
			})
			if d := hosttest.Diff(want, own.Tree(t, written...)); d != "" {
				t.Errorf("without a kill:\n%s", d)
			}
			if kills < 24 {
				t.Errorf("only %d kills were tried", kills)
			}
		})
	}
}
