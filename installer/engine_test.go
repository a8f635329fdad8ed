package installer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"offgrid/bundle"
	"offgrid/bundle/progress"
	"offgrid/installer/host"
	"offgrid/installer/hosttest"
)

// session is one run of the installer on a fake host: it holds the lock and the journal, and gives both back even when the
// host dies.
func session(h *hosttest.Host, work func(j *Journal) error) (err error) {
	dir := filepath.Join(h.Root, StateDir)
	lock, err := LockState(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	j, err := lock.Journal(JournalOptions{Installer: "test", Run: "r1", Now: func() time.Time { return time.Unix(1700000000, 0) }})
	if err != nil {
		return err
	}
	defer j.Close()
	return work(j)
}

// applyAll applies steps as one role.
func applyAll(h *hosttest.Host, role string, steps []Step) error {
	return session(h, func(j *Journal) error {
		res, err := Apply(context.Background(), ApplyOptions{Host: h, Journal: j, Role: role, Steps: steps})
		if err == nil && !res.Done {
			err = errors.New("still waiting for " + strings.Join(res.Waiting, ", "))
		}
		return err
	})
}

// undoAll takes everything back and returns what it had to say.
func undoAll(h *hosttest.Host, purge bool) (notes []string, err error) {
	err = session(h, func(j *Journal) error {
		_, err := Undo(context.Background(), UndoOptions{Host: h, Journal: j, PurgeData: purge, Report: func(e progress.Event) {
			if e.Kind == progress.Note {
				notes = append(notes, e.Text)
			}
		}})
		return err
	})
	return notes, err
}

// crashSteps tries a plan with a crash at every change. steps makes it anew for each run, as a new process would.
func crashSteps(t *testing.T, newHost func(t testing.TB) *hosttest.Host, steps func() []Step) int {
	t.Helper()
	return hosttest.CrashTest{
		New:   newHost,
		Apply: func(h *hosttest.Host) error { return applyAll(h, "node", steps()) },
		Undo: func(h *hosttest.Host) error {
			_, err := undoAll(h, true)
			return err
		},
		State: StateDir,
		Kept:  []string{autorelabel},
	}.Run(t)
}

// fileStep is a FileStep with its content at hand.
func fileStep(name, content string, mode uint32) *FileStep {
	return &FileStep{
		Path: name, Meta: host.Meta{Mode: 0o777 & fsMode(mode)}, Digest: bundle.DigestOf([]byte(content)), Size: int64(len(content)),
		Content: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil },
	}
}

// testBundle makes a bundle with a package, a text, a program, two packs and two images.
func testBundle(t testing.TB) *bundle.Bundle {
	t.Helper()
	stored := map[bundle.Digest][]byte{}
	in := bundle.Input{
		Role: bundle.RoleIndex{
			Role: bundle.RoleNode, Platform: bundle.Platform{OS: "linux", Arch: "amd64", Family: "el7"},
			Cluster: bundle.Cluster{ID: "0123456789abcdef0123456789abcdef", Name: "demo", Serial: 1, NotBefore: time.Unix(1700000000, 0).UTC()},
			Hosts:   []bundle.Host{{Name: "node01", IP: "20.0.0.103", Roles: []string{"node"}}, {Name: "node02", IP: "20.0.0.104", Roles: []string{"node"}}},
		},
		Packs: map[string]bundle.PackInput{"node01": {Pack: []byte(`{"host":"node01"}`)}, "node02": {Pack: []byte(`{"host":"node02"}`)}},
		Open: func(d bundle.Digest) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(stored[d])), nil
		},
	}
	for _, a := range []struct{ name, kind, content string }{
		{"a.rpm", bundle.KindPackage, "an RPM"}, {"kubelet", bundle.KindProgram, "ELF"}, {"unit/kubelet.service", bundle.KindText, "[Unit]\n"},
	} {
		var out bytes.Buffer
		blob, err := bundle.Encode(t.Context(), strings.NewReader(a.content), &out, 1)
		if err != nil {
			t.Fatal(err)
		}
		stored[blob.Stored] = out.Bytes()
		in.Role.Artifacts = append(in.Role.Artifacts, bundle.Artifact{Name: a.name, Version: "v1", Kind: a.kind, Source: "rendered", Vouched: "test", Blob: blob})
	}
	testImages(&in, stored)
	var file bytes.Buffer
	if _, err := bundle.Write(t.Context(), &file, in); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "node.bundle")
	must(t, os.WriteFile(name, file.Bytes(), 0o600))
	b, err := bundle.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// busyHost is a host on which every kind of step has something to change.
