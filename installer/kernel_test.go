package installer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"offgrid/bundle/progress"
	"offgrid/installer"
	"offgrid/installer/hosttest"
	"offgrid/installer/sitetest"
)

const (
	kernelHost = "20.0.0.103"
	oldKernel  = hosttest.OldKernel
	newKernel  = sitetest.NewKernel
)

func upgradeKernel() sitetest.Kernel { return sitetest.Kernel{Mode: "upgrade"} }

// etcdOn installs etcd on the host, whatever is left to do for its kernel.
func etcdOn(t testing.TB, s *sitetest.Site) installer.Outcome {
	t.Helper()
	out, err := install(context.Background(), s, what{"etcd", kernelHost})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func resumeOn(t testing.TB, s *sitetest.Site, change func(*installer.Session)) installer.Outcome {
	t.Helper()
	session := s.Session(kernelHost)
	if change != nil {
		change(session)
	}
	out, err := session.Resume(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// defaultOf is the kernel that the host starts when nobody says otherwise.
func defaultOf(t testing.TB, h *hosttest.Host) string {
	t.Helper()
	out, err := h.Run(context.Background(), nil, "grubby", "--default-kernel")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "/boot/vmlinuz-")
}

// menuHas reports whether the new kernel's entry has the arguments of its trial.
func menuHas(h *hosttest.Host, arg string) bool {
	for line := range strings.Lines(h.Get(hosttest.GRUBMenu)) {
		if strings.Contains(line, "/vmlinuz-"+newKernel+" ") && slices.Contains(strings.Fields(line), arg) {
			return true
		}
	}
	return false
}

func outcomeState(o installer.Outcome) string {
	if o.Kernel == nil {
		return ""
	}
	return o.Kernel.State
}

// collect gathers what is said.
func collect(notes *[]string) progress.Func {
	return func(e progress.Event) {
		if e.Kind == progress.Note {
			*notes = append(*notes, e.Text)
		}
	}
}

func TestANewKernelIsTriedOnceAndBecomesTheDefaultWhenItHasComeUp(t *testing.T) {
	s := sitetest.NewWithKernel(t, upgradeKernel())
	h := s.Hosts[kernelHost]
	h.Put(t, "/dev/watchdog", "")
	if got := outcomeState(etcdOn(t, s)); got != installer.KernelOwed {
		t.Fatalf("the run ends with %q, want a reboot that is owed", got)
	}
	if defaultOf(t, h) != oldKernel || !menuHas(h, "panic=30") || !menuHas(h, "rd.shell=0") || h.Get("/etc/systemd/system.conf.d/90-offgrid-kernel.conf") == "" {
		t.Errorf("before the reboot the default is %s, the menu:\n%s", defaultOf(t, h), h.Get(hosttest.GRUBMenu))
	}
	if h.Get("/run/hosttest/active/etcd.service") != "" {
		t.Error("etcd was started on the old kernel")
	}
	h.Boot(t)
	if got := outcomeState(resumeOn(t, s, nil)); got != "" {
		t.Errorf("after the reboot it ends with %q", got)
	}
	if defaultOf(t, h) != newKernel || menuHas(h, "panic=30") || h.Get("/etc/systemd/system.conf.d/90-offgrid-kernel.conf") != "" || h.Get("/var/lib/offgrid/kernel.json") != "" {
		t.Errorf("after it the default is %s, the menu:\n%s\nkernel.json: %s", defaultOf(t, h), h.Get(hosttest.GRUBMenu), h.Get("/var/lib/offgrid/kernel.json"))
	}
	if got := h.Get("/etc/sysconfig/kernel"); got != "UPDATEDEFAULT=no\nDEFAULTKERNEL=kernel\n" {
		t.Errorf("/etc/sysconfig/kernel is\n%s", got)
	}
	if !slices.Equal(h.Boots, []string{newKernel}) || h.Get("/run/hosttest/active/etcd.service") == "" {
		t.Errorf("started %q", h.Boots)
	}
	h.Revive()
	resumeOn(t, s, nil)
	if h.Changes() != 0 {
		t.Errorf("a second resume made %d changes", h.Changes())
	}
}

func TestAKernelThatDoesNotComeUpIsNotTriedTwice(t *testing.T) {
	s := sitetest.NewWithKernel(t, upgradeKernel())
	h := s.Hosts[kernelHost]
	h.Put(t, "/dev/watchdog", "")
	h.Panics = map[string]bool{newKernel: true}
	etcdOn(t, s)
	h.Boot(t)
	unattended := func(s *installer.Session) { s.Unattended = true }
	out := resumeOn(t, s, unattended)
	if outcomeState(out) != installer.KernelFailed || !strings.Contains(out.Kernel.Why, "came back with "+oldKernel) {
		t.Fatalf("it ends with %+v", out.Kernel)
	}
	if defaultOf(t, h) != oldKernel || menuHas(h, "panic=30") || h.Get("/etc/systemd/system.conf.d/90-offgrid-kernel.conf") != "" {
		t.Errorf("the default is %s, the menu:\n%s", defaultOf(t, h), h.Get(hosttest.GRUBMenu))
	}
	for range 3 {
		h.Boot(t)
		h.Revive()
		resumeOn(t, s, unattended) // stops the timer until the next boot
		h.Revive()
		if got := outcomeState(resumeOn(t, s, unattended)); got != installer.KernelFailed || h.Changes() != 0 {
			t.Errorf("a later boot ends with %q and %d changes", got, h.Changes())
		}
	}
	if want := []string{newKernel, oldKernel, oldKernel, oldKernel, oldKernel}; !slices.Equal(h.Boots, want) {
		t.Errorf("started %q, want %q", h.Boots, want)
	}
	status, err := s.Session(kernelHost).Status(t.Context())
	if err != nil || len(status) != 1 || status[0].Kernel == nil || status[0].Kernel.State != installer.KernelFailed {
		t.Errorf("status says %+v, %v", status, err)
	}
}

func TestAfterAKernelThatFailedTheOperatorKeepsTheOldOneOrTriesAgain(t *testing.T) {
	for _, again := range []bool{false, true} {
		s := sitetest.NewWithKernel(t, upgradeKernel())
		h := s.Hosts[kernelHost]
		h.Panics = map[string]bool{newKernel: true}
		etcdOn(t, s)
		h.Boot(t)
		resumeOn(t, s, nil)
		if !again {
			out := resumeOn(t, s, func(s *installer.Session) { s.Kernel = installer.KernelKeep })
			if out.Kernel != nil || h.Get("/run/hosttest/active/etcd.service") == "" {
				t.Errorf("keep ends with %+v", out.Kernel)
			}
			if out := resumeOn(t, s, nil); out.Kernel != nil {
				t.Errorf("a later run has forgotten it: %+v", out.Kernel)
			}
			continue
		}
		h.Panics = nil
		if got := outcomeState(resumeOn(t, s, func(s *installer.Session) { s.Kernel = installer.KernelRetry })); got != installer.KernelOwed {
			t.Errorf("retry ends with %q", got)
		}
		h.Boot(t)
		if got := outcomeState(resumeOn(t, s, nil)); got != "" || defaultOf(t, h) != newKernel {
			t.Errorf("after it: %q, default %s", got, defaultOf(t, h))
		}
	}
}

func TestNoBootTriesAKernelThatIsHeld(t *testing.T) {
	s := sitetest.NewWithKernel(t, upgradeKernel())
	h := s.Hosts[kernelHost]
	etcdOn(t, s)
	out := resumeOn(t, s, func(s *installer.Session) { s.Reboot = installer.RebootNever })
	if outcomeState(out) != installer.KernelHeld {
		t.Fatalf("never ends with %+v", out.Kernel)
	}
	h.Boot(t)
	if got := outcomeState(resumeOn(t, s, nil)); got != installer.KernelHeld || h.Boots[0] != oldKernel {
		t.Errorf("the boot started %q, and it ends with %q", h.Boots, got)
	}
	if got := outcomeState(resumeOn(t, s, func(s *installer.Session) { s.Reboot = installer.RebootLater })); got != installer.KernelOwed {
		t.Errorf("later ends with %q", got)
	}
	h.Boot(t)
	resumeOn(t, s, nil)
	if defaultOf(t, h) != newKernel {
		t.Errorf("started %q, the default is %s", h.Boots, defaultOf(t, h))
	}
}

func TestAKernelIsNotTheDefaultBeforeTheHostsAddressIsThere(t *testing.T) {
	s := sitetest.NewWithKernel(t, upgradeKernel())
	h := s.Hosts[kernelHost]
	etcdOn(t, s)
	h.Boot(t)
	h.Script("ip -o -4 addr", hosttest.Says("1: lo    inet 127.0.0.1/8 scope host lo\n"))
	session := s.Session(kernelHost)
	out, err := session.Resume(t.Context())
	if err != nil || outcomeState(out) != installer.KernelUnproven || !strings.Contains(out.Kernel.Why, "no network interface has 20.0.0.103") {
		t.Fatalf("it ends with %+v, %v", out.Kernel, err)
	}
	if defaultOf(t, h) != oldKernel {
		t.Errorf("the default is %s", defaultOf(t, h))
	}
	records := strings.Count(h.Get(installer.StateDir+"/journal.jsonl"), "\n")
	for range 3 {
		if _, err := session.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if now := strings.Count(h.Get(installer.StateDir+"/journal.jsonl"), "\n"); now != records {
		t.Errorf("waiting wrote %d records", now-records)
	}
}

func TestABootThatGRUBDoesNotTakeIsSaidAndNotLeftToTheNextOne(t *testing.T) {
	s := sitetest.NewWithKernel(t, upgradeKernel())
	h := s.Hosts[kernelHost]
	etcdOn(t, s)
	next := h.Get(hosttest.GRUBEnv)
	h.Put(t, hosttest.GRUBEnv, strings.Replace(next, "next_entry=", "other_entry=", 1))
	h.Boot(t)
	h.Put(t, hosttest.GRUBEnv, next)
	out := resumeOn(t, s, nil)
	if outcomeState(out) != installer.KernelFailed || !strings.Contains(out.Kernel.Why, "GRUB did not take the entry") {
		t.Errorf("it ends with %+v", out.Kernel)
	}
	if strings.Contains(h.Get(hosttest.GRUBEnv), "next_entry=") {
		t.Error("the entry is still the next one")
	}
}

func TestOlderKernelsGoWhenTheNewOneIsTheDefault(t *testing.T) {
	s := sitetest.NewWithKernel(t, sitetest.Kernel{Mode: "upgrade", Remove: true})
	h := s.Hosts[kernelHost]
	etcdOn(t, s)
	if h.Get("/boot/vmlinuz-"+oldKernel) == "" {
		t.Error("the running kernel was removed")
	}
	h.Boot(t)
	resumeOn(t, s, nil)
	if h.Get("/boot/vmlinuz-"+oldKernel) != "" || h.Get("/boot/vmlinuz-"+newKernel) == "" || strings.Contains(h.Get(hosttest.GRUBMenu), oldKernel) {
		t.Errorf("afterwards the menu is\n%s", h.Get(hosttest.GRUBMenu))
	}
	var notes []string
	session := s.Session(kernelHost)
	session.Report = collect(&notes)
	if _, err := session.Uninstall(t.Context(), installer.UninstallRequest{}); err != nil {
		t.Fatal(err)
	}
	if h.Get("/boot/vmlinuz-"+newKernel) == "" || defaultOf(t, h) != newKernel {
		t.Error("the uninstall left the host without a kernel")
	}
	for _, want := range []string{"kernel " + newKernel + " stays, because it runs", "kernel-" + oldKernel + " was removed and does not come back"} {
		if !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, want) }) {
			t.Errorf("notes %q, want %q among them", notes, want)
		}
	}
}

