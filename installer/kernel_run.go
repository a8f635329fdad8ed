package installer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// trimmed is a file's only word.
func trimmed(text string) string { return strings.TrimSpace(text) }

// decideKernels writes down what the operator said about the kernels of the roles, so that a run without a person, which
// the timer starts after the reboot, knows it. It comes before anything else is changed.
func (s *Session) decideKernels(ctx context.Context, indexes []*bundle.RoleIndex) error {
	if s.Kernel == "" && s.Reboot == "" {
		return nil
	}
	for _, index := range indexes {
		running, err := readOptional(s.Host, "/proc/sys/kernel/osrelease")
		if err != nil {
			return err
		}
		if upgradesKernel(index, trimmed(running)) && trimmed(running) != index.Kernel.Release {
			if err := s.decideKernel(context.WithoutCancel(ctx), index.Kernel.Release); err != nil {
				return err
			}
		}
	}
	return nil
}

// decideKernel writes it down for one kernel, and takes back that the next boot tries one that is not wanted.
func (s *Session) decideKernel(ctx context.Context, release string) error {
	rec, err := readKernel(s.Host, release)
	if err != nil {
		return err
	}
	now := kernelRecord{Release: release}
	if rec != nil {
		now = *rec
	}
	was := now.State
	switch {
	case s.Kernel == KernelKeep:
		now.State = kernelKept
	case s.Kernel == KernelRetry && (was == kernelFailed || was == kernelKept):
		now.State, now.Why = kernelAgain, ""
	case s.Reboot == RebootNever && was != kernelFailed && was != kernelKept:
		now.State = kernelHeld
	case (s.Reboot == RebootNow || s.Reboot == RebootLater) && was == kernelHeld:
		now.State = kernelAgain
	}
	if now.State == was {
		return nil
	}
	if was == kernelArmed || was == kernelArming {
		if err := disarm(ctx, s.Host, now); err != nil {
			return err
		}
		now.Args, now.Watchdog = nil, false
	}
	return writeKernel(s.Host, now)
}

// decideCarried is decideKernels for the roles that were carried to this host, under the lock.
func (s *Session) decideCarried(ctx context.Context) error {
	if s.Kernel == "" && s.Reboot == "" {
		return nil
	}
	installed, err := InstalledRoles(s.Host)
	if err != nil || len(installed) == 0 {
		return err
	}
	lock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	for _, in := range installed {
		b, err := s.carriedRoleBundle(in.Role)
		if err != nil {
			return err
		}
		err = s.decideKernels(ctx, []*bundle.RoleIndex{&b.Role})
		b.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// kernelOutcome is what is left to do for the kernel of the roles; nil when nothing is, or when the run did not come so far.
func (s *Session) kernelOutcome(ctx context.Context, roles []RoleJob, out *Outcome) error {
	for _, r := range roles {
		for _, step := range r.Plan.Steps() {
			boot, ok := step.(*BootStep)
			if !ok || out.Kernel != nil {
				continue
			}
			left, err := boot.look(ctx, s.Host)
			if err != nil {
				return err
			}
			out.Kernel = left
		}
	}
	return nil
}

// atKernel reports whether nothing can go on before the next boot: every role waits for the kernel.
func (o *Outcome) atKernel() bool {
	if o.Kernel == nil || o.Kernel.State == KernelUnproven {
		return false
	}
	return !slices.ContainsFunc(o.Waiting, func(w Waiting) bool { return w.Why != o.Kernel.Why })
}

// Restart starts the host anew. What was begun goes on by itself afterwards.
func (s *Session) Restart(ctx context.Context) error {
	s.Report.Report(progress.Event{Phase: "apply", Kind: progress.Note, Text: "this host starts anew now"})
	ctx = context.WithoutCancel(ctx)
	if _, err := s.Host.Run(ctx, nil, "sync"); err != nil {
		return fmt.Errorf("starting the host anew: %w", err)
	}
	if _, err := s.Host.Run(ctx, nil, "systemctl", "reboot"); err != nil {
		return fmt.Errorf("starting the host anew: %w", err)
	}
	return nil
}

// kernelModules reads the list of the carried kernel's modules.
func kernelModules(ctx context.Context, b *bundle.Bundle) (map[string]bool, error) {
	if b.Role.Kernel == nil {
		return nil, nil
	}
	a, ok := b.Artifact(b.Role.Kernel.Modules)
	if !ok {
		return nil, fmt.Errorf("reading the kernel's modules: the bundle has no artifact %q", b.Role.Kernel.Modules)
	}
	data, err := artifactData(ctx, b, a)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if name := strings.TrimSpace(line); name != "" {
			found[strings.ReplaceAll(name, "-", "_")] = true
		}
	}
	return found, nil
}
