package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"offgrid/installer/host"
)

const kindBootOnce = "bootonce"

// watchdogConfig makes systemd keep the machine's watchdog busy from the next boot on: a new kernel that hangs later than
// that is reset. It is there only until the kernel has proven itself.
const (
	watchdogDir    = "/etc/systemd/system.conf.d"
	watchdogConfig = watchdogDir + "/90-offgrid-kernel.conf"
	watchdogText   = "# For the first boot of a new kernel. The installer removes this file when the kernel has proven itself.\n[Manager]\nRuntimeWatchdogSec=5min\n"
)

// trialArgs are the kernel's for its trial: a panic starts the host anew after 30 seconds, and an initramfs that finds no
// root file system starts it anew instead of asking somebody. GRUB then takes the default, which is the old kernel.
func trialArgs() []string { return []string{"panic=30", "rd.shell=0", "rd.emergency=reboot"} }

// BootOnceStep makes the next boot try a kernel once. GRUB forgets that before it starts the kernel, so whatever becomes of
// it, the boot after that is the default's. A kernel that was tried and did not come up is noted and not tried again.
type BootOnceStep struct {
	Release  string
	Config   string // GRUB's menu
	Env      string // GRUB's environment
	Watchdog bool   // there is one
}

// ID implements Step.
func (s *BootOnceStep) ID() string { return kindBootOnce + ":" + s.Release }

// Line implements Step.
func (s *BootOnceStep) Line() Line {
	return Line{Verb: "let", Object: "the next boot try kernel " + s.Release, Why: "once; the default stays"}
}

// Check implements Step.
func (s *BootOnceStep) Check(_ context.Context, h host.Host) (Status, error) {
	running, err := runningKernel(h)
	if err != nil || running == s.Release {
		return Status{State: Satisfied, Why: "it runs"}, err
	}
	rec, err := readKernel(h, s.Release)
	if err != nil {
		return Status{}, err
	}
	switch {
	case rec == nil || rec.State == kernelHeld || rec.State == kernelAgain || rec.State == kernelKept, rec.State == kernelArming:
		return Status{State: Needed}, nil
	case rec.State == kernelFailed:
		return Status{State: Satisfied, Why: "it was tried"}, nil
	}
	boot, err := bootID(h)
	if err != nil {
		return Status{}, err
	}
	if rec.BootID != boot {
		return Status{State: Needed, Why: "it was tried, and the host came back with " + running}, nil
	}
	next, err := nextEntry(h, s.Env)
	if err != nil || next != rec.Title {
		return Status{State: Needed, Why: "GRUB's next entry is another one"}, err
	}
	return Status{State: Satisfied}, nil
}

// Before implements Undoer. kernel.json, which is written before anything is changed, has all that undo needs.
func (s *BootOnceStep) Before(context.Context, host.Host, bool) (json.RawMessage, error) {
	return json.Marshal(struct{}{})
}

// Do implements Step.
func (s *BootOnceStep) Do(ctx context.Context, h host.Host) error {
	rec, err := readKernel(h, s.Release)
	if err != nil {
		return err
	}
	boot, err := bootID(h)
	if err != nil {
		return err
	}
	if rec != nil && rec.BootID != boot && (rec.State == kernelArmed || rec.State == kernelArming && rec.Attempts >= armTries) {
		return s.noteFailure(ctx, h, *rec)
	}
	return s.arm(ctx, h, rec, boot)
}

// armTries is how often the power may go while the next boot is being told to try the kernel. Whether that boot tried it is
// not known then; one that does not come up must not be tried for ever.
const armTries = 2

// noteFailure writes down that the host came back with another kernel, and makes sure that nothing tries this one again.
func (s *BootOnceStep) noteFailure(ctx context.Context, h host.Host, rec kernelRecord) error {
	next, err := nextEntry(h, s.Env)
	if err != nil {
		return err
	}
	running, err := runningKernel(h)
	if err != nil {
		return err
	}
	why := fmt.Sprintf("the host was started anew to try it and came back with %s", running)
	if rec.State == kernelArming {
		why = fmt.Sprintf("the host was started anew %d times while it was told to try it, and came back with %s", rec.Attempts, running)
	}
	if next == rec.Title {
		why = fmt.Sprintf("the host was started anew, but GRUB did not take the entry %q: it runs %s", rec.Title, running)
	}
	if err := disarm(ctx, h, rec); err != nil {
		return err
	}
	rec.State, rec.Why, rec.Args, rec.Watchdog = kernelFailed, why, nil, false
	return writeKernel(h, rec)
}

