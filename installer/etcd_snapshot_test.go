package installer_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"offgrid/installer"
	"offgrid/installer/hosttest"
	"offgrid/installer/sitetest"
)

// etcdIPs are the members of the table.
func etcdIPs() []string { return []string{"20.0.0.100", "20.0.0.103", "20.0.0.104"} }

// runningEtcd is a site whose three members work.
func runningEtcd(t *testing.T) (*sitetest.Site, *sitetest.Etcd) {
	t.Helper()
	s := sitetest.New(t)
	e := sitetest.NewEtcd(s)
	for _, ip := range etcdIPs() {
		if _, err := installOn(t.Context(), e.Session(ip), s, what{"etcd", ip}); err != nil {
			t.Fatal(err)
		}
	}
	return s, e
}

func TestASnapshotIsReadInFullBeforeItHasItsName(t *testing.T) {
	s, e := runningEtcd(t)
	h := s.Hosts["20.0.0.103"]
	res, err := e.Session("20.0.0.103").Snapshot(t.Context(), installer.SnapshotRequest{})
	if err != nil {
		t.Fatal(err)
	}
	const file = "/data/backup/etcd-20260301T120000Z-r51.db"
	want := hosttest.Database(51, "old objects")
	if res.File != file || h.Get(file) != want {
		t.Errorf("got %s with %q", res.File, h.Get(file))
	}
	const record = `{"format":0,"cluster":"0123456789abcdef0123456789abcdef","name":"plant","member":"etcd02","members":[` +
		`{"name":"etcd01","peer":"https://20.0.0.100:2380"},{"name":"etcd02","peer":"https://20.0.0.103:2380"},{"name":"etcd03","peer":"https://20.0.0.104:2380"}],` +
		`"revision":51,"keys":2,"hash":39,"digest":"sha256:`
	if got := h.Get(file + ".json"); !strings.HasPrefix(got, record) {
		t.Errorf("the record is %s", got)
	}
	for name, mode := range map[string]string{"/data/backup": "drwx------", file: "-rw-------", file + ".json": "-rw-------"} {
		if info, err := h.Lstat(name); err != nil || info.Mode().String() != mode {
			t.Errorf("%s: %v %v, want %s", name, info.Mode(), err, mode)
		}
	}
	_, err = e.Session("20.0.0.103").Snapshot(t.Context(), installer.SnapshotRequest{})
	if err == nil || !strings.Contains(err.Error(), "is there already, and a snapshot is never overwritten") {
		t.Errorf("a second one in the same second: %v", err)
	}
	if names, _ := h.ReadDir("/data/backup"); len(names) != 2 {
		t.Errorf("the refused one left something: %q", names)
	}
}

func TestTheTimerTakesAwayOnlyItsOwnSnapshots(t *testing.T) {
	s, e := runningEtcd(t)
	h := s.Hosts["20.0.0.100"]
	h.Put(t, "/data/backup/by-hand.db", "somebody's")
	h.Put(t, "/data/backup/.etcd01.20260228T120000.000Z.offgrid-tmp.part", "left by a kill")
	session := e.Session("20.0.0.100")
	at := s.Now()
	var removed []string
	for i := range 4 {
		session.Now = func() time.Time { return at.Add(time.Duration(i) * 24 * time.Hour) }
		timer := i != 1 // the second one is an operator's
		res, err := session.Snapshot(t.Context(), installer.SnapshotRequest{Timer: timer})
		if err != nil {
			t.Fatal(err)
		}
		removed = append(removed, res.Removed...)
	}
	if want := []string{"/data/backup/etcd-20260301T120000Z-r51.db"}; !slices.Equal(removed, want) {
		t.Errorf("removed %q, want %q", removed, want)
	}
	names, err := h.ReadDir("/data/backup")
	want := []string{"by-hand.db", "etcd-20260302T120000Z-r51.db", "etcd-20260302T120000Z-r51.db.json", "etcd-20260303T120000Z-r51.db",
		"etcd-20260303T120000Z-r51.db.json", "etcd-20260304T120000Z-r51.db", "etcd-20260304T120000Z-r51.db.json"}
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("%v\nleft %q\nwant %q", err, names, want)
	}
}

func TestASnapshotThatCannotBeLeavesNothing(t *testing.T) {
	s, e := runningEtcd(t)
	h := s.Hosts["20.0.0.100"]
	session := e.Session("20.0.0.100")
	before := h.Tree(t)
	var usage *installer.UsageError
	var down *installer.EtcdDownError
	h.Script("df -P -k /data/backup", hosttest.Says("Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 1 1 100 100% /\n"))
	if _, err := session.Snapshot(t.Context(), installer.SnapshotRequest{}); !errors.As(err, &usage) || usage.What != "/data/backup has 1 MiB free, the snapshot needs 65 MiB" {
		t.Errorf("without space: %v", err)
	}
	if err := h.RemoveAll("/data"); err != nil {
		t.Fatal(err)
	}
	if _, err := session.Snapshot(t.Context(), installer.SnapshotRequest{File: "/etc/hosts"}); !errors.As(err, &usage) {
		t.Errorf("onto a file that is there: %v", err)
	}
	h.Script("/opt/etcd/bin/etcdctl snapshot status", hosttest.Fails(1, "Error: invalid database"))
	_, err := session.Snapshot(t.Context(), installer.SnapshotRequest{File: "/root/x.db"})
	if err == nil || !strings.Contains(err.Error(), "Error: invalid database") {
		t.Errorf("one that cannot be read: %v", err)
	}
	if _, err := h.Run(t.Context(), nil, "systemctl", "stop", "etcd.service"); err != nil {
		t.Fatal(err)
	}
	if _, err := session.Snapshot(t.Context(), installer.SnapshotRequest{}); !errors.As(err, &down) {
		t.Errorf("without etcd: %v", err)
	}
	if _, err := h.Run(t.Context(), nil, "systemctl", "start", "etcd.service"); err != nil {
		t.Fatal(err)
	}
	if d := hosttest.Diff(before, h.Tree(t)); d != "" {
		t.Errorf("left behind:\n%s", d)
	}
	if _, err := s.Session("20.0.0.101").Snapshot(t.Context(), installer.SnapshotRequest{}); !errors.As(err, &usage) {
		t.Errorf("on a host that is no member: %v", err)
	}
}