func busyHost(t testing.TB) *hosttest.Host {
	h := hosttest.New(t)
	h.Unit(t, "firewalld.service", true, true)
	h.Put(t, "/etc/same", "same")
	h.Put(t, "/etc/motd", "old")
	h.Put(t, "/etc/big", strings.Repeat("big", 5000))
	h.Put(t, "/etc/hostname", "localhost.localdomain") // hostnamectl would write a newline
	h.Put(t, "/mnt/usb/install", "the installer")
	h.Put(t, "/mnt/usb/docker.rpm", hosttest.Package{Name: "docker-ce", EVR: "3:20.10.24-3.el7", Arch: "x86_64", Requires: []string{"containerd.io", "bash"}, Units: []string{"docker.service"}}.File())
	h.Put(t, "/mnt/usb/containerd.rpm", hosttest.Package{Name: "containerd.io", EVR: "1.6.33-3.1.el7", Arch: "x86_64"}.File())
	h.Put(t, "/var/lib/rpm/hosttest/bash.x86_64", hosttest.Package{Name: "bash", EVR: "4.2.46-35.el7", Arch: "x86_64"}.File())
	h.DockerImage(t, "another image of that name", "busybox:1.28.4")
	h.Put(t, "/etc/docker/daemon.json", "{\"debug\": true, \"log-opts\": {\"labels\": \"x\"}}")
	h.Put(t, "/run/hosttest/iptables/filter", "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:IN_public - [0:0]\n-A INPUT -j IN_public\nCOMMIT\n")
	if err := h.Symlink("/old", "/usr/local/bin/kubectl"); err != nil {
		t.Fatal(err)
	}
	h.Revive()
	return h
}

// kinds is every kind of step, one plan for each.
func kinds(b *bundle.Bundle) map[string]func() []Step {
	return map[string]func() []Step{
		"carry": func() []Step {
			return []Step{&CarryStep{Bundle: b, Executable: "/mnt/usb/install", Role: "node", IP: "20.0.0.103", Host: "node01"}}
		},
		"keep": func() []Step {
			old := bundle.DigestOf([]byte("old"))
			carry := &CarryStep{Bundle: b, Executable: "/mnt/usb/install", Role: "node", IP: "20.0.0.103", Host: "node01"}
			return []Step{carry, &KeepStep{Role: "node", Record: upgradeRecord{Role: "node", IP: "20.0.0.103", State: upgradeBegun,
				Programs: []keptProgram{{Path: "/etc/motd", Digest: old}}, Ailing: []string{}, Added: []string{}, Gone: []string{}}}}
		},
		"file": func() []Step {
			return []Step{
				fileStep("/etc/same", "same", 0o644), fileStep("/etc/motd", "new", 0o600), fileStep("/etc/big", "small", 0o644),
				fileStep("/usr/bin/kubelet", strings.Repeat("ELF", 9000), 0o755), fileStep("/usr/local/bin/kubectl", "no link", 0o755),
			}
		},
		"secret file": func() []Step {
			s := fileStep("/etc/motd", "new", 0o600)
			s.Secret = true
			return []Step{s}
		},
		"dir": func() []Step {
			return []Step{
				&DirStep{Path: "/opt/etcd", Meta: host.Meta{Mode: 0o755}}, &DirStep{Path: "/opt/etcd/ssl", Meta: host.Meta{Mode: 0o700}},
				fileStep("/opt/etcd/ssl/ca.pem", "ca", 0o644), &DirStep{Path: "/var/lib/etcd", Keep: KeepData},
				&DirStep{Path: "/etc/cni", Keep: KeepFilled}, &DirStep{Path: "/opt", Meta: host.Meta{Mode: 0o711}},
			}
		},
		"link": func() []Step {
			return []Step{&LinkStep{Path: "/usr/local/bin/kubectl", Target: "/opt/kubernetes/bin/kubectl"}, &LinkStep{Path: "/usr/local/bin/etcdctl", Target: "/x"}}
		},
		"block": func() []Step {
			return []Step{&BlockStep{Path: "/etc/hosts", Name: "hosts", Lines: []string{"20.0.0.100 master01"}}, &BlockStep{Path: "/etc/none", Name: "x", Lines: []string{"y"}}}
		},
		"key":     func() []Step { return []Step{&KeyStep{Path: "/etc/selinux/config", Key: "SELINUX", Value: "disabled"}} },
		"fstab":   func() []Step { return []Step{&FstabSwapStep{}} },
		"swapoff": func() []Step { return []Step{&SwapoffStep{}} },
		"sysctl":  func() []Step { return []Step{&SysctlStep{Key: "net.ipv4.ip_forward", Value: "1"}} },
		"settings": func() []Step {
			forward := map[string]string{"/proc/sys/net/ipv4/ip_forward": "1", "/sys/module/none/parameters/x": "1"}
			return []Step{&SettingsStep{Unit: "kube-proxy.service", Sets: forward}, &SysctlStep{Key: "net.ipv4.ip_forward", Value: "1"}}
		},
		"module":   func() []Step { return []Step{&ModuleStep{Name: "br_netfilter"}, &ModuleStep{Name: "overlay"}} },
		"hostname": func() []Step { return []Step{&HostnameStep{Name: "node01"}} },
		"enforce":  func() []Step { return []Step{&EnforceStep{}} },
		"flush":    func() []Step { return []Step{&FlushStep{}} },
		"disable": func() []Step {
			return []Step{&DisableUnitStep{Unit: "firewalld.service"}, &DisableUnitStep{Unit: "NetworkManager.service"}}
		},
		"unit": func() []Step {
			unit := "[Service]\nExecStart=/usr/bin/etcd\n[Install]\nWantedBy=multi-user.target\n"
			return []Step{
				fileStep("/usr/lib/systemd/system/etcd.service", unit, 0o644),
				&UnitStep{Unit: "etcd.service", Restarts: []string{"/usr/lib/systemd/system/etcd.service", "/etc/motd"}},
			}
		},
		"packages": func() []Step { return []Step{dockerPackages()} },
		"image": func() []Step {
			steps := []Step{dockerPackages(), &UnitStep{Unit: "docker.service"}}
			for _, s := range imageSteps(&b.Role, b.Path) {
				steps = append(steps, s)
			}
			return steps
		},
		"user": func() []Step {
			return []Step{
				&UserStep{Name: "etcd", Home: "/var/lib/etcd"},
				&DirStep{Path: "/var/lib/etcd", Meta: host.Meta{Mode: 0o700, Owner: "etcd", Group: "etcd"}, Keep: KeepData},
			}
		},
		"json": func() []Step {
			return []Step{&JSONMergeStep{Path: "/etc/docker/daemon.json", Values: []byte(`{"exec-opts": ["native.cgroupdriver=systemd"], "log-opts": {"max-size": "500m"}}`)}}
		},
	}
}