func TestAnUninstallGivesTheDefaultBackAndLeavesTheRunningKernel(t *testing.T) {
	s := sitetest.NewWithKernel(t, upgradeKernel())
	h := s.Hosts[kernelHost]
	etcdOn(t, s)
	h.Boot(t)
	resumeOn(t, s, nil)
	if _, err := s.Session(kernelHost).Uninstall(t.Context(), installer.UninstallRequest{}); err != nil {
		t.Fatal(err)
	}
	if defaultOf(t, h) != oldKernel || h.Get("/boot/vmlinuz-"+newKernel) == "" || h.Get("/var/lib/rpm/hosttest/kernel-lt-devel.x86_64") != "" {
		t.Errorf("the default is %s", defaultOf(t, h))
	}
	if h.Get("/etc/sysconfig/kernel") != "UPDATEDEFAULT=yes\nDEFAULTKERNEL=kernel\n" {
		t.Errorf("/etc/sysconfig/kernel is\n%s", h.Get("/etc/sysconfig/kernel"))
	}
}

func TestWithoutRoomForItsInitramfsAKernelIsNotTried(t *testing.T) {
	s := sitetest.NewWithKernel(t, upgradeKernel())
	h := s.Hosts[kernelHost]
	h.BootFull = true
	_, err := install(t.Context(), s, what{"etcd", kernelHost})
	if err == nil || !strings.Contains(err.Error(), "initramfs-"+newKernel+".img is missing") || !strings.Contains(err.Error(), "df -h /boot") {
		t.Fatalf("error is %v", err)
	}
	if strings.Contains(h.Get(hosttest.GRUBEnv), "next_entry") {
		t.Error("the next boot tries it")
	}
	h.BootFull = false
	if got := outcomeState(etcdOn(t, s)); got != installer.KernelOwed {
		t.Errorf("with room it ends with %q", got)
	}
	if i := slices.IndexFunc(h.Ran, func(l string) bool { return strings.HasPrefix(l, "rpm -i --replacepkgs /var/lib/offgrid/roles/etcd") }); i < 0 {
		t.Errorf("the kernel's scripts did not run again: %q", h.Ran)
	}
}

