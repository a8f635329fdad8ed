package installer

import (
	"context"
	"encoding/json"
	"fmt"

	"offgrid/installer/host"
)

const kindBoot = "boot"

// States of a KernelOutcome.
const (
	KernelOwed     = "reboot"   // a reboot is owed; it tries the kernel once
	KernelByHand   = "by hand"  // a reboot is owed, and somebody has to choose the kernel in GRUB's menu
	KernelHeld     = "held"     // a reboot is owed, but the operator said that none is to try the kernel
	KernelFailed   = "failed"   // it was tried and did not come up
	KernelUnproven = "unproven" // it runs, but not everything that the host needs does
)

// KernelOutcome is what is left to do for a kernel.
type KernelOutcome struct {
	Release string `json:"release"` // that the bundle brings
	Running string `json:"running"`
	State   string `json:"state"`
	Why     string `json:"why"` // a sentence for people
}

// Owed reports whether a reboot is all that is missing.
func (k *KernelOutcome) Owed() bool {
	return k != nil && (k.State == KernelOwed || k.State == KernelByHand || k.State == KernelHeld)
}

// BootStep waits until the host runs the kernel, and everything that it needs of it works. It starts nothing anew: that is
// for whoever gave the order.
type BootStep struct {
	Release string
	Once    bool     // a BootOnceStep stands before this one
	Modules []string // that must be there to be loaded
	IP      string   // that an interface must have
}

// ID implements Step.
func (s *BootStep) ID() string { return kindBoot + ":" + s.Release }

// Line implements Step.
func (s *BootStep) Line() Line {
	return Line{Verb: "run", Object: "kernel " + s.Release, Why: "after a reboot; then it goes on by itself"}
}

// Check implements Step.
func (s *BootStep) Check(ctx context.Context, h host.Host) (Status, error) {
	out, err := s.look(ctx, h)
	if err != nil || out == nil {
		return Status{State: Satisfied}, err
	}
	return Status{State: Pending, Why: out.Why}, nil
}

// Do implements Step: it only waits, and what it waits for ends this process.
func (s *BootStep) Do(context.Context, host.Host) error { return nil }

// look says what is left to do, nil when nothing is.
func (s *BootStep) look(ctx context.Context, h host.Host) (*KernelOutcome, error) {
	running, err := runningKernel(h)
	if err != nil {
		return nil, err
	}
	out := &KernelOutcome{Release: s.Release, Running: running}
	if running == s.Release {
		out.State = KernelUnproven
		if out.Why, err = s.unproven(ctx, h); err != nil || out.Why == "" {
			return nil, err
		}
		out.Why = "kernel " + s.Release + " runs, but " + out.Why + "; it is not the default before that is right: a reboot brings the old one back"
		return out, nil
	}
	rec, err := readKernel(h, s.Release)
	if err != nil {
		return nil, err
	}
	switch {
	case rec != nil && rec.State == kernelFailed:
		out.State, out.Why = KernelFailed, fmt.Sprintf("kernel %s did not come up: %s", s.Release, rec.Why)
	case rec != nil && rec.State == kernelHeld:
		out.State, out.Why = KernelHeld, "a reboot into kernel "+s.Release+" is owed, which is installed; no boot tries it, as --reboot never said"
	case !s.Once:
		out.State, out.Why = KernelByHand, "a reboot into kernel "+s.Release+" is owed: choose it in GRUB's menu at the console, the default stays "+running+" until it has come up"
	default:
		out.State, out.Why = KernelOwed, "a reboot is owed: the next boot tries kernel "+s.Release+" once"
	}
	return out, nil
}

// unproven says what does not work on the new kernel.
func (s *BootStep) unproven(ctx context.Context, h host.Host) (string, error) {
	for _, m := range s.Modules {
		there, err := moduleThere(h, m)
		if err != nil {
			return "", err
		}
		if there {
			continue
		}
		if _, err := h.Run(ctx, nil, "modprobe", "-n", "-q", m); err != nil {
			return "its module " + m + " cannot be loaded", ctx.Err()
		}
	}
	text, err := h.Run(ctx, nil, "ip", "-o", "-4", "addr", "show")
	if err != nil {
		return "", fmt.Errorf("looking for %s: %w", s.IP, err)
	}
	for _, a := range parseAddresses(string(text)) {
		if a.Prefix.Addr().String() == s.IP {
			return "", nil
		}
	}
	return "no network interface has " + s.IP, nil
}

