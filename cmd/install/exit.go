package main

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"offgrid/bundle"
	"offgrid/cmd/internal/console"
	"offgrid/installer"
)

// Exit codes. They are told in the help of every command and in the README.
const (
	exitDone        = 0
	exitFailed      = 1
	exitRefused     = 2
	exitReboot      = 3
	exitDamaged     = 4
	exitConflict    = 5
	exitUnhealthy   = 6
	exitInterrupted = 130
)

const exitText = `Exit codes:
  0    done; also when the host waits for others and goes on by itself
  1    a step failed; run the same command again, it goes on where it stopped
  2    refused: wrong command, wrong host or wrong bundle; nothing was changed
  3    a reboot is needed, or under way; the host goes on by itself after it
  4    the bundle is damaged; nothing was changed
  5    something on this host is in the way; nothing was replaced
  6    everything is in place, but a health check failed; or an upgrade failed
       and the version before it was put back
  130  interrupted; run the same command again`

// usageError is a command line that cannot be meant.
type usageError struct {
	text    string
	command string // whose help tells more
}

func (e *usageError) Error() string { return e.text }

// errUnhealthy is the end of a run whose health lines, or whose comparison, have been printed.
var errUnhealthy = errors.New("a check failed; see the lines marked FAILED")

// errDeclined is the answer no.
var errDeclined = errors.New("nothing was changed")

// verdict is what an error means for whoever typed the command.
type verdict struct {
	code  int
	hints []string // the one command, or the one thing, that helps
}

// judge chooses the exit code and what helps; nothing else does.
func judge(err error) verdict {
	if err == nil {
		return verdict{code: exitDone}
	}
	for _, by := range []func(error) (verdict, bool){judgeEnd, judgeCommand, judgeMedium, judgeBundle, judgeConflict, judgeFailure} {
		if v, ok := by(err); ok {
			return v
		}
	}
	return verdict{code: exitFailed}
}

// judgeEnd knows the ends of a run that came to one.
func judgeEnd(err error) (verdict, bool) {
	var (
		reboot *rebootError
		kernel *kernelError
		back   *installer.PutBackError
	)
	switch {
	case errors.Is(err, context.Canceled):
		return verdict{exitInterrupted, []string{"the step at work was finished; the same command goes on from there (./install resume, too, once the medium may be removed)"}}, true
	case errors.As(err, &reboot):
		return verdict{exitReboot, reboot.hints}, true
	case errors.As(err, &kernel):
		return verdict{exitFailed, kernelHints(kernel.kernel)}, true
	case errors.As(err, &back):
		return verdict{exitUnhealthy, putBackHints(back)}, true
	case errors.Is(err, errUnhealthy):
		return verdict{code: exitUnhealthy}, true
	case errors.Is(err, errDeclined):
		return verdict{code: exitRefused}, true
	}
	return verdict{}, false
}

// judgeCommand knows what is wrong with the command or with the host that it was typed on.
func judgeCommand(err error) (verdict, bool) {
	var (
		usage   *usageError
		wrong   *installer.UsageError
		refused *installer.RefusedError
		answer  *console.NoAnswerError
	)
	switch {
	case errors.As(err, &usage):
		return verdict{exitRefused, []string{usage.command + " --help"}}, true
	case errors.As(err, &wrong):
		return verdict{exitRefused, []string{wrong.Hint}}, true
	case errors.As(err, &refused):
		code := exitRefused
		if refused.Class == installer.ClassHost {
			code = exitConflict
		}
		return verdict{code, []string{"do what is said above, then run the same command again"}}, true
	case errors.As(err, &answer):
		return verdict{exitRefused, []string{"add --yes to go on without being asked"}}, true
	}
	if help := passphraseHints(err); help != nil {
		return verdict{exitRefused, help}, true
	}
	return verdict{}, false
}