// TestAKillAnywhereOnTheWayToANewKernelEndsTheSame kills the installer at every change before the reboot and after it, goes
// on, and compares the host with one that nobody killed.
func TestAKillAnywhereOnTheWayToANewKernelEndsTheSame(t *testing.T) {
	for name, panics := range map[string]bool{"it comes up": false, "it panics": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sitetest.NewWithKernel(t, sitetest.Kernel{Mode: "upgrade", Remove: true})
			run := func(h *hosttest.Host) error {
				s.Hosts[kernelHost] = h
				for range 6 {
					var out installer.Outcome
					var err error
					if carried(h) {
						out, err = s.Session(kernelHost).Resume(context.Background())
					} else {
						out, err = install(context.Background(), s, what{"etcd", kernelHost})
					}
					if err != nil || outcomeState(out) != installer.KernelOwed {
						return err
					}
					h.Boot(t)
				}
				return fmt.Errorf("it asks for a reboot again and again: %q", h.Boots)
			}
			fresh := func() *hosttest.Host {
				s.Replace(t, kernelHost)
				h := s.Hosts[kernelHost]
				h.Put(t, "/dev/watchdog", "")
				h.Panics = map[string]bool{newKernel: panics}
				return h
			}
			ref := fresh()
			if err := run(ref); err != nil {
				t.Fatal(err)
			}
			skip := []string{installer.StateDir + "/journal.jsonl", installer.StateDir + "/lock", "/proc/sys/kernel/random", "/run/hosttest/active"}
			if panics {
				skip = append(skip, installer.StateDir+"/kernel.json") // it names the boot
			}
			want := ref.Tree(t, skip...)
			h := fresh()
			kills := h.Kills(t, journalAndLock(), func() {
				if err := run(h); err != nil {
					t.Fatal(err)
				}
			}, func(left *hosttest.Host, n int, after bool) {
				if !hosttest.Tried(n, after) {
					return
				}
				defer func() { s.Hosts[kernelHost] = h }()
				left.Panics = map[string]bool{newKernel: panics}
				power := n%4 < 2
				if power { // it was the power that went: GRUB comes next
					left.Boot(t)
				}
				if err := run(left); err != nil {
					t.Errorf("killed at change %d, after it: %v, power: %v: %v", n, after, power, err)
					return
				}
				if power && !panics && defaultOf(t, left) == oldKernel {
					// It had come up, and the power went before anybody knew: the operator says so.
					resumeOn(t, s, func(s *installer.Session) { s.Kernel = installer.KernelRetry })
					left.Boot(t)
					if err := run(left); err != nil {
						t.Error(err)
					}
				}
				if d := hosttest.Diff(want, left.Tree(t, skip...)); d != "" {
					t.Errorf("killed at change %d, after it: %v, power: %v:\n%s", n, after, power, d)
				}
				tried := 0
				for _, release := range left.Boots {
					if release == newKernel {
						tried++
					}
				}
				if tried == 0 || panics && (tried > 2 || tried > 1 && !power) {
					t.Errorf("killed at change %d, after it: %v, power: %v: started %q", n, after, power, left.Boots)
				}
			})
			t.Logf("%d kills", kills)
		})
	}
}

