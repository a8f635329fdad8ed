package installer

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"offgrid/installer/host"
)

// rpmDir is where rpm keeps its database. el7's is Berkeley DB: a process that dies in it leaves the files __db.001 and so on,
// which say that it is still at work.
const rpmDir = "/var/lib/rpm"

// rpmDatabaseError is a database that rpm cannot open, or says that it must be recovered, or waits in for ever.
type rpmDatabaseError struct{ Err error }

func (e *rpmDatabaseError) Error() string {
	return fmt.Sprintf("rpm's database in %s is not in order: %v; what helps: rm -f %s/__db.* && rpm --rebuilddb", rpmDir, e.Err, rpmDir)
}

func (e *rpmDatabaseError) Unwrap() error { return e.Err }

// rpmBroken tells the complaints of Berkeley DB about its own files from all others. A full disk and missing rights are no
// damage: making the database anew would not get further.
func rpmBroken(err error) bool {
	var failed *host.RunError
	if !errors.As(err, &failed) {
		return false
	}
	for _, other := range []string{"No space left on device", "Permission denied", "Read-only file system"} {
		if strings.Contains(failed.Stderr, other) {
			return false
		}
	}
	return slices.ContainsFunc([]string{
		"DB_RUNRECOVERY", "rpmdb open failed", "cannot open Packages index", "cannot open Packages database", "fatal region error detected",
	}, func(said string) bool { return strings.Contains(failed.Stderr, said) })
}

// repairRPM brings a database in order that rpm cannot open: first what a dead process left is removed, which is all that is
// needed after a kill; when that does not help, rpm makes the indexes anew from the packages, once. Nothing is done while
// another program works with the database.
func repairRPM(ctx context.Context, h host.Host) error {
	if err := rpmIdle(h); err != nil {
		return err
	}
	if err := dropDeadRPM(h); err != nil {
		return err
	}
	if err := askRPM(ctx, h); !errors.As(err, new(*rpmDatabaseError)) {
		return err
	}
	if err := dropDeadRPM(h); err != nil { // of the question, when it was ended
		return err
	}
	if err := runRPM(ctx, h, rpmRunTime, []string{"rpm", "--rebuilddb"}); err != nil {
		return fmt.Errorf("making rpm's database anew: %w", err)
	}
	if err := dropDeadRPM(h); err != nil {
		return err
	}
	err := askRPM(ctx, h)
	if errors.As(err, new(*rpmDatabaseError)) {
		return fmt.Errorf("making rpm's database anew did not help; keep a copy of %s before anything else is tried: %w", rpmDir, err)
	}
	return err
}

// askRPM opens the database. That the package is there is not asked.
func askRPM(ctx context.Context, h host.Host) error {
	_, err := queryRPM(ctx, h, fullFormat, []string{"rpm"})
	return err
}

// dropDeadRPM removes what a dead process left in the database.
func dropDeadRPM(h host.Host) error {
	names, err := h.ReadDir(rpmDir)
	if err != nil {
		return fmt.Errorf("repairing rpm's database: %w", err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "__db.") {
			continue
		}
		if err := h.Remove(path.Join(rpmDir, name)); err != nil {
			return fmt.Errorf("repairing rpm's database: %w", err)
		}
	}
	return nil
}

// rpmIdle insists that nobody works with the database: its files must not go from under a living process.
func rpmIdle(h host.Host) error {
	names, err := h.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("repairing rpm's database: %w", err)
	}
	for _, pid := range names {
		if strings.Trim(pid, "0123456789") != "" {
			continue
		}
		comm, err := host.ReadFile(h, "/proc/"+pid+"/comm", inlineMax)
		if err != nil {
			continue // it has ended meanwhile
		}
		if name := strings.TrimSpace(string(comm)); slices.Contains([]string{"rpm", "rpmdb", "yum", "packagekitd", "dnf"}, name) {
			return fmt.Errorf("repairing rpm's database: %s is at work with it, process %s; wait for it to end, or see what it is: ps -f -p %s", name, pid, pid)
		}
	}
	return nil
}