// judgeBundle knows bundles that cannot be used.
func judgeBundle(err error) (verdict, bool) {
	var (
		damage   *bundle.DamageError
		format   *bundle.FormatError
		not      *bundle.NotABundleError
		stranger *bundle.UntrustedError
	)
	switch {
	case errors.As(err, &damage):
		if strings.Contains(damage.Path, installer.StateDir+"/") {
			return verdict{exitDamaged, notCarriedHints()}, true
		}
		return verdict{exitDamaged, []string{"this host was not changed; copy the bundle again from dist/ where it was built, and compare: sha256sum -c SHA256SUMS"}}, true
	case errors.Is(err, bundle.ErrNotCarried):
		return verdict{exitFailed, notCarriedHints()}, true
	case errors.As(err, &stranger):
		return verdict{exitRefused, untrustedHints(stranger)}, true
	case errors.As(err, &format):
		return verdict{exitRefused, []string{"use the file install that was written to dist/ together with this bundle"}}, true
	case errors.As(err, &not):
		return verdict{exitRefused, []string{"bundles are the files ROLE.bundle from dist/ of the build: ls -l *.bundle"}}, true
	}
	return verdict{}, false
}

func notCarriedHints() []string {
	return []string{"what was kept on this host's disk is not whole; with the bundle beside it ./install brings it again, the other things stay as they are"}
}

// judgeConflict knows what on the host is in the way.
func judgeConflict(err error) (verdict, bool) {
	var (
		conflict *installer.ConflictError
		locked   *installer.LockedError
		drain    *installer.DrainError
	)
	switch {
	case errors.As(err, &drain):
		return verdict{exitConflict, []string{"nothing was replaced, and pods may be scheduled to the node again; give the budget room (kubectl get pdb -A), or wait longer " +
			"with --drain-timeout 30m, then run the same command again"}}, true
	case errors.As(err, &conflict):
		return verdict{exitConflict, []string{"./install uninstall takes back what was done so far; or remove what is in the way and run the same command again"}}, true
	case errors.As(err, &locked):
		return verdict{exitConflict, []string{"wait for it" + psHint(locked.PID)}}, true
	case errors.As(err, new(*bundle.BaseError)):
		return verdict{exitConflict, []string{"bring the whole bundle, which `bundle build` makes without --since: it needs nothing of what is installed"}}, true
	case errors.As(err, new(*installer.RestoreRefusedError)):
		return verdict{exitConflict, []string{"do the steps above in their order"}}, true
	}
	return verdict{}, false
}

// judgeFailure knows what helps when something failed on the way.
func judgeFailure(err error) (verdict, bool) {
	var step *installer.StepError
	var hint string
	switch {
	case errors.As(err, new(*installer.EtcdDownError)):
		hint = "systemctl status etcd; journalctl -u etcd -n 20; or take the snapshot on another member"
	case errors.Is(err, syscall.ENOSPC), strings.Contains(err.Error(), "no space left on device"): // docker and rpm only say so
		hint = "make room on that disk (df -h shows it), then run the same command again: it goes on where it stopped"
	case errors.Is(err, fs.ErrPermission):
		hint = "run this as root: sudo ./install ..."
	case errors.As(err, &step) && strings.HasPrefix(step.Step, "packages:"):
		hint = "rpm changed nothing unless it says so; clear what it names, then run the same command again"
	case errors.As(err, &step):
		hint = "run the same command again: it goes on at this step; ./install uninstall takes everything back"
	default:
		return verdict{}, false
	}
	return verdict{exitFailed, []string{hint}}, true
}

// putBackHints say where to look after an upgrade that failed.
func putBackHints(back *installer.PutBackError) []string {
	units := map[string]string{"etcd": "etcd", "master": "kube-apiserver -u kube-controller-manager -u kube-scheduler", "node": "kubelet -u kube-proxy -u docker", "lb": "nginx -u keepalived"}
	help := []string{"what the new version said: journalctl --since -30min -u " + units[back.Role]}
	if back.Back != nil {
		return append(help, "clear what the put-back names, then: "+installer.InstallPath()+" resume")
	}
	return append(help, "./install status shows what runs; the same command tries the upgrade again, nothing else does")
}

func psHint(pid string) string {
	if pid == "" {
		return ""
	}
	return "; see what it is: ps -f -p " + pid
}