const kindBootDefault = "bootdefault"

// BootDefaultStep makes the running kernel the one that every boot starts. It stands behind a BootStep: until then the
// default is the old one.
type BootDefaultStep struct{ Release string }

// bootDefaultBefore is a BootDefaultStep's begin record.
type bootDefaultBefore struct {
	Kernel string `json:"kernel"` // file of the default
}

// ID implements Step.
func (s *BootDefaultStep) ID() string { return kindBootDefault + ":" + s.Release }

// Line implements Step.
func (s *BootDefaultStep) Line() Line {
	return Line{Verb: "make", Object: "kernel " + s.Release + " the default", Why: "once it has come up"}
}

// Check implements Step.
func (s *BootDefaultStep) Check(ctx context.Context, h host.Host) (Status, error) {
	now, err := defaultKernel(ctx, h)
	if err != nil || now != vmlinuz(s.Release) {
		return Status{State: Needed, Why: "the default is " + now}, err
	}
	rec, err := readKernel(h, s.Release)
	if err != nil || rec != nil {
		return Status{State: Needed, Why: "its boot entry is still the one for its trial"}, err
	}
	return Status{State: Satisfied}, nil
}

// Before implements Undoer.
func (s *BootDefaultStep) Before(ctx context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	now, err := defaultKernel(ctx, h)
	if err != nil {
		return nil, err
	}
	return json.Marshal(bootDefaultBefore{now})
}

// Do implements Step.
func (s *BootDefaultStep) Do(ctx context.Context, h host.Host) error {
	running, err := runningKernel(h)
	if err != nil {
		return err
	}
	if running != s.Release {
		return fmt.Errorf("internal error: kernel %s is to be the default, but %s runs", s.Release, running)
	}
	now, err := defaultKernel(ctx, h)
	if err != nil {
		return err
	}
	if now != vmlinuz(s.Release) {
		if err := setDefault(ctx, h, vmlinuz(s.Release)); err != nil {
			return err
		}
	}
	rec, err := readKernel(h, s.Release)
	if err != nil || rec == nil {
		return err
	}
	if err := disarm(ctx, h, *rec); err != nil {
		return err
	}
	if err := syncBoot(ctx, h); err != nil {
		return err
	}
	return h.Remove(kernelName())
}

// syncBoot brings what was changed in /boot to the disk: GRUB reads it without looking into a file system's journal.
func syncBoot(ctx context.Context, h host.Host) error {
	if _, err := h.Run(ctx, nil, "sync"); err != nil {
		return fmt.Errorf("making /boot durable: %w", err)
	}
	return nil
}

// setDefault makes a kernel the default and looks whether it is: grubby may have changed a menu that nobody reads.
func setDefault(ctx context.Context, h host.Host, kernel string) error {
	if _, err := h.Run(ctx, nil, "grubby", "--set-default="+kernel); err != nil {
		return fmt.Errorf("making %s the default: %w", kernel, err)
	}
	now, err := defaultKernel(ctx, h)
	if err == nil && now != kernel {
		err = fmt.Errorf("making %s the default: grubby did it without an error, but says that it is %s", kernel, now)
	}
	if err != nil {
		return err
	}
	return syncBoot(ctx, h)
}

// undoBootDefault gives the default back to the kernel that had it, when that is still there and nobody chose another one.
func undoBootDefault(ctx context.Context, u Undoing) error {
	var b bootDefaultBefore
	if err := u.first(&b); err != nil {
		return err
	}
	if b.Kernel == vmlinuz(u.Object) || b.Kernel == "" {
		return nil
	}
	there, err := host.Exists(u.Host, b.Kernel)
	if err != nil {
		return err
	}
	if !there {
		u.note("kernel %s stays the default: %s is no longer there", u.Object, b.Kernel)
		return nil
	}
	now, err := defaultKernel(ctx, u.Host)
	if err != nil || now != vmlinuz(u.Object) {
		return err
	}
	return setDefault(ctx, u.Host, b.Kernel)
}
