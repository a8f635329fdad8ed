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
  6    everything is in place, but a health check failed; or an upgrade failed and
       the version before it was put back
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

// exitCode chooses the exit code; nothing else does.
func exitCode(err error) int {
	var (
		usage    *usageError
		wrong    *installer.UsageError
		refused  *installer.RefusedError
		conflict *installer.ConflictError
		locked   *installer.LockedError
		damage   *bundle.DamageError
		format   *bundle.FormatError
		not      *bundle.NotABundleError
		answer   *console.NoAnswerError
		back     *installer.PutBackError
		drain    *installer.DrainError
	)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, new(*rebootError)):
		return exitReboot
	case errors.Is(err, errUnhealthy), errors.As(err, &back):
		return exitUnhealthy
	case errors.As(err, &damage):
		return exitDamaged
	case errors.As(err, &refused):
		if refused.Class == installer.ClassHost {
			return exitConflict
		}
		return exitRefused
	case errors.As(err, &conflict), errors.As(err, &locked), errors.As(err, &drain), errors.As(err, new(*installer.RestoreRefusedError)):
		return exitConflict
	case errors.As(err, &usage), errors.As(err, &wrong), errors.As(err, &format), errors.As(err, &not), errors.As(err, &answer), errors.Is(err, errDeclined):
		return exitRefused
	}
	return exitFailed
}

// hints returns the one command, or the one thing, that helps.
func hints(err error) []string {
	var (
		usage    *usageError
		wrong    *installer.UsageError
		refused  *installer.RefusedError
		conflict *installer.ConflictError
		locked   *installer.LockedError
		damage   *bundle.DamageError
		format   *bundle.FormatError
		not      *bundle.NotABundleError
		answer   *console.NoAnswerError
	)
	if help := upgradeHints(err); help != nil {
		return help
	}
	if help := kernelHints(err); help != nil {
		return help
	}
	switch {
	case errors.Is(err, context.Canceled):
		return []string{"the step at work was finished; the same command goes on from there (./install resume, too, once the medium may be removed)"}
	case errors.As(err, &usage):
		return []string{usage.command + " --help"}
	case errors.As(err, &wrong):
		return []string{wrong.Hint}
	case errors.As(err, &refused):
		return []string{"do what is said above, then run the same command again"}
	case errors.As(err, &conflict):
		return []string{"./install uninstall takes back what was done so far; or remove what is in the way and run the same command again"}
	case errors.As(err, &locked):
		return []string{"wait for it" + psHint(locked.PID)}
	case errors.As(err, &damage) && strings.Contains(damage.Path, installer.StateDir+"/"), errors.Is(err, bundle.ErrNotCarried):
		return []string{"what was kept on this host's disk is not whole; with the bundle beside it ./install brings it again, the other things stay as they are"}
	case errors.As(err, &damage):
		return []string{"this host was not changed; copy the bundle again from dist/ where it was built, and compare: sha256sum -c SHA256SUMS"}
	case errors.As(err, &format):
		return []string{"use the file install that was written to dist/ together with this bundle"}
	case errors.As(err, &not):
		return []string{"bundles are the files ROLE.bundle from dist/ of the build: ls -l *.bundle"}
	case errors.As(err, &answer):
		return []string{"add --yes to go on without being asked"}
	case errors.Is(err, errDeclined), errors.Is(err, errUnhealthy):
		return nil
	}
	return hostHints(err)
}

// upgradeHints says where to look after an upgrade that failed.
func upgradeHints(err error) []string {
	var (
		back  *installer.PutBackError
		drain *installer.DrainError
	)
	switch {
	case errors.As(err, &drain):
		return []string{"nothing was replaced, and pods may be scheduled to the node again; give the budget room (kubectl get pdb -A), or wait longer " +
			"with --drain-timeout 30m, then run the same command again"}
	case !errors.As(err, &back):
		return nil
	}
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

func hostHints(err error) []string {
	var step *installer.StepError
	switch {
	case errors.As(err, new(*installer.RestoreRefusedError)):
		return []string{"do the steps above in their order"}
	case errors.As(err, new(*installer.EtcdDownError)):
		return []string{"systemctl status etcd; journalctl -u etcd -n 20; or take the snapshot on another member"}
	case errors.Is(err, syscall.ENOSPC), strings.Contains(err.Error(), "no space left on device"): // docker and rpm only say so
		return []string{"make room on that disk (df -h shows it), then run the same command again: it goes on where it stopped"}
	case errors.Is(err, fs.ErrPermission):
		return []string{"run this as root: sudo ./install ..."}
	case errors.As(err, &step) && strings.HasPrefix(step.Step, "packages:"):
		return []string{"rpm changed nothing unless it says so; clear what it names, then run the same command again"}
	case errors.As(err, &step):
		return []string{"run the same command again: it goes on at this step; ./install uninstall takes everything back"}
	}
	return nil
}
