//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A kernelPhase is a moment of a kernel's way onto a host, told from outside.
type kernelPhase struct {
	name    string
	reached func(*host) bool
}

func exists(h *host, pattern string) bool {
	found, err := filepath.Glob(h.path(pattern))
	return err == nil && len(found) > 0
}

// kernelPhases are in their order; each is reached later than the ones before it, also when those ended in a crash.
func kernelPhases() []kernelPhase {
	return []kernelPhase{
		{"rpm has begun", func(h *host) bool { return exists(h, "var/lib/offgrid/rpm-kernel.json") }},
		{"its files are being unpacked", func(h *host) bool { return exists(h, "lib/modules/"+newKernel+"/kernel/*") }},
		{"its entry is in the menu (%post)", func(h *host) bool {
			menu, err := os.ReadFile(h.path("boot/grub2/grub.cfg"))
			return err == nil && bytes.Contains(menu, []byte(newTitle))
		}},
		{"its initramfs is being made (%posttrans)", func(h *host) bool {
			return exists(h, "var/tmp/dracut.*") && exists(h, "lib/modules/"+newKernel+"/modules.dep")
		}},
		{"its initramfs is there", func(h *host) bool { return exists(h, "boot/initramfs-"+newKernel+".img") }},
		{"it is being armed", func(h *host) bool { return exists(h, "var/lib/offgrid/kernel.json") }},
	}
}

func TestAHostThatIsKilledInEachPhaseOfItsKernelGetsItAllTheSame(t *testing.T) {
	if !*full {
		t.Skip("with -full")
	}
	h := kernelHost(t, "node01", "etcd", upgrading)
	h.throughPhases(func(r *running) {
		h.lab("--kill")
		r.wait()
		h.lab("--start")
	})
}

func TestAHostWhosePowerFailsInEachPhaseOfItsKernelGetsItAllTheSame(t *testing.T) {
	if !*full {
		t.Skip("with -full")
	}
	h := kernelHost(t, "node01", "etcd", upgrading)
	h.must("sync")
	h.throughPhases(func(r *running) {
		h.lab("--cut")
		r.wait()
		h.lab("--start")
	})
}

// throughPhases installs the host's kernel and ends the host in each phase of it; in the end it has to run.
func (h *host) throughPhases(end func(*running)) {
	h.t.Helper()
	for _, phase := range kernelPhases() {
		// What of the phases before is there again after the crash does not tell anything, so the marks of this one go first.
		for _, left := range []string{"var/tmp/dracut.*"} {
			found, _ := filepath.Glob(h.path(left))
			for _, name := range found {
				os.RemoveAll(name)
			}
		}
		r := h.start("./install", "--yes", "--role", "etcd", "--ip", h.ip, "--reboot", "later")
		if !r.until(func() bool { return phase.reached(h) }) {
			h.t.Fatalf("%s: the installer ended with %d before:\n%s", phase.name, r.last.code, r.last.out)
		}
		end(r)
		h.t.Logf("ended when %s; kernels started so far: %s", phase.name, strings.Join(h.kernels(), ", "))
	}
	h.getsItsKernel()
}

// getsItsKernel brings a host whose installation was cut off to its new kernel, whether the last boot tried it or not.
func (h *host) getsItsKernel() {
	h.t.Helper()
	// The run that was cut off had not come to an end, so it is the operator who says that it is to go on.
	r := h.try("/var/lib/offgrid/install", "resume", "--kernel", "retry", "--reboot", "now")
	if r.code != 0 && !strings.Contains(r.out, "starts anew now") {
		h.t.Fatalf("resume ended with %d:\n%s", r.code, r.out)
	}
	eventually(h.t, 3*time.Minute, h.settled)
	if n := strings.Count(h.must("rpm", "-q", "kernel-lt"), "kernel-lt-"); n != 1 {
		h.t.Errorf("kernel-lt is installed %d times", n)
	}
	if n := strings.Count(h.must("grubby", "--info=ALL"), "title="); n != 2 {
		h.t.Errorf("the menu has %d entries, want 2:\n%s", n, h.must("grubby", "--info=ALL"))
	}
	eventually(h.t, 2*time.Minute, func() string {
		if r := h.try("systemctl", "is-enabled", "etcd"); r.code != 0 {
			return "etcd is " + r.out
		}
		return ""
	})
}

func TestAHostThatIsKilledBetweenTheRebootAndTheResumeIsTriedAgainOnRequest(t *testing.T) {
	if !*full {
		t.Skip("with -full")
	}
	h := kernelHost(t, "node01", "etcd", upgrading)
	r := h.try("./install", "--yes", "--role", "etcd", "--ip", h.ip, "--reboot", "later")
	if r.code != 3 {
		t.Fatalf("exit code %d, want 3:\n%s", r.code, r.out)
	}
	h.lab("--reboot")
	h.lab("--kill")
	if n := h.times(newKernel); n != 1 {
		t.Fatalf("the new kernel was started %d times:\n%s", n, strings.Join(h.kernels(), "\n"))
	}
	h.lab("--start")
	// GRUB has forgotten it, and nobody has said that it is good: the old one runs, and the installer does not try again by itself.
	h.cameBack(1)
	h.getsItsKernel()
}

func TestAnInstallerThatIsKilledOnTheNewKernelGoesOn(t *testing.T) {
	if !*full {
		t.Skip("with -full")
	}
	h := kernelHost(t, "node01", "etcd", upgrading)
	h.try("./install", "--yes", "--role", "etcd", "--ip", h.ip, "--reboot", "now")
	eventually(t, time.Minute, func() string { return h.runs(newKernel) })
	r := h.start("/var/lib/offgrid/install", "resume")
	if !r.until(func() bool { return h.defaultKernel() == newKernel }) {
		t.Logf("the installer was faster: it ended with %d", r.last.code)
	} else {
		r.signal(syscall.SIGKILL)
		r.wait()
	}
	eventually(t, 2*time.Minute, h.settled)
}
