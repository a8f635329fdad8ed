package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"offgrid/installer/host"
)

const kindKernel = "kernel"

// KernelStep installs a kernel beside those that are there: rpm -i, since an upgrade would remove an older version of it,
// perhaps the one that runs. The package's own scripts make its initramfs and its boot entry; the default stays.
type KernelStep struct {
	Release  string // what /proc/sys/kernel/osrelease says once it runs
	Packages []RPM
}

// kernelBefore is a KernelStep's begin record.
type kernelBefore struct {
	Main    string   `json:"main"`    // the package that is the kernel itself
	Missing []string `json:"missing"` // packages that were not installed, with their versions
}

// ID implements Step.
func (s *KernelStep) ID() string { return kindKernel + ":" + s.Release }

// Line implements Step.
func (s *KernelStep) Line() Line {
	return Line{Verb: "install", Object: "kernel " + s.Release, Why: "beside the ones that are there; the default stays"}
}

// startedMark exists while rpm runs.
func (s *KernelStep) startedMark() string { return path.Join(StateDir, "rpm-kernel.json") }

// Check implements Step.
func (s *KernelStep) Check(ctx context.Context, h host.Host) (Status, error) {
	again, err := interruptedRPM(h, s.startedMark())
	if err != nil || len(again) > 0 {
		return Status{State: Needed, Why: "rpm was interrupted in the middle of it"}, err
	}
	installed, err := queryPackages(ctx, h, s.Packages)
	if errors.As(err, new(*rpmDatabaseError)) {
		return Status{State: Needed, Why: "rpm's database has to be repaired first"}, nil
	}
	if err != nil {
		return Status{}, err
	}
	if todo := s.missing(installed); len(todo) > 0 {
		return Status{State: Needed, Why: "to install: " + strings.Join(packageIDs(todo), ", ")}, nil
	}
	why, err := kernelWhole(h, s.Release, false)
	if err != nil || why != "" {
		return Status{State: Needed, Why: why}, err
	}
	return Status{State: Satisfied}, nil
}

// missing are the packages that are not there in this very version.
func (s *KernelStep) missing(installed map[string][]string) []RPM {
	var todo []RPM
	for _, p := range s.Packages {
		if !slices.Contains(installed[p.id()], fullEVR(p.EVR)) {
			todo = append(todo, p)
		}
	}
	return todo
}

// main is the package that is the kernel itself: it has the kernel's release, and the others of that are named after it.
func (s *KernelStep) main() RPM {
	var best RPM
	for _, p := range s.Packages {
		_, version, release := splitEVR(p.EVR)
		if version+"-"+release+"."+p.Arch == s.Release && (best.Name == "" || len(p.Name) < len(best.Name)) {
			best = p
		}
	}
	return best
}

// Before implements Undoer.
func (s *KernelStep) Before(ctx context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	installed, err := queryRepaired(ctx, h, packageIDs(s.Packages))
	if err != nil {
		return nil, err
	}
	b := kernelBefore{Main: s.main().full(), Missing: []string{}}
	for _, p := range s.missing(installed) {
		b.Missing = append(b.Missing, p.full())
	}
	return json.Marshal(b)
}

// Do implements Step. A kernel that is installed but not whole, because its scripts were cut off, is installed once more.
func (s *KernelStep) Do(ctx context.Context, h host.Host) error {
	installed, err := queryRepaired(ctx, h, packageIDs(s.Packages))
	if err != nil {
		return err
	}
	again, err := interruptedRPM(h, s.startedMark())
	if err != nil {
		return err
	}
	todo := s.missing(installed)
	whole, err := kernelWhole(h, s.Release, false)
	if err != nil || len(todo) == 0 && len(again) == 0 && whole == "" {
		return err // only rpm's database had to be repaired
	}
	cut := len(again) > 0 || len(todo) == 0
	if cut {
		todo = s.Packages
	}
	t := rpmTransaction{what: "kernel " + s.Release, argv: []string{"rpm", "-i"}, mark: s.startedMark(), packages: todo, again: cut}
	if err := t.run(ctx, h); err != nil {
		return err
	}
	why, err := kernelWhole(h, s.Release, true)
	if err == nil && why != "" {
		err = fmt.Errorf("%s: its package makes it, and says why not in the log of this run; is there room: df -h /boot /var/tmp", why)
	}
	if err != nil {
		return fmt.Errorf("installing kernel %s: %w", s.Release, err)
	}
	return syncBoot(ctx, h)
}

// undoKernel removes a kernel that was not there before. The one that runs stays, and the last one: a host without a kernel
// is a host that somebody has to travel to.
func undoKernel(ctx context.Context, u Undoing) error {
	var names []string
	var b kernelBefore
	for _, raw := range u.Begins {
		if err := decodeBefore(raw, &b); err != nil {
			return err
		}
		names = append(names, b.Missing...)
	}
	slices.Sort(names)
	names, err := queryFull(ctx, u.Host, slices.Compact(names))
	if err != nil {
		return err
	}
	running, err := runningKernel(u.Host)
	if err != nil {
		return err
	}
	others, err := otherKernels(u.Host, u.Object)
	if err != nil {
		return err
	}
	if slices.Contains(names, b.Main) && (running == u.Object || len(others) == 0) {
		names = slices.DeleteFunc(names, func(n string) bool { return n == b.Main })
		why, when := "it runs", "after a boot into another one: "
		if running != u.Object {
			why, when = "there is no other", "once there is another one: "
		}
		u.note("kernel %s stays, because %s; %srpm -e %s", u.Object, why, when, b.Main)
	}
	if len(names) > 0 {
		if err := runRPM(ctx, u.Host, rpmTestTime, append([]string{"rpm", "-e", "--test"}, names...)); err != nil {
			return fmt.Errorf("removing kernel %s: %w", u.Object, err)
		}
		if err := runRPM(ctx, u.Host, rpmRunTime, append([]string{"rpm", "-e"}, names...)); err != nil {
			return fmt.Errorf("removing kernel %s: %w", u.Object, err)
		}
	}
	return u.Host.Remove((&KernelStep{}).startedMark())
}

// otherKernels are the releases of the kernels in /boot but one, without the rescue image, which no package updates.
func otherKernels(h host.Host, release string) ([]string, error) {
	names, err := h.ReadDir("/boot")
	if err != nil {
		return nil, fmt.Errorf("looking for kernels: %w", err)
	}
	var found []string
	for _, name := range names {
		if other, ok := strings.CutPrefix(name, "vmlinuz-"); ok && other != release && !strings.HasPrefix(other, "0-rescue") {
			found = append(found, other)
		}
	}
	return found, nil
}