// TestAnUninstallOnTheOldKernelLeavesNothingOfTheNewOne kills installations before the reboot and takes them back.
func TestAnUninstallOnTheOldKernelLeavesNothingOfTheNewOne(t *testing.T) {
	s := sitetest.NewWithKernel(t, upgradeKernel())
	crashes := hosttest.CrashTest{
		State: installer.StateDir,
		Kept:  []string{"/.autorelabel"},
		New: func(t testing.TB) *hosttest.Host {
			s.Replace(t, kernelHost)
			s.Hosts[kernelHost].Put(t, "/dev/watchdog", "")
			return s.Hosts[kernelHost]
		},
		Use: func(h *hosttest.Host) { s.Hosts[kernelHost] = h },
		Apply: func(h *hosttest.Host) error {
			if carried(h) {
				_, err := s.Session(kernelHost).Resume(context.Background())
				return err
			}
			_, err := install(context.Background(), s, what{"etcd", kernelHost})
			return err
		},
		Undo: func(h *hosttest.Host) error {
			if _, err := h.Lstat(installer.StateDir); err != nil {
				return nil
			}
			_, err := s.Session(kernelHost).Uninstall(context.Background(), installer.UninstallRequest{})
			return err
		},
	}.Run(t)
	t.Logf("%d crashes", crashes)
}