// arm makes the next boot try the kernel. The record of what is about to be changed comes first, GRUB's environment last,
// and then the word that it is so.
func (s *BootOnceStep) arm(ctx context.Context, h host.Host, before *kernelRecord, boot string) error {
	entry, err := s.ready(ctx, h)
	if err != nil {
		return err
	}
	running, err := runningKernel(h)
	if err != nil {
		return err
	}
	rec := kernelRecord{Release: s.Release, State: kernelArming, From: running, BootID: boot, Title: entry.title, Env: s.Env, Watchdog: s.Watchdog, Attempts: 1}
	if before != nil {
		rec.Attempts, rec.Args = before.Attempts, before.Args // of a try to arm it that was cut off
		if before.BootID != boot || before.State != kernelArming && before.State != kernelArmed {
			rec.Attempts++
		}
		rec.Watchdog = rec.Watchdog || before.Watchdog
	}
	for _, arg := range trialArgs() {
		key, _, _ := strings.Cut(arg, "=")
		has := func(a string) bool { return a == key || strings.HasPrefix(a, key+"=") }
		if !slices.ContainsFunc(entry.args, has) && !slices.Contains(rec.Args, arg) {
			rec.Args = append(rec.Args, arg)
		}
	}
	if err := writeKernel(h, rec); err != nil {
		return err
	}
	if err := s.tell(ctx, h, rec); err != nil {
		return err
	}
	rec.State = kernelArmed
	return writeKernel(h, rec)
}

// ready insists that the kernel is whole and that GRUB finds it.
func (s *BootOnceStep) ready(ctx context.Context, h host.Host) (grubEntry, error) {
	why, err := kernelWhole(h, s.Release, true)
	if err == nil && why != "" {
		err = errors.New(why)
	}
	if err != nil {
		return grubEntry{}, fmt.Errorf("trying kernel %s: %w", s.Release, err)
	}
	entry, err := findEntry(ctx, h, s.Release)
	if err == nil {
		err = s.atTop(h, entry.title)
	}
	if err == nil && entry.initrd == "" { // the package's last script adds it
		err = fmt.Errorf("trying kernel %s: its boot entry names no initramfs; grubby --update-kernel=%s --initrd=%s adds it", s.Release, vmlinuz(s.Release), initramfs(s.Release))
	}
	if err == nil {
		err = s.wayBack(ctx, h)
	}
	return entry, err
}

// wayBack insists that there is a kernel for the boot after the trial, when the new one does not come up.
func (s *BootOnceStep) wayBack(ctx context.Context, h host.Host) error {
	back, err := defaultKernel(ctx, h)
	if err != nil {
		return err
	}
	if back == vmlinuz(s.Release) { // it is not to be the default yet, and will not be
		running, err := runningKernel(h)
		if err != nil {
			return err
		}
		back = vmlinuz(running)
	}
	there, err := host.Exists(h, back)
	if err == nil && !there {
		err = fmt.Errorf("trying kernel %s: there is no kernel to come back to: %s is missing", s.Release, back)
	}
	return err
}

// tell changes systemd's setting, the boot entry, and GRUB's environment.
func (s *BootOnceStep) tell(ctx context.Context, h host.Host, rec kernelRecord) error {
	now, err := defaultKernel(ctx, h)
	if err == nil && now == vmlinuz(s.Release) {
		err = setDefault(ctx, h, vmlinuz(rec.From))
	}
	if err != nil {
		return err
	}
	if rec.Watchdog {
		if err := armWatchdog(h); err != nil {
			return err
		}
	}
	if len(rec.Args) > 0 {
		if _, err := h.Run(ctx, nil, "grubby", "--update-kernel="+vmlinuz(s.Release), "--args="+strings.Join(rec.Args, " ")); err != nil {
			return fmt.Errorf("preparing the boot entry of kernel %s: %w", s.Release, err)
		}
	}
	if err := syncBoot(ctx, h); err != nil {
		return err
	}
	if _, err := h.Run(ctx, nil, "grub2-editenv", s.Env, "set", "next_entry="+rec.Title); err != nil {
		return fmt.Errorf("making %q GRUB's next entry: %w", rec.Title, err)
	}
	return nil
}

