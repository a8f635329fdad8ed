package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"offgrid/cmd/internal/console"
	"offgrid/installer"
)

// kernelFlags adds the flags that say what may become of the kernel.
func (a *app) kernelFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.reboot, "reboot", "", "when a new kernel needs one: now, later or never; without it you are asked, and where nobody can answer it is later")
	cmd.Flags().StringVar(&a.kernel, "kernel", "", "keep: this host keeps the kernel it has; retry: one that did not come up is tried once more")
	for flag, values := range map[string][]string{"reboot": rebootValues(), "kernel": kernelValues()} {
		cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return values, cobra.ShellCompDirectiveNoFileComp
		})
	}
}

func rebootValues() []string {
	return []string{installer.RebootNow, installer.RebootLater, installer.RebootNever}
}

func kernelValues() []string { return []string{installer.KernelKeep, installer.KernelRetry} }

// kernelFlagsKnown refuses words that neither flag knows.
func (a *app) kernelFlagsKnown() error {
	if a.reboot != "" && !slices.Contains(rebootValues(), a.reboot) {
		return &usageError{fmt.Sprintf("--reboot %q: it is now, later or never", a.reboot), "./install"}
	}
	if a.kernel != "" && !slices.Contains(kernelValues(), a.kernel) {
		return &usageError{fmt.Sprintf("--kernel %q: it is keep or retry", a.kernel), "./install"}
	}
	return nil
}

// rebootError is the end of a run that a reboot has to follow.
type rebootError struct {
	text  string
	hints []string
}

func (e *rebootError) Error() string { return e.text }

// kernelError is a new kernel that did not come up, or not with everything that the host needs.
type kernelError struct{ kernel *installer.KernelOutcome }

func (e *kernelError) Error() string { return e.kernel.Why }

// resumeCommand goes on from what was carried.
func resumeCommand() string { return installer.InstallPath() + " resume" }

// kernelEnd says what is left to do for a kernel, and starts the host anew when it is told to.
func (a *app) kernelEnd(ctx context.Context, s *installer.Session, k *installer.KernelOutcome) error {
	if !k.Owed() {
		return &kernelError{k}
	}
	a.say("", "Everything before the reboot is done; what is left goes on by itself after it, from this host's own disk.")
	if k.State == installer.KernelHeld {
		return &rebootError{k.Why, []string{"when it may come: " + resumeCommand() + " --reboot now   (or later)"}}
	}
	a.say("", fmt.Sprintf("If this host does not answer ten minutes after the reboot, power-cycle it once: it then comes back with kernel %s.", k.Running))
	now, err := a.rebootsNow(ctx, k)
	if err != nil {
		return err
	}
	if !now {
		return &rebootError{k.Why, []string{"systemctl reboot   (one host of a cluster at a time); ./install status shows how far it is"}}
	}
	if err := s.Restart(ctx); err != nil {
		return err
	}
	return &rebootError{"this host starts anew now, to try kernel " + k.Release, []string{"it goes on by itself; afterwards: " + installer.InstallPath() + " status"}}
}

// rebootsNow asks where nothing was said. Without an answer it is later, and so where somebody has to choose the kernel by
// hand: a reboot that nobody attends would bring the old one.
func (a *app) rebootsNow(ctx context.Context, k *installer.KernelOutcome) (bool, error) {
	switch {
	case k.State == installer.KernelByHand:
		return false, nil
	case a.reboot != "":
		return a.reboot == installer.RebootNow, nil
	case a.yes || a.console.JSON():
		return false, nil
	}
	yes, err := a.console.Confirm(ctx, "Start this host anew now, to try kernel "+k.Release+"?")
	if errors.As(err, new(*console.NoAnswerError)) {
		return false, nil
	}
	return yes, err
}

// kernelHints say how it goes on after a kernel that did not do.
func kernelHints(k *installer.KernelOutcome) []string {
	if k.State != installer.KernelFailed {
		return []string{"put that right, then: " + resumeCommand() + "; or systemctl reboot, which brings the old kernel back"}
	}
	return []string{
		"this host runs kernel " + k.Running + " as before, and nothing tries the new one again by itself",
		"to go on with the kernel it has: " + resumeCommand() + " --kernel keep",
		"to try once more, with somebody at the console who sees what it says: " + resumeCommand() + " --kernel retry --reboot now",
	}
}