// newKernelHost is a host that runs a new kernel which is not the default yet.
func newKernelHost(t testing.TB) *hosttest.Host {
	h := busyHost(t)
	h.GRUB(t)
	p := hosttest.Package{Name: "kernel-lt", EVR: "5.4.278-1.el7.elrepo", Arch: "x86_64", Kernel: pfNewKernel}
	h.Put(t, "/mnt/usb/kernel-lt.rpm", p.File())
	if _, err := h.Run(t.Context(), nil, "rpm", "-i", "/mnt/usb/kernel-lt.rpm"); err != nil {
		t.Fatal(err)
	}
	h.Put(t, "/proc/sys/kernel/osrelease", pfNewKernel+"\n")
	h.Revive()
	return h
}

// kernelKinds are kinds of steps on a host that runs a new kernel.
func kernelKinds() map[string]func() []Step {
	return map[string]func() []Step{
		kindBootDefault: func() []Step { return []Step{&BootDefaultStep{Release: pfNewKernel}} },
	}
}

func dockerPackages() *PackagesStep {
	return &PackagesStep{Set: "docker", Packages: []RPM{
		{"docker-ce", "3:20.10.24-3.el7", "x86_64", "/mnt/usb/docker.rpm", bundle.Digest{}}, {"containerd.io", "1.6.33-3.1.el7", "x86_64", "/mnt/usb/containerd.rpm", bundle.Digest{}},
	}}
}

func TestEveryKindOfStepSurvivesACrashAtEveryChange(t *testing.T) {
	b := testBundle(t)
	// Those that need a cluster around them are killed by TestAKillWhileAMemberJoinsEndsTheSame and
	// TestARestoreThatIsKilledAnywhereEndsRight; those of a kernel, between which the host starts anew, by
	// TestAKillAnywhereOnTheWayToANewKernelEndsTheSame and TestAnUninstallOnTheOldKernelLeavesNothingOfTheNewOne.
	tested := map[string]bool{kindMember: true, kindRestore: true, kindKernel: true, kindBootOnce: true, kindOldKernels: true}
	for name, steps := range kinds(b) {
		t.Run(name, func(t *testing.T) {
			t.Logf("%d crashes", crashSteps(t, busyHost, steps))
		})
		for _, s := range steps() {
			kind, _, _ := strings.Cut(s.ID(), ":")
			tested[kind] = true
		}
	}
	for name, steps := range kernelKinds() {
		t.Run(name, func(t *testing.T) {
			t.Logf("%d crashes", crashSteps(t, newKernelHost, steps))
		})
		tested[name] = true
	}
	for kind := range UndoKinds() {
		if !tested[kind] {
			t.Errorf("no crash test has a step of kind %q", kind)
		}
	}
}