// atTop insists that GRUB finds the entry by its title: one in a submenu has another name.
func (s *BootOnceStep) atTop(h host.Host, title string) error {
	menu, err := host.ReadFile(h, s.Config, saveMax)
	if err != nil {
		return fmt.Errorf("reading GRUB's menu: %w", err)
	}
	n := 0
	for line := range strings.Lines(string(menu)) {
		if strings.HasPrefix(line, "menuentry '"+title+"'") || strings.HasPrefix(line, `menuentry "`+title+`"`) {
			n++
		}
	}
	if n != 1 || strings.Contains(title, ">") {
		return fmt.Errorf("finding the boot entry of kernel %s: %s has %d entries of the title %q at its top, want 1; "+
			"with GRUB_DISABLE_SUBMENU=true in /etc/default/grub: grub2-mkconfig -o %s", s.Release, s.Config, n, title, s.Config)
	}
	return nil
}

// armWatchdog writes systemd's setting.
func armWatchdog(h host.Host) error {
	if there, err := host.Exists(h, watchdogDir); err != nil || !there {
		if err == nil {
			err = h.Mkdir(watchdogDir, host.Meta{Mode: 0o755})
		}
		if err != nil {
			return fmt.Errorf("arming the watchdog: %w", err)
		}
	}
	if err := h.Write(watchdogConfig, strings.NewReader(watchdogText), host.Meta{Mode: 0o644}); err != nil {
		return fmt.Errorf("arming the watchdog: %w", err)
	}
	return nil
}

// disarm takes back what a trial needs: the next entry, the entry's arguments, the watchdog.
func disarm(ctx context.Context, h host.Host, rec kernelRecord) error {
	if rec.Env != "" && rec.Title != "" {
		next, err := nextEntry(h, rec.Env)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if next == rec.Title {
			if _, err := h.Run(ctx, nil, "grub2-editenv", rec.Env, "unset", "next_entry"); err != nil {
				return fmt.Errorf("taking back GRUB's next entry: %w", err)
			}
		}
	}
	if err := dropTrialArgs(ctx, h, rec); err != nil {
		return err
	}
	return dropWatchdog(h, rec)
}

// dropTrialArgs removes from a kernel's entry what it got for its trial. grubby compares only what stands before the "=".
func dropTrialArgs(ctx context.Context, h host.Host, rec kernelRecord) error {
	there, err := host.Exists(h, vmlinuz(rec.Release))
	if err != nil || !there || len(rec.Args) == 0 {
		return err
	}
	if _, err := h.Run(ctx, nil, "grubby", "--update-kernel="+vmlinuz(rec.Release), "--remove-args="+strings.Join(rec.Args, " ")); err != nil {
		return fmt.Errorf("cleaning the boot entry of kernel %s: %w", rec.Release, err)
	}
	return nil
}

// dropWatchdog removes systemd's setting, and its directory when nothing else is in it. systemd goes on feeding a watchdog
// that it has begun with until the next boot: one that is not fed resets the machine.
func dropWatchdog(h host.Host, rec kernelRecord) error {
	if !rec.Watchdog {
		return nil
	}
	if err := h.Remove(watchdogConfig); err != nil {
		return fmt.Errorf("removing the watchdog's setting: %w", err)
	}
	names, err := h.ReadDir(watchdogDir)
	if err == nil && len(names) == 0 {
		return h.Remove(watchdogDir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// undoBootOnce takes back that the next boot tries a kernel.
func undoBootOnce(ctx context.Context, u Undoing) error {
	rec, err := readKernel(u.Host, u.Object)
	if err != nil || rec == nil {
		return err
	}
	if err := disarm(ctx, u.Host, *rec); err != nil {
		return err
	}
	return u.Host.Remove(kernelName())
}