func TestThePlanOfAKernelStandsBetweenPackagesAndServices(t *testing.T) {
	s := sitetest.NewWithKernel(t, sitetest.Kernel{Mode: "upgrade", Remove: true})
	for mode, want := range map[string]string{"": "[carry programs operating system packages kernel settings services cluster]",
		installer.KernelKeep: "[carry programs operating system packages settings services cluster]"} {
		session := s.Session(kernelHost)
		session.Kernel = mode
		job, err := session.Prepare(t.Context(), installer.Request{Roles: []string{"etcd"}, IP: kernelHost, Bundle: s.Bundle("etcd")})
		if err != nil {
			t.Fatal(err)
		}
		doc, err := job.Roles[0].Plan.Describe(t.Context(), s.Hosts[kernelHost])
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		var steps []string
		for _, p := range doc.Phases {
			names = append(names, p.Name)
			if p.Name == "kernel" {
				for _, step := range p.Steps {
					steps = append(steps, step.ID+" "+step.State)
				}
			}
		}
		if got := fmt.Sprint(names); got != want {
			t.Errorf("%q: phases %s, want %s", mode, got, want)
		}
		if mode == "" {
			r := newKernel
			all := []string{"key:/etc/sysconfig/kernel:UPDATEDEFAULT needed", "kernel:" + r + " needed", "bootonce:" + r + " needed", "boot:" + r + " pending", "bootdefault:" + r + " needed",
				"oldkernels:" + r + " needed"}
			if !slices.Equal(steps, all) {
				t.Errorf("steps %q, want %q", steps, all)
			}
		}
		job.Close()
	}
}

