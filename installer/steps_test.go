package installer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"offgrid/bundle/hostpack"
	"offgrid/installer/host"
	"offgrid/installer/hosttest"
)

func TestWhatAStepMustNotReplaceIsAConflictThatSaysWhat(t *testing.T) {
	for name, c := range map[string]struct {
		step Step
		why  string
	}{
		"a directory where a file goes": {fileStep("/opt", "x", 0o644), "/opt is a directory"},
		"a file where a directory goes": {&DirStep{Path: "/etc/motd"}, "/etc/motd is not a directory"},
		"a link to nowhere":             {&DirStep{Path: "/usr/local/bin/kubectl"}, "is a link to what does not exist"},
		"a file where a link goes":      {&LinkStep{Path: "/etc/motd", Target: "/x"}, "/etc/motd is there and is not a link"},
		"another value in JSON": {&JSONMergeStep{Path: "/etc/docker/daemon.json", Values: []byte(`{"log-opts": {"labels": "y"}}`)},
			`/etc/docker/daemon.json has log-opts.labels = "x" where "y" is needed`},
		"no JSON at all": {&JSONMergeStep{Path: "/etc/motd", Values: []byte(`{}`)}, "/etc/motd is not a JSON object"},
		"a masked unit":  {&UnitStep{Unit: "masked.service"}, "masked.service is masked; systemctl unmask masked.service"},
	} {
		t.Run(name, func(t *testing.T) {
			h := busyHost(t)
			must(t, h.Symlink("/dev/null", "/etc/systemd/system/masked.service"))
			before := h.Tree(t)
			err := applyAll(h, "node", []Step{c.step})
			var conflict *ConflictError
			if !errors.As(err, &conflict) || !strings.Contains(conflict.Why, c.why) {
				t.Errorf("error is %v, want %q", err, c.why)
			}
			if d := hosttest.Diff(before, h.Tree(t, StateDir)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAnAdministratorsLinkToADirectoryWillDo(t *testing.T) {
	h := hosttest.New(t)
	h.Put(t, "/data/docker/", "")
	must(t, h.Symlink("/data/docker", "/var/lib/docker"))
	before := h.Tree(t)
	must(t, applyAll(h, "node", []Step{&DirStep{Path: "/var/lib/docker", Meta: host.Meta{Mode: 0o711}}, fileStep("/var/lib/docker/x", "x", 0o600)}))
	if got := h.Get("/data/docker/x"); got != "x" {
		t.Errorf("the file went elsewhere: %q", got)
	}
	if _, err := undoAll(h, true); err != nil {
		t.Fatal(err)
	}
	if d := hosttest.Diff(before, h.Tree(t)); d != "" {
		t.Error(d)
	}
}

func TestAKeyStandsExactlyOnce(t *testing.T) {
	s := &KeyStep{Path: "/x", Key: "SELINUX", Value: "disabled"}
	for in, want := range map[string]string{
		"":                                 "SELINUX=disabled\n",
		"SELINUXTYPE=targeted":             "SELINUXTYPE=targeted\nSELINUX=disabled\n",
		"# SELINUX=\nSELINUX=permissive\n": "# SELINUX=\nSELINUX=disabled\n",
		"SELINUX=a\nX=1\n SELINUX=b\n":     "SELINUX=disabled\nX=1\n",
		"SELINUX=disabled\n":               "SELINUX=disabled\n",
	} {
		got, err := s.change([]byte(in))
		if err != nil || string(got) != want {
			t.Errorf("%q became %q (%v), want %q", in, got, err, want)
		}
	}
}

func TestSwapIsCommentedOutOnce(t *testing.T) {
	in := "/dev/a / xfs defaults 0 0\n/dev/b swap swap defaults 0 0\n# /dev/c swap swap\n/dev/d none swap sw 0 0"
	want := "/dev/a / xfs defaults 0 0\n#offgrid# /dev/b swap swap defaults 0 0\n# /dev/c swap swap\n#offgrid# /dev/d none swap sw 0 0"
	once, err := commentSwap([]byte(in))
	must(t, err)
	twice, err := commentSwap(once)
	if err != nil || string(once) != want || string(twice) != want {
		t.Errorf("once:\n%s\ntwice:\n%s", once, twice)
	}
}

func TestVersionsAreOrderedAsRPMDoes(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"1.0-1", "1.0-1", 0}, {"1.0-1", "0:1.0-1", 0}, {"1:1.0-1", "2.0-1", 1}, {"1.10-1", "1.9-1", 1}, {"1.0-2", "1.0-10", -1},
		{"3.10.0-1160.el7", "3.10.0-1160.71.1.el7", -1}, {"1.0~rc1-1", "1.0-1", -1}, {"1.0a-1", "1.0-1", 1}, {"1.0.1-1", "1.0a-1", 1},
		{"1.01-1", "1.1-1", 0}, {"2_0-1", "2.0-1", 0}, {"(none):1-1", "1-1", 0}, {"a-1", "1-1", -1}, {"1.0~~-1", "1.0~-1", -1},
	} {
		if got := compareEVR(c.a, c.b); got != c.want {
			t.Errorf("compareEVR(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := compareEVR(c.b, c.a); got != -c.want {
			t.Errorf("compareEVR(%q, %q) = %d, want %d", c.b, c.a, got, -c.want)
		}
	}
}

func FuzzCompareEVR(f *testing.F) {
	f.Add("3:20.10.24-3.el7", "1.0~rc1-1")
	f.Add("~", "a1")
	f.Fuzz(func(t *testing.T, a, b string) {
		if x, y := compareEVR(a, b), compareEVR(b, a); x != -y {
			t.Errorf("compareEVR(%q, %q) is %d, the other way round %d", a, b, x, y)
		}
		if compareEVR(a, a) != 0 {
			t.Errorf("%q differs from itself", a)
		}
	})
}

func TestPackagesAreTestedBeforeTheyAreInstalled(t *testing.T) {
	h := busyHost(t)
	must(t, applyAll(h, "node", []Step{dockerPackages()}))
	var got []string
	for _, line := range h.Ran {
		if strings.HasPrefix(line, "rpm -U") {
			got = append(got, line)
		}
	}
	want := []string{"rpm -U --test /mnt/usb/docker.rpm /mnt/usb/containerd.rpm", "rpm -U /mnt/usb/docker.rpm /mnt/usb/containerd.rpm"}
	if !slices.Equal(got, want) {
		t.Errorf("ran %q, want %q", got, want)
	}
}

func TestPackagesThatFailTheTestChangeNothing(t *testing.T) {
	h := busyHost(t)
	must(t, h.Remove("/var/lib/rpm/hosttest/bash.x86_64"))
	err := applyAll(h, "node", []Step{dockerPackages()})
	if err == nil || !strings.Contains(err.Error(), "testing packages docker: rpm -U --test") || !strings.Contains(err.Error(), "bash is needed by docker-ce") {
		t.Errorf("error is %v", err)
	}
	if h.Get("/var/lib/rpm/hosttest/containerd.io.x86_64") != "" {
		t.Error("a package was installed")
	}
}

func TestANewerPackageOnTheHostIsKeptAndReported(t *testing.T) {
	h := busyHost(t)
	h.Put(t, "/var/lib/rpm/hosttest/containerd.io.x86_64", hosttest.Package{Name: "containerd.io", EVR: "1.7.0-1.el7", Arch: "x86_64"}.File())
	must(t, applyAll(h, "node", []Step{dockerPackages()}))
	st, err := dockerPackages().Check(t.Context(), h)
	if err != nil || st.State != Satisfied || st.Why != "kept, because the host's is newer: containerd.io.x86_64 0:1.7.0-1.el7" {
		t.Errorf("%+v %v", st, err)
	}
	if _, err := undoAll(h, false); err != nil || h.Get("/var/lib/rpm/hosttest/containerd.io.x86_64") == "" {
		t.Errorf("the host's own package was removed, %v", err)
	}
}

func TestAnInterruptedTransactionIsRunOverTheWholeSetAgain(t *testing.T) {
	h := busyHost(t)
	h.Script("rpm -U /mnt/usb/docker.rpm", func(_ string, argv []string) (string, error) { return "", hosttest.Exit(argv, -1, "", "killed") })
	if err := applyAll(h, "node", []Step{dockerPackages()}); err == nil {
		t.Fatal("a killed rpm was no error")
	}
	h.Script("rpm -U /mnt/usb/docker.rpm", nil)
	h.Put(t, "/var/lib/rpm/hosttest/docker-ce.x86_64", h.Get("/mnt/usb/docker.rpm"))
	h.Ran = nil
	must(t, applyAll(h, "node", []Step{dockerPackages()}))
	if want := "rpm -U --replacepkgs /mnt/usb/containerd.rpm /mnt/usb/docker.rpm"; !slices.Contains(h.Ran, want) {
		t.Errorf("ran %q, want %q among it", h.Ran, want)
	}
}

func TestAHeldRPMLockEndsWithAReason(t *testing.T) {
	h := busyHost(t)
	h.Script("rpm -U", hosttest.Fails(-1, "killed"))
	err := runRPM(t.Context(), h, time.Nanosecond, []string{"rpm", "-U", "x"})
	if err == nil || !strings.Contains(err.Error(), "another rpm or yum may hold /var/lib/rpm/.rpm.lock") {
		t.Errorf("error is %v", err)
	}
}

func TestAUnitIsRestartedOnlyWhenAFileOfItsChanged(t *testing.T) {
	h := busyHost(t)
	h.Unit(t, "docker.service", true, true)
	step := func() []Step {
		return []Step{&UnitStep{Unit: "docker.service", Restarts: []string{"/etc/docker/daemon.json", "/etc/motd"}}}
	}
	count := func() (n int) {
		for _, line := range h.Ran {
			if line == "systemctl restart --no-block docker.service" {
				n++
			}
		}
		return n
	}
	for i, change := range []string{"ran before we came", "", "", "changed", ""} {
		if change == "changed" {
			h.Put(t, "/etc/motd", change)
		}
		must(t, applyAll(h, "node", step()))
		if want := []int{1, 1, 1, 2, 2}[i]; count() != want {
			t.Errorf("run %d: %d restarts, want %d", i, count(), want)
		}
	}
}

func TestAUnitThatWaitsForItsPeersCountsAsStarted(t *testing.T) {
	h := busyHost(t)
	h.Unit(t, "etcd.service", false, false)
	h.Starting["etcd.service"] = "activating"
	must(t, applyAll(h, "etcd", []Step{&UnitStep{Unit: "etcd.service"}}))
	h.Starting["etcd.service"] = "failed"
	h.Put(t, "/run/hosttest/active/etcd.service", "failed\n")
	err := applyAll(h, "etcd", []Step{&UnitStep{Unit: "etcd.service"}})
	if err == nil || !strings.Contains(err.Error(), "its check still says: it is failed") {
		t.Errorf("error is %v", err)
	}
	if !slices.Contains(h.Ran, "systemctl reset-failed etcd.service") {
		t.Errorf("ran %q", h.Ran)
	}
}

func TestAUnitThatIsNotInstalledIsDisabledEnough(t *testing.T) {
	h := hosttest.New(t)
	st, err := (&DisableUnitStep{Unit: "ufw.service"}).Check(t.Context(), h)
	if err != nil || st.State != Satisfied {
		t.Errorf("%+v %v", st, err)
	}
	h.Put(t, "/etc/systemd/system/own.service", "[Service]\n[Install]\n")
	must(t, applyAll(h, "node", []Step{&DisableUnitStep{Unit: "own.service"}}))
	if slices.Contains(h.Ran, "systemctl mask own.service") {
		t.Error("an administrator's unit file was masked")
	}
}

func TestModulesThatNeedNoLoadingAreThere(t *testing.T) {
	for name, put := range map[string][2]string{
		"br_netfilter": {"/proc/sys/net/bridge/bridge-nf-call-iptables", "1\n"},
		"overlay":      {"/proc/filesystems", "nodev\toverlay\n"},
		"ip_vs":        {"/sys/module/ip_vs/refcnt", "0\n"},
		"nf-conntrack": {"/lib/modules/3.10.0-1160.el7.x86_64/modules.builtin", "kernel/net/netfilter/nf_conntrack.ko\n"},
		"xfs":          {"/lib/modules/3.10.0-1160.el7.x86_64/modules.builtin", "kernel/fs/xfs/xfs.ko.xz\n"},
	} {
		h := hosttest.New(t)
		before, err := (&ModuleStep{Name: name}).Check(t.Context(), h)
		must(t, err)
		h.Put(t, put[0], put[1])
		after, err := (&ModuleStep{Name: name}).Check(t.Context(), h)
		if err != nil || before.State != Needed || after.State != Satisfied {
			t.Errorf("%s: %v, then %v, %v", name, before, after, err)
		}
	}
}

func TestFlushingIsSkippedBesideDockerAndNeverRepeated(t *testing.T) {
	h := busyHost(t)
	h.Unit(t, "docker.service", true, true)
	st, err := (&FlushStep{}).Check(t.Context(), h)
	if err != nil || st.State != Satisfied || !strings.Contains(st.Why, "skipped: docker.service runs") {
		t.Errorf("%+v %v", st, err)
	}
	must(t, h.Remove("/run/hosttest/active/docker.service"))
	must(t, applyAll(h, "node", []Step{&FlushStep{}}))
	rules := "*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n"
	h.Put(t, "/run/hosttest/iptables/nat", rules)
	must(t, applyAll(h, "node", []Step{&FlushStep{}}))
	if got := h.Get("/run/hosttest/iptables/nat"); got != rules {
		t.Errorf("flushed a second time: %q", got)
	}
	if got := h.Get("/run/hosttest/iptables/filter"); strings.Contains(got, "-A ") || strings.Contains(got, "IN_public") {
		t.Errorf("not flushed: %q", got)
	}
}

func TestAManifestIsAppliedOnceAndWaitsForTheAPI(t *testing.T) {
	h := hosttest.New(t)
	for _, name := range []string{"/opt/kubectl", "/opt/config", "/opt/rbac.yaml"} {
		h.Put(t, name, "text of "+name)
	}
	s := &ApplyStep{Name: "rbac", Manifest: "/opt/rbac.yaml", Kubectl: "/opt/kubectl", Kubeconfig: "/opt/config"}
	h.APIDown = true
	st, err := s.Check(t.Context(), h)
	if err != nil || st.State != Pending || !strings.Contains(st.Why, "was refused") {
		t.Errorf("%+v %v", st, err)
	}
	h.APIDown = false
	h.Ran = nil
	must(t, applyAll(h, "master", []Step{s}))
	must(t, applyAll(h, "master", []Step{s}))
	applies := 0
	for _, line := range h.Ran {
		if strings.Contains(line, "apply --server-side --force-conflicts --field-manager=offgrid -f /opt/rbac.yaml") {
			applies++
		}
	}
	if applies != 1 {
		t.Errorf("applied %d times: %q", applies, h.Ran)
	}
	h.Script("/opt/kubectl", hosttest.Fails(1, `Error from server (Forbidden): configmaps "x" is forbidden`))
	if _, err := s.Check(t.Context(), h); err == nil {
		t.Error("being forbidden is no error")
	}
}

func TestAWaitLooksAgainUntilItIsSatisfied(t *testing.T) {
	looks := 0
	s := &WaitStep{Name: "x", Wait: 20 * time.Millisecond, Probe: func(context.Context, host.Host) (Status, error) {
		looks++
		if looks < 2 {
			return Status{State: Pending}, nil
		}
		return Status{State: Satisfied}, nil
	}}
	h := hosttest.New(t)
	must(t, applyAll(h, "etcd", []Step{s}))
	if looks < 2 {
		t.Errorf("looked %d times", looks)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Wait = time.Hour
	if err := s.Do(ctx, h); !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupt did not end the wait: %v", err)
	}
}

func TestCarryingLeavesAnOpenableBundleAndTheOpenedPackOfTheHostAlone(t *testing.T) {
	h := busyHost(t)
	b := testBundle(t)
	s := &CarryStep{Bundle: b, Executable: "/mnt/usb/install", Role: "node", IP: "20.0.0.103", Host: "node01", pack: &packState{role: "node", root: b.RootDigest,
		pack: &hostpack.Pack{Cluster: "0123456789abcdef0123456789abcdef", Role: "node", Host: "node01", IP: "20.0.0.103"}}}
	h.Put(t, RoleDir("node")+"/pack-"+strings.Repeat("0", 64)+".json", "an older bundle's opened pack")
	h.Put(t, RoleDir("node")+"/blobs/sha256/"+strings.Repeat("0", 64), "an older bundle's pack")
	must(t, applyAll(h, "node", []Step{s}))
	if h.Get(InstallPath()) != "the installer" || h.Get(RoleDir("node")+"/blobs/sha256/"+strings.Repeat("0", 64)) != "" {
		t.Error("the installer is not carried, or an old blob stayed")
	}
	var modes []string
	for name, entry := range h.Tree(t) {
		if strings.Contains(name, "blobs") && strings.Contains(h.Get(name), `"host":"node0`) && len(h.Get(name)) < 30 {
			t.Errorf("%s is a host pack of the bundle", name)
		}
		if strings.Contains(name, "/pack-") {
			modes = append(modes, name+" "+entry[:20])
		}
	}
	if want := []string{RoleDir("node") + "/pack-" + b.RootDigest.Hex() + ".json file 0600 root:root "}; !slices.Equal(modes, want) {
		t.Errorf("opened packs: %q, want %q", modes, want)
	}
	carried, err := openCarried(h.Root + RoleDir("node"))
	if err != nil || carried != b.RootDigest.String() {
		t.Errorf("carried %s: %v", carried, err)
	}
}

func fmtStates(steps []Step, h host.Host) string {
	var out strings.Builder
	for _, s := range steps {
		st, err := s.Check(context.Background(), h)
		fmt.Fprintln(&out, s.ID(), st.State, st.Why, err)
	}
	return out.String()
}

func TestCheckingChangesNothing(t *testing.T) {
	h := busyHost(t)
	before := h.Tree(t)
	said := fmtStates(wholePlan(testBundle(t)), h)
	if h.Changes() != 0 {
		t.Errorf("%d changes: %s", h.Changes(), said)
	}
	if d := hosttest.Diff(before, h.Tree(t)); d != "" {
		t.Error(d)
	}
}
