package installer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// StateDir is where a host keeps what a later boot, a resume and an uninstall need. JOURNAL.md describes what is in it.
const StateDir = "/var/lib/offgrid"

// Names in StateDir.
const (
	journalName = "journal.jsonl"
	lockName    = "lock"
	installName = "install"
	rolesName   = "roles"
	wantName    = "want.json"
)

// InstallPath is where the installer keeps a copy of itself.
func InstallPath() string { return path.Join(StateDir, installName) }

// RoleDir is where what was carried of a role's bundle lies: a bundle directory, and want.json beside its blobs.
func RoleDir(role string) string { return path.Join(StateDir, rolesName, role) }

// Installed is roles/ROLE/want.json: what the operator asked for when the role was carried.
type Installed struct {
	Format int           `json:"format"` // 0
	Role   string        `json:"role"`
	IP     string        `json:"ip"`
	Host   string        `json:"host"`            // name in the cluster file; of one that is not in it, the name it had when it joined
	Bundle bundle.Digest `json:"bundle"`          // of the bundle's root
	Token  string        `json:"token,omitempty"` // bootstrap token that the operator gave in place of the pack's
	// Signer is the public key that has signed the bundle and was trusted; "" when it was let in without one.
	Signer string `json:"signer,omitempty"`
}

// LockedError says that another installer is at work.
type LockedError struct {
	Path string
	PID  string // of the one that holds the lock, as it wrote it; "" when it had not yet
}

func (e *LockedError) Error() string {
	if e.PID == "" {
		return fmt.Sprintf("locking %s: another installer is running", e.Path)
	}
	return fmt.Sprintf("locking %s: another installer is running, process %s", e.Path, e.PID)
}

// StateLock is the state directory, held for this process alone.
type StateLock struct {
	dir  string
	lock *os.File
}

// LockState makes the state directory at dir unless it is there, and locks it until Close. When somebody else holds the
// lock, it returns a *LockedError.
func LockState(dir string) (*StateLock, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("making the state directory: %w", err)
	}
	name := filepath.Join(dir, lockName)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", name, err)
		}
		holder, err := io.ReadAll(io.LimitReader(f, 32))
		if err != nil {
			holder = nil
		}
		return nil, &LockedError{Path: name, PID: strings.TrimSpace(string(holder))}
	}
	s := &StateLock{dir: dir, lock: f}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", name, err), s.Close())
	}
	return s, nil
}

// Close gives the lock back.
func (s *StateLock) Close() error { return s.lock.Close() }

// Journal opens the journal for writing.
func (s *StateLock) Journal(o JournalOptions) (*Journal, error) {
	return OpenJournal(filepath.Join(s.dir, journalName), o)
}

// InstalledRoles reads what was asked for from the state directory of a host, in the order of RoleOrder. It needs no lock.
// A role whose carrying was interrupted before want.json was written is not among them.
func InstalledRoles(h host.Host) ([]Installed, error) {
	var roles []Installed
	for _, role := range bundle.RoleOrder() {
		in, err := readInstalled(h, RoleDir(role))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if in.Role != role {
			return nil, fmt.Errorf("reading %s: it is about role %q", path.Join(RoleDir(role), wantName), in.Role)
		}
		roles = append(roles, in)
	}
	return roles, nil
}

// nothingCarried says why there is nothing to go on with.
func (s *Session) nothingCarried() error {
	if role := s.Interrupted(); role != "" {
		return &UsageError{What: "the installation of " + role + " was cut off before everything was carried to this host: the medium is needed once more",
			Hint: "./install --role " + role + "   (from the medium; or ./install uninstall to take back what was begun)"}
	}
	return &UsageError{What: "nothing was installed on this host yet", Hint: "./install --role ROLE --ip IP"}
}

// Interrupted returns the role whose carrying was begun and did not come to its end, "" when there is none.
func (s *Session) Interrupted() string {
	journal, err := s.readJournal()
	installed, ierr := InstalledRoles(s.Host)
	if err != nil || ierr != nil || journal == nil {
		return ""
	}
	for _, c := range journal.Claims() {
		role, ok := strings.CutPrefix(c.Step, kindCarry+":")
		if ok && !slices.ContainsFunc(installed, func(in Installed) bool { return in.Role == role }) {
			return role
		}
	}
	return ""
}

// removeState removes the state directory when nothing is left to undo. The journal goes after everything else but the
// lock, so that a crash on the way leaves an uninstall that can be repeated.
func removeState(u Undoing) error {
	names, err := u.Host.ReadDir(StateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == journalName || name == lockName {
			continue
		}
		if err := u.Host.RemoveAll(path.Join(StateDir, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{journalName, lockName, ""} {
		if err := u.Host.Remove(path.Join(StateDir, name)); err != nil {
			return err
		}
	}
	return nil
}

// writeJSON writes a value with a newline at its end.
func writeJSON(h host.Host, name string, v any, mode fs.FileMode) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	return h.Write(name, bytes.NewReader(append(data, '\n')), host.Meta{Mode: mode})
}