func TestAKernelThatWouldBecomeTheDefaultByItselfDoesNot(t *testing.T) {
	s := sitetest.NewWithKernel(t, upgradeKernel())
	h := s.Hosts[kernelHost]
	h.Put(t, "/etc/sysconfig/kernel", "UPDATEDEFAULT=yes\nDEFAULTKERNEL=kernel-lt\n")
	h.Panics = map[string]bool{newKernel: true}
	etcdOn(t, s)
	if got := defaultOf(t, h); got != oldKernel {
		t.Errorf("before its trial the default is %s", got)
	}
	h.Boot(t)
	if got := outcomeState(resumeOn(t, s, nil)); got != installer.KernelFailed {
		t.Errorf("it ends with %q after %q", got, h.Boots)
	}
}

func TestTwoRolesOfOneHostShareItsKernel(t *testing.T) {
	s := sitetest.NewWithKernel(t, upgradeKernel())
	h := s.Hosts[kernelHost]
	session := s.Session(kernelHost)
	job, err := session.Prepare(t.Context(), installer.Request{IP: kernelHost, Bundle: filepath.Dir(s.Bundle("etcd"))})
	if err != nil {
		t.Fatal(err)
	}
	defer job.Close()
	out, err := session.Install(t.Context(), job)
	if err != nil || outcomeState(out) != installer.KernelOwed {
		t.Fatalf("it ends with %+v, %v", out.Kernel, err)
	}
	h.Boot(t)
	if got := outcomeState(resumeOn(t, s, nil)); got != "" || !slices.Equal(h.Boots, []string{newKernel}) {
		t.Errorf("it ends with %q after %q", got, h.Boots)
	}
	if _, err := s.Session(kernelHost).Uninstall(t.Context(), installer.UninstallRequest{Role: "node"}); err != nil {
		t.Fatal(err)
	}
	if defaultOf(t, h) != newKernel {
		t.Errorf("etcd's kernel is no longer the default: %s", defaultOf(t, h))
	}
}

func TestAHostThatOwesARebootIsAskedAgainOnlyAfterIt(t *testing.T) {
	s := sitetest.NewWithKernel(t, upgradeKernel())
	h := s.Hosts[kernelHost]
	etcdOn(t, s)
	const timer = "/run/hosttest/active/offgrid-converge.timer"
	if h.Get(timer) != "" || h.Get("/etc/systemd/system/multi-user.target.wants/offgrid-converge.timer") == "" {
		t.Error("before the reboot the timer runs, or would not after it")
	}
	h.Boot(t)
	if h.Get(timer) == "" {
		t.Error("after the reboot it does not")
	}
	resumeOn(t, s, nil)
	if h.Get(timer) == "" {
		t.Error("now etcd waits for the others, and the timer does not run")
	}
}

func TestWhereGRUBCannotWriteSomebodyChoosesTheKernel(t *testing.T) {
	s := sitetest.NewWithKernel(t, upgradeKernel())
	h := s.Hosts[kernelHost]
	h.Put(t, "/proc/mounts", "/dev/mapper/centos-root / xfs rw,relatime 0 0\n/dev/md126 /boot xfs rw,relatime 0 0\n")
	if _, err := install(t.Context(), s, what{"etcd", kernelHost}); err == nil || !strings.Contains(err.Error(), "boot-once") {
		t.Fatalf("without a word it is not refused: %v", err)
	}
	session := s.Session(kernelHost)
	session.Reboot = installer.RebootLater
	out, err := installOn(t.Context(), session, s, what{"etcd", kernelHost})
	if err != nil || outcomeState(out) != installer.KernelByHand {
		t.Fatalf("it ends with %+v, %v", out.Kernel, err)
	}
	if strings.Contains(h.Get(hosttest.GRUBEnv), "next_entry") {
		t.Error("GRUB's environment was changed")
	}
	h.Boot(t)
	if got := outcomeState(resumeOn(t, s, nil)); got != installer.KernelByHand {
		t.Errorf("after a boot that nobody attended it ends with %q", got)
	}
	h.Choose(t, newKernel)
	h.Boot(t)
	if got := outcomeState(resumeOn(t, s, nil)); got != "" || defaultOf(t, h) != newKernel {
		t.Errorf("after it was chosen it ends with %q, the default is %s", got, defaultOf(t, h))
	}
}

