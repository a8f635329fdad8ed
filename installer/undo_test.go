package installer

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"offgrid/bundle/progress"
	"offgrid/installer/host"
	"offgrid/installer/hosttest"
)

// undoCase installs steps, lets an administrator work, uninstalls, and looks at a file.
type undoCase struct {
	steps []Step
	admin map[string]string // content by name
	want  map[string]string // content by name after the undo; "-" is not there
	note  string            // part of what undo says
}

func (c undoCase) run(t *testing.T) {
	t.Helper()
	h := busyHost(t)
	must(t, applyAll(h, "node", c.steps))
	for name, content := range c.admin {
		h.Put(t, name, content)
	}
	notes, err := undoAll(h, false)
	must(t, err)
	for name, want := range c.want {
		got := h.Get(name)
		if there, err := host.Exists(h, name); err != nil || !there {
			got = "-"
		}
		if got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if said := strings.Join(notes, "\n"); !strings.Contains(said, c.note) || c.note == "" && said != "" {
		t.Errorf("undo said %q, want %q", said, c.note)
	}
}

func TestUndoKeepsWhatAnAdministratorWrote(t *testing.T) {
	for name, c := range map[string]undoCase{
		"a file of ours is saved beside": {
			steps: []Step{fileStep("/etc/motd", "new", 0o644)},
			admin: map[string]string{"/etc/motd": "mine"},
			want:  map[string]string{"/etc/motd": "old", "/etc/motd.offgrid-saved": "mine"},
			note:  "your version is kept as /etc/motd.offgrid-saved",
		},
		"a saved file keeps its directory": {
			steps: []Step{&DirStep{Path: "/opt/etcd"}, &DirStep{Path: "/opt/etcd/bin"}, fileStep("/opt/etcd/cfg", "new", 0o644)},
			admin: map[string]string{"/opt/etcd/cfg": "mine"},
			want:  map[string]string{"/opt/etcd/cfg": "-", "/opt/etcd/cfg.offgrid-saved": "mine", "/opt/etcd/bin": "-"},
			note:  "/opt/etcd stays",
		},
		"only the block leaves a file": {
			steps: []Step{&BlockStep{Path: "/etc/motd", Name: "hosts", Lines: []string{"20.0.0.100 master01"}}},
			admin: map[string]string{"/etc/motd": "first\n# offgrid hosts begin\nchanged\n# offgrid hosts end\nlast\n"},
			want:  map[string]string{"/etc/motd": "first\nlast\n"},
			note:  "only our part",
		},
		"a block alone leaves no file": {
			steps: []Step{&BlockStep{Path: "/etc/none", Name: "x", Lines: []string{"y"}}},
			want:  map[string]string{"/etc/none": "-"},
		},
		"the key is set back and other edits stay": {
			steps: []Step{&KeyStep{Path: "/etc/selinux/config", Key: "SELINUX", Value: "permissive"}},
			admin: map[string]string{"/etc/selinux/config": "SELINUX=permissive\nSELINUXTYPE=mls\n"},
			want:  map[string]string{"/etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=mls\n", "/.autorelabel": "-"},
			note:  "only our part",
		},
		"a key set to something else stays": {
			steps: []Step{&KeyStep{Path: "/etc/selinux/config", Key: "SELINUX", Value: "permissive"}},
			admin: map[string]string{"/etc/selinux/config": "SELINUX=disabled\n"},
			want:  map[string]string{"/etc/selinux/config": "SELINUX=disabled\n"},
		},
		"marks leave fstab and new lines stay": {
			steps: []Step{&FstabSwapStep{}},
			admin: map[string]string{"/etc/fstab": "#offgrid# /dev/sdb swap swap defaults 0 0\n/dev/sdc /data xfs defaults 0 0\n"},
			want:  map[string]string{"/etc/fstab": "/dev/sdb swap swap defaults 0 0\n/dev/sdc /data xfs defaults 0 0\n"},
			note:  "only our part",
		},
		"only our keys leave a JSON file": {
			steps: []Step{&JSONMergeStep{Path: "/etc/docker/daemon.json", Values: []byte(`{"a": 1, "log-opts": {"max-size": "500m"}, "b": [2]}`)}},
			admin: map[string]string{"/etc/docker/daemon.json": `{"debug": false, "a": 1, "b": [3], "log-opts": {"labels": "x", "max-size": "500m"}}`},
			want:  map[string]string{"/etc/docker/daemon.json": "{\n  \"b\": [\n    3\n  ],\n  \"debug\": false,\n  \"log-opts\": {\n    \"labels\": \"x\"\n  }\n}\n"},
			note:  "only our part",
		},
		"a JSON file that was there stays JSON": {
			steps: []Step{&JSONMergeStep{Path: "/etc/docker/daemon.json", Values: []byte(`{"a": 1}`)}},
			admin: map[string]string{"/etc/docker/daemon.json": `{ "a": 1 }`},
			want:  map[string]string{"/etc/docker/daemon.json": "{}\n"},
			note:  "only our part",
		},
		"a setting that somebody else set stays": {
			steps: []Step{&SysctlStep{Key: "vm.swappiness", Value: "0"}},
			admin: map[string]string{"/proc/sys/vm/swappiness": "10\n"},
			want:  map[string]string{"/proc/sys/vm/swappiness": "10\n"},
			note:  `vm.swappiness was set to "10" since`,
		},
		"data stays": {
			steps: []Step{&DirStep{Path: "/var/lib/etcd", Keep: KeepData}},
			admin: map[string]string{"/var/lib/etcd/member": "data"},
			want:  map[string]string{"/var/lib/etcd/member": "data"},
			note:  "/var/lib/etcd holds data and stays; when nobody needs it any more: rm -rf /var/lib/etcd",
		},
		"a filled directory stays": {
			steps: []Step{&DirStep{Path: "/etc/cni", Keep: KeepFilled}},
			admin: map[string]string{"/etc/cni/mine": "x"},
			want:  map[string]string{"/etc/cni/mine": "x"},
			note:  "is not empty and stays",
		},
		"a host that was renamed keeps its name": {
			steps: []Step{&HostnameStep{Name: "node01"}},
			admin: map[string]string{"/etc/hostname": "other\n"},
			want:  map[string]string{"/etc/hostname": "other\n"},
			note:  "the host was named other since",
		},
		"SELinux comes back with labels": {
			steps: []Step{&KeyStep{Path: "/etc/selinux/config", Key: "SELINUX", Value: "disabled"}},
			want:  map[string]string{"/.autorelabel": ""},
			note:  "the next boot, which is slow",
		},
	} {
		t.Run(name, c.run)
	}
}

func TestWhatAnAdministratorAddedOutlivesTheDirectoryOfTheFile(t *testing.T) {
	undoCase{
		steps: []Step{&DirStep{Path: "/opt/docker"}, &JSONMergeStep{Path: "/opt/docker/daemon.json", Values: []byte(`{"a": 1}`)}},
		admin: map[string]string{"/opt/docker/daemon.json": `{"a": 1, "debug": true}`},
		want:  map[string]string{"/opt/docker/daemon.json": "-", "/opt/docker/daemon.json.offgrid-saved": "{\n  \"debug\": true\n}\n"},
		note:  "your version is kept as /opt/docker/daemon.json.offgrid-saved",
	}.run(t)
}

func TestAnEditBetweenTwoRunsIsNotLostByUndo(t *testing.T) {
	h := busyHost(t)
	step := func(name string) []Step {
		return []Step{&BlockStep{Path: "/etc/hosts", Name: "hosts", Lines: []string{"20.0.0.100 " + name}}}
	}
	must(t, applyAll(h, "node", step("a")))
	h.Put(t, "/etc/hosts", h.Get("/etc/hosts")+"10.0.0.1 mine\n")
	must(t, applyAll(h, "node", step("b")))
	if _, err := undoAll(h, false); err != nil {
		t.Fatal(err)
	}
	want := "127.0.0.1   localhost localhost.localdomain\n::1         localhost localhost.localdomain\n10.0.0.1 mine\n"
	if got := h.Get("/etc/hosts"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhatTwoRolesNeedGoesWithTheLast(t *testing.T) {
	h := busyHost(t)
	before := h.Tree(t)
	shared := func() Step { return fileStep("/etc/motd", "new", 0o644) }
	must(t, applyAll(h, "etcd", []Step{shared(), fileStep("/etc/etcd", "e", 0o644)}))
	must(t, applyAll(h, "node", []Step{shared(), fileStep("/etc/node", "n", 0o644)}))
	undo := func(role string) (res UndoResult) {
		must(t, session(h, func(j *Journal) (err error) {
			res, err = Undo(t.Context(), UndoOptions{Host: h, Journal: j, Role: role})
			return err
		}))
		return res
	}
	res := undo("etcd")
	if got := h.Get("/etc/motd") + h.Get("/etc/etcd") + h.Get("/etc/node"); got != "newn" || strings.Join(res.Shared, " ") != "file:/etc/motd" {
		t.Errorf("after etcd went: %q, %+v", got, res)
	}
	if res := undo("etcd"); len(res.Undone)+len(res.Shared) != 0 {
		t.Errorf("a second time: %+v", res)
	}
	undo("node")
	if d := hosttest.Diff(before, h.Tree(t)); d != "" {
		t.Error(d)
	}
}

func TestUndoGoesOnPastAnErrorAndASecondOneEndsIt(t *testing.T) {
	h := busyHost(t)
	before := h.Tree(t)
	must(t, applyAll(h, "node", []Step{fileStep("/etc/motd", "new", 0o644), dockerPackages(), fileStep("/etc/new", "n", 0o644)}))
	h.Script("rpm -e", hosttest.Fails(1, "error: Failed dependencies:\n\tdocker-ce is needed by (installed) theirs"))
	_, err := undoAll(h, false)
	if err == nil || !strings.Contains(err.Error(), "docker-ce is needed by (installed) theirs") {
		t.Fatalf("error is %v", err)
	}
	if got := h.Get("/etc/motd") + h.Get("/etc/new"); got != "old" {
		t.Errorf("it stopped at the error: %q", got)
	}
	h.Script("rpm -e", nil)
	if _, err := undoAll(h, false); err != nil {
		t.Fatal(err)
	}
	if d := hosttest.Diff(before, h.Tree(t)); d != "" {
		t.Error(d)
	}
}

func TestFirewallRulesAreLeftAloneBesideDocker(t *testing.T) {
	h := busyHost(t)
	must(t, applyAll(h, "node", []Step{&FlushStep{}}))
	h.Unit(t, "docker.service", true, true)
	rules := "*nat\n:DOCKER - [0:0]\nCOMMIT\n"
	h.Put(t, "/run/hosttest/iptables/nat", rules)
	must(t, applyAll(h, "node", []Step{&FlushStep{}}))
	notes, err := undoAll(h, false)
	if err != nil || h.Get("/run/hosttest/iptables/nat") != rules || !strings.Contains(strings.Join(notes, ""), "docker.service runs") {
		t.Errorf("rules %q, said %q, %v", h.Get("/run/hosttest/iptables/nat"), notes, err)
	}
}

func TestMountsAreUnmountedBeforeADirectoryIsRemoved(t *testing.T) {
	h := busyHost(t)
	must(t, applyAll(h, "node", []Step{&DirStep{Path: "/var/lib/kubelet"}}))
	h.Put(t, "/var/lib/kubelet/pods/a b/x", "secret")
	mounts := h.Get("/proc/self/mounts")
	h.Put(t, "/proc/self/mounts", mounts+"tmpfs /var/lib/kubelet/pods/a\\040b tmpfs rw 0 0\ntmpfs /var/lib/kubelet2 tmpfs rw 0 0\n")
	h.Script("umount", func(_ string, argv []string) (string, error) {
		return "", hosttest.Exit(argv, 32, "", "target is busy")
	})
	_, err := undoAll(h, false)
	if err == nil || !strings.Contains(err.Error(), "unmounting /var/lib/kubelet/pods/a b") || h.Get("/var/lib/kubelet/pods/a b/x") == "" {
		t.Fatalf("error is %v", err)
	}
	h.Script("umount", nil)
	if _, err := undoAll(h, false); err != nil {
		t.Fatal(err)
	}
	if got := h.Get("/proc/self/mounts"); got != mounts+"tmpfs /var/lib/kubelet2 tmpfs rw 0 0\n" || h.Get("/var/lib/kubelet/pods/a b/x") != "" {
		t.Errorf("mounts: %q", got)
	}
}

func TestAnInterruptFinishesTheStepAtWorkAndStops(t *testing.T) {
	h := busyHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	h.Script("rpm -U --test", func(string, []string) (string, error) { cancel(); return "", nil })
	var ran []string
	err := session(h, func(j *Journal) error {
		res, err := Apply(ctx, ApplyOptions{Host: h, Journal: j, Role: "node", Steps: []Step{dockerPackages(), fileStep("/etc/motd", "new", 0o644)}})
		ran = res.Changed
		for _, c := range j.Claims() {
			if !c.Done {
				t.Errorf("%s was left half done", c.Step)
			}
		}
		return err
	})
	if !errors.Is(err, context.Canceled) || strings.Join(ran, " ") != "packages:docker" || h.Get("/etc/motd") != "old" {
		t.Errorf("ran %v, error %v", ran, err)
	}
}

func TestAPendingStepEndsTheRunWithoutAnErrorAndLeavesNoRecord(t *testing.T) {
	h := busyHost(t)
	wait := &WaitStep{Name: "etcd", Probe: func(context.Context, host.Host) (Status, error) {
		return Status{State: Pending, Why: "waiting for etcd02 (20.0.0.103)"}, nil
	}}
	var waited []string
	report := func(e progress.Event) {
		if e.Kind == progress.Wait {
			waited = append(waited, e.Text)
		}
	}
	must(t, session(h, func(j *Journal) error {
		res, err := Apply(t.Context(), ApplyOptions{Host: h, Journal: j, Role: "etcd", Steps: []Step{wait, fileStep("/etc/motd", "new", 0o644)}, Report: report})
		if res.Done || strings.Join(res.Waiting, ";") != "waiting for etcd02 (20.0.0.103)" || len(j.Records()) != 0 {
			t.Errorf("%+v, %d records", res, len(j.Records()))
		}
		return err
	}))
	if len(waited) != 1 || h.Get("/etc/motd") != "old" {
		t.Errorf("reported %q, went on: %v", waited, h.Get("/etc/motd"))
	}
}

func TestAStepThatFailsIsRecordedAndIsStillOurs(t *testing.T) {
	h := busyHost(t)
	bad := fileStep("/etc/motd", "new", 0o644)
	bad.Size = 2
	err := applyAll(h, "node", []Step{bad})
	var failed *StepError
	if !errors.As(err, &failed) || failed.Step != "file:/etc/motd" || !strings.Contains(err.Error(), "longer than the 2 bytes") {
		t.Fatalf("error is %v", err)
	}
	j, err := ReadJournal(filepath.Join(h.Root, StateDir, journalName))
	must(t, err)
	recs := j.Records()
	if len(recs) != 2 || recs[1].Event != Failed || len(j.Claims()) != 1 || h.Get("/etc/motd") != "old" {
		t.Errorf("records %+v", recs)
	}
}

func TestSystemdForgetsTheUnitFilesThatGo(t *testing.T) {
	h := busyHost(t)
	must(t, applyAll(h, "etcd", kinds(nil)["unit"]()))
	h.Ran = nil
	if _, err := undoAll(h, false); err != nil {
		t.Fatal(err)
	}
	last := ""
	for _, line := range h.Ran {
		if strings.HasPrefix(line, "systemctl") && !strings.HasPrefix(line, "systemctl show") {
			last = line
		}
	}
	if last != "systemctl daemon-reload" {
		t.Errorf("the last thing that systemd was told is %q: %q", last, h.Ran)
	}
}
