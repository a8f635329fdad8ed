//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// The kernel that a host of the lab comes with, and the one that its catalogue has.
const (
	oldKernel = "3.10.0-1160.el7.x86_64"
	newKernel = "5.4.278-1.el7.elrepo.x86_64"
	newTitle  = "CentOS Linux (" + newKernel + ") 7 (Core)"
)

// upgrading is a site whose bundles bring the kernel; it is built once.
var upgrading = sync.OnceValues(func() (string, error) { return kernelSite("site-kernel", "removeOld: false") })

// replacing is the same, and older kernels go.
var replacing = sync.OnceValues(func() (string, error) { return kernelSite("site-kernel-removes", "removeOld: true") })

func kernelSite(name, old string) (string, error) {
	r, err := theRig()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(r.site, "cluster.yaml"))
	if err != nil {
		return "", err
	}
	dir := filepath.Join(r.state, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	changed := strings.NewReplacer("    mode: skip", "    mode: upgrade", "    removeOld: false", "    "+old).Replace(string(text))
	file := filepath.Join(dir, "cluster.yaml")
	if was, err := os.ReadFile(file); err != nil || string(was) != changed {
		if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
			return "", err
		}
	}
	out, err := exec.Command(filepath.Join(r.root, "lab", "site"), dir).Output()
	return strings.TrimSpace(string(out)), explain(err)
}

// kernelHost is a fresh host with a role's bundle that brings the kernel.
func kernelHost(t *testing.T, name, role string, site func() (string, error)) *host {
	t.Helper()
	lab(t)
	dir, err := site()
	if err != nil {
		t.Fatal(err)
	}
	h := lab(t).hosts(t, name)[0]
	h.bringFrom(dir, role)
	return h
}