func TestAnUpgradeOfARoleIsJudgedBeforeItsKernelComes(t *testing.T) {
	s := sitetest.NewWithKernel(t, upgradeKernel())
	for _, ip := range []string{"20.0.0.100", "20.0.0.103", "20.0.0.104"} {
		session := s.Session(ip)
		session.Kernel = installer.KernelKeep
		if _, err := installOn(t.Context(), session, s, what{"etcd", ip}); err != nil {
			t.Fatal(err)
		}
	}
	for _, ip := range []string{"20.0.0.100", "20.0.0.103", "20.0.0.104"} {
		if _, err := s.Session(ip).Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.Bring(t, newer())
	session := s.Session(kernelHost)
	session.Kernel = installer.KernelRetry
	out, err := installOn(t.Context(), session, s, what{"etcd", kernelHost})
	if err != nil || len(out.Upgrades) != 1 || out.Upgrades[0].State != "done" || outcomeState(out) != installer.KernelOwed {
		t.Fatalf("it ends with %+v and %+v, %v", out.Upgrades, out.Kernel, err)
	}
	h := s.Hosts[kernelHost]
	h.Boot(t)
	if got := outcomeState(resumeOn(t, s, nil)); got != "" || defaultOf(t, h) != newKernel {
		t.Errorf("after the reboot it ends with %q, the default is %s", got, defaultOf(t, h))
	}
}

func TestABundleWithoutAKernelLeavesTheOneThatCameBefore(t *testing.T) {
	s := sitetest.NewWithKernel(t, upgradeKernel())
	for _, ip := range []string{"20.0.0.100", "20.0.0.103", "20.0.0.104"} {
		if _, err := install(t.Context(), s, what{"etcd", ip}); err != nil {
			t.Fatal(err)
		}
		s.Hosts[ip].Boot(t)
	}
	for range 2 {
		for _, ip := range []string{"20.0.0.100", "20.0.0.103", "20.0.0.104"} {
			if _, err := s.Session(ip).Resume(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Carry(nil)
	s.Bring(t, newer())
	out, err := install(t.Context(), s, what{"etcd", kernelHost})
	if err != nil || len(out.Upgrades) != 1 || out.Upgrades[0].State != "done" {
		t.Fatalf("it ends with %+v, %v", out.Upgrades, err)
	}
	h := s.Hosts[kernelHost]
	if got := defaultOf(t, h); got != newKernel {
		t.Errorf("the default is %s", got)
	}
	if _, err := s.Session(kernelHost).Uninstall(t.Context(), installer.UninstallRequest{}); err != nil {
		t.Fatal(err)
	}
	if got := defaultOf(t, h); got != oldKernel {
		t.Errorf("after the uninstall the default is %s", got)
	}
}

func TestAKernelsOutcomeIsDataForPrograms(t *testing.T) {
	data, err := json.Marshal(installer.Outcome{Kernel: &installer.KernelOutcome{Release: "b", Running: "a", State: installer.KernelOwed, Why: "w"}})
	if want := `"kernel":{"release":"b","running":"a","state":"reboot","why":"w"}`; err != nil || !strings.Contains(string(data), want) {
		t.Errorf("got %s, %v, want %s in it", data, err, want)
	}
}