// wholePlan is a node's plan with a step of every kind, in the order of a real one.
func wholePlan(b *bundle.Bundle) []Step {
	all := kinds(b)
	var steps []Step
	for _, kind := range []string{"carry", "dir", "file", "disable", "enforce", "key", "fstab", "swapoff", "flush", "hostname", "module", "sysctl",
		"block", "packages", "json", "user", "link", "unit"} {
		for _, s := range all[kind]() {
			if s.ID() != "dir:/var/lib/etcd" && s.ID() != "file:/usr/local/bin/kubectl" {
				steps = append(steps, s)
			}
		}
	}
	return append(steps, &UnitStep{Unit: "docker.service", Restarts: []string{"/etc/docker/daemon.json"}},
		&WaitStep{Name: "nothing", Probe: func(context.Context, host.Host) (Status, error) { return Status{State: Satisfied}, nil }},
		imageSteps(&b.Role, b.Path)[0],
		&ApplyStep{Name: "rbac", Manifest: "/etc/motd", Kubectl: "/usr/bin/kubelet", Kubeconfig: "/etc/same"})
}

func TestAWholePlanSurvivesACrashAtEveryChange(t *testing.T) {
	b := testBundle(t)
	newHost := func(t testing.TB) *hosttest.Host {
		h := busyHost(t)
		h.Script("/usr/bin/kubelet", hosttest.Says("")) // stands in for kubectl below
		return h
	}
	steps := func() []Step {
		plan := wholePlan(b)
		return plan[:len(plan)-1]
	}
	t.Logf("%d crashes", crashSteps(t, newHost, steps))
}

func TestWhatWasRightAlreadyIsNotOwned(t *testing.T) {
	h := busyHost(t)
	must(t, applyAll(h, "node", []Step{fileStep("/etc/same", "same", 0o644), fileStep("/etc/motd", "new", 0o644), &DirStep{Path: "/opt"}, &UserStep{Name: "root"}}))
	var owned []string
	must(t, session(h, func(j *Journal) error {
		for _, c := range j.Claims() {
			owned = append(owned, c.Step)
		}
		return nil
	}))
	if got := strings.Join(owned, " "); got != "file:/etc/motd" {
		t.Errorf("owned: %s", got)
	}
	if _, err := undoAll(h, true); err != nil {
		t.Fatal(err)
	}
	if got := h.Get("/etc/same") + " " + h.Get("/etc/motd"); got != "same old" {
		t.Errorf("after undo: %s", got)
	}
}

func TestABigValueIsKeptBesideTheJournal(t *testing.T) {
	h := busyHost(t)
	must(t, applyAll(h, "node", []Step{fileStep("/etc/big", "x", 0o644)}))
	want := strings.Repeat("big", 5000)
	if got := h.Get(beforePath(bundle.DigestOf([]byte(want)))); got != want {
		t.Errorf("before/HEX holds %d bytes", len(got))
	}
	if journal := h.Get(StateDir + "/journal.jsonl"); len(journal) > 2000 {
		t.Errorf("the journal has %d bytes", len(journal))
	}
}

func TestASecretIsNotInTheJournal(t *testing.T) {
	h := busyHost(t)
	s := fileStep("/etc/motd", "new", 0o600)
	s.Secret = true
	must(t, applyAll(h, "node", []Step{s}))
	journal := h.Get(StateDir + "/journal.jsonl")
	encoded, err := json.Marshal([]byte("old"))
	must(t, err)
	if strings.Contains(journal, strings.Trim(string(encoded), `"`)) {
		t.Errorf("the journal holds the old content:\n%s", journal)
	}
}

func fsMode(mode uint32) fs.FileMode { return fs.FileMode(mode) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// openCarried returns the root of the bundle in a directory.
func openCarried(dir string) (string, error) {
	b, err := bundle.Open(dir)
	if err != nil {
		return "", err
	}
	return b.RootDigest.String(), b.Close()
}