// kernels are the releases that the host has started, with what became of those that did not come up: "5.4... (panic)".
func (h *host) kernels() []string {
	console, err := os.ReadFile(filepath.Join(h.rig.state, "hosts", h.name, "console.log"))
	if err != nil {
		h.t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^Linux version (\S+) (\(\w+\))?, command line`).FindAllStringSubmatch(string(console), -1) {
		all = append(all, strings.TrimSpace(m[1]+" "+m[2]))
	}
	return all
}

// times counts how often the host has started a kernel.
func (h *host) times(kernel string) int {
	n := 0
	for _, k := range h.kernels() {
		if strings.HasPrefix(k, kernel) {
			n++
		}
	}
	return n
}

// runs says what is wrong when the host is not up with that kernel.
func (h *host) runs(kernel string) string {
	r := h.try("cat", "/proc/sys/kernel/osrelease")
	if r.code != 0 || strings.TrimSpace(r.out) != kernel {
		return h.name + " does not run " + kernel + ": " + r.out
	}
	return ""
}

// defaultKernel is what GRUB boots when nobody says anything, as grubby says.
func (h *host) defaultKernel() string {
	h.t.Helper()
	return strings.TrimPrefix(strings.TrimSpace(h.must("grubby", "--default-kernel")), "/boot/vmlinuz-")
}

// nextEntry is the entry that GRUB is to boot once.
func (h *host) nextEntry() string {
	h.t.Helper()
	for line := range strings.Lines(h.must("grub2-editenv", "/boot/grub2/grubenv", "list")) {
		if entry, ok := strings.CutPrefix(strings.TrimSpace(line), "next_entry="); ok {
			return entry
		}
	}
	return ""
}

// fate says what is to become of the new kernel when it boots: "panic", "hang"; "" lets it come up.
func (h *host) fate(fate string) {
	h.t.Helper()
	text := ""
	if fate != "" {
		text = newKernel + " " + fate + "\n"
	}
	if err := os.WriteFile(h.path("usr/lib/lab/fate"), []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
	h.must("sync")
}

// settled says what is missing until the new kernel runs, is the default, and nothing of its trial is left.
func (h *host) settled() string {
	if missing := h.runs(newKernel); missing != "" {
		return missing
	}
	if now := h.defaultKernel(); now != newKernel {
		return "the default is " + now
	}
	if _, err := os.Lstat(h.path("var/lib/offgrid/kernel.json")); err == nil {
		return "kernel.json is still there"
	}
	if info := h.must("grubby", "--info=/boot/vmlinuz-"+newKernel); strings.Contains(info, "panic=") || strings.Contains(info, "rd.shell") {
		return "its entry still has the arguments of the trial:\n" + info
	}
	return ""
}

// balancing says what is missing until the host does a balancer's work.
func (h *host) balancing() string {
	if r := h.try("systemctl", "is-active", "nginx", "keepalived"); r.code != 0 {
		return "nginx and keepalived are " + r.out
	}
	return ""
}

func TestAHostTriesItsKernelOnceGoesOnByItselfAndMakesItTheDefault(t *testing.T) {
	h := kernelHost(t, "lb01", "lb", replacing)
	r := finish(t, h.installing("lb"), 10*time.Minute)
	if r.code != 3 || !strings.Contains(r.out, "power-cycle it once") || !strings.Contains(r.out, "a reboot is owed") {
		t.Fatalf("exit code %d, want 3, a word on the reboot and one on what to do when it fails:\n%s", r.code, r.out)
	}
	if next, now := h.nextEntry(), h.defaultKernel(); next != newTitle || now != oldKernel {
		t.Errorf("before the reboot GRUB is to boot %q once, and %q else", next, now)
	}
	if info := h.must("grubby", "--info=/boot/vmlinuz-"+newKernel); !strings.Contains(info, "panic=30 rd.shell=0") {
		t.Errorf("the entry for the trial is\n%s", info)
	}
	h.must("rm", "install", "lb.bundle") // the stick is pulled
	h.lab("--reboot")
	eventually(t, 2*time.Minute, h.settled)
	eventually(t, 2*time.Minute, h.balancing) // it waits for masters, which this test has none of
	if n := h.times(newKernel); n != 1 {
		t.Errorf("the new kernel was started %d times:\n%s", n, strings.Join(h.kernels(), "\n"))
	}
	if left := h.try("sh", "-c", "rpm -q kernel; ls /boot/*"+oldKernel+"*; ls -d /lib/modules/"+oldKernel+"; grubby --info=/boot/vmlinuz-"+oldKernel); strings.Count(left.out, "not installed")+strings.Count(left.out, "cannot access")+strings.Count(left.out, "kernel not found") != 4 {
		t.Errorf("of the old kernel there is still\n%s", left.out)
	}
	h.lab("--reboot")
	if missing := h.runs(newKernel); missing != "" {
		t.Errorf("after another reboot %s", missing)
	}
	eventually(t, time.Minute, h.balancing)
	if refused, err := os.ReadFile(h.path("var/log/el7-refused")); err == nil {
		t.Errorf("el7 would have refused:\n%s", refused)
	}
}

func TestAKernelThatDoesNotComeUpLeavesTheHostOnItsOldOne(t *testing.T) {
	if !*full {
		t.Skip("with -full")
	}
	h := kernelHost(t, "lb01", "lb", upgrading)
	before := h.snapshot()
	h.fate("panic")
	r := h.try("./install", "--yes", "--role", "lb", "--ip", h.ip, "--reboot", "now")
	if !strings.Contains(r.out, "starts anew now") {
		t.Fatalf("exit code %d:\n%s", r.code, r.out)
	}
	h.cameBack(1)

	t.Log("again, and it hangs: somebody switches it off and on")
	h.fate("hang")
	r = h.try("/var/lib/offgrid/install", "resume", "--kernel", "retry", "--reboot", "now")
	if !strings.Contains(r.out, "starts anew now") {
		t.Fatalf("exit code %d:\n%s", r.code, r.out)
	}
	eventually(t, time.Minute, func() string {
		if all := h.kernels(); all[len(all)-1] != newKernel+" (hang)" {
			return strings.Join(all, "\n")
		}
		return ""
	})
	h.lab("--kill")
	h.lab("--start")
	h.cameBack(2)

	t.Log("the operator gives it up, and the role is installed without it")
	h.must("/var/lib/offgrid/install", "resume", "--kernel", "keep")
	if missing := h.balancing(); missing != "" {
		t.Error(missing)
	}
	h.must("/var/lib/offgrid/install", "uninstall", "--yes")
	putBack(t, stripKernel(before), stripKernel(h.snapshot()))
	h.lab("--reboot")
	if n := h.times(newKernel); n != 2 || h.runs(oldKernel) != "" {
		t.Errorf("after all that the new kernel was started %d times:\n%s", n, strings.Join(h.kernels(), "\n"))
	}
}

// cameBack wants the host to be on its old kernel, to say so, and to stay there.
func (h *host) cameBack(times int) {
	h.t.Helper()
	eventually(h.t, 2*time.Minute, func() string {
		all := h.kernels()
		if h.times(newKernel) < times || all[len(all)-1] != oldKernel {
			return "it has started\n" + strings.Join(all, "\n")
		}
		return h.runs(oldKernel)
	})
	eventually(h.t, 2*time.Minute, func() string {
		if r := h.try("/var/lib/offgrid/install", "status"); !strings.Contains(r.out, newKernel+" did not come up") {
			return "status says\n" + r.out
		}
		return ""
	})
	r := h.try("/var/lib/offgrid/install", "resume")
	if r.code != 1 || !strings.Contains(r.out, "did not come up") || !strings.Contains(r.out, "--kernel keep") || !strings.Contains(r.out, "--kernel retry") {
		h.t.Errorf("resume ended with %d, want 1, what happened, and what one may do:\n%s", r.code, r.out)
	}
	if next, now := h.nextEntry(), h.defaultKernel(); next != "" || now != oldKernel {
		h.t.Errorf("GRUB is to boot %q once, and %q else", next, now)
	}
	if n := h.times(newKernel); n != times {
		h.t.Errorf("the new kernel was started %d times, want %d:\n%s", n, times, strings.Join(h.kernels(), "\n"))
	}
}

// stripKernel leaves out what differs between two installations in any case, and what a boot changes.
func stripKernel(s snapshot) snapshot {
	clean := strip(s)
	for name := range clean {
		for _, prefix := range []string{"module ", "active ", "setting ", "selinux ", "file /usr/lib/lab/fate", "file /boot/grub2/grubenv"} {
			if strings.HasPrefix(name, prefix) {
				delete(clean, name)
			}
		}
	}
	return clean
}

func TestABootThatIsFullIsRefusedBeforeAnythingChanges(t *testing.T) {
	h := kernelHost(t, "lb01", "lb", upgrading)
	h.lab("--stop")
	h.lab("--small", "/boot", "128M")
	h.lab("--start")
	before := h.snapshot()
	r := finish(t, h.installing("lb"), time.Minute)
	if r.code != 5 || !strings.Contains(r.out, "/boot") {
		t.Errorf("exit code %d, want 5 and a word on /boot:\n%s", r.code, r.out)
	}
	same(t, "after /boot was too small", before, h.snapshot())
}
