package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"syscall"

	"offgrid/bundle"
	"offgrid/installer/host"
)

const kindKeep = "keep"

// Names below old/ROLE.
const (
	oldName      = "old"
	keptRole     = "role"     // the role's carried directory
	keptPrograms = "programs" // the programs that are replaced, by the digest of their content
	upgradeName  = "upgrade.json"
)

// OldDir is where the version of a role is kept that an upgrade replaces, until the new one has passed its health check.
func OldDir(role string) string { return path.Join(StateDir, oldName, role) }

// KeepStep keeps what an upgrade is about to replace: the carried directory of the role and the programs whose content
// changes, as second names of the same files, or copies where that is another file system. upgrade.json is written last:
// without it nothing was replaced yet, and what lies there may go. With it nothing is kept a second time, so that a second
// try of the same upgrade never takes the new version for the old one.
type KeepStep struct {
	Role   string
	Record upgradeRecord // written when all is kept
	pack   *packState    // of the version that is replaced; its secrets are kept here until the new one has proved itself
}

// keptProgram is one program that is kept.
type keptProgram struct {
	Path   string        `json:"path"`
	Digest bundle.Digest `json:"digest"` // of the old content
}

// keepBefore is a KeepStep's begin record.
type keepBefore struct{}

// ID implements Step.
func (s *KeepStep) ID() string { return kindKeep + ":" + s.Role }

// Line implements Step.
func (s *KeepStep) Line() Line {
	return Line{Verb: "keep", Object: s.Record.From.name(s.Role) + " in " + OldDir(s.Role), Why: "it is put back unless the new version is healthy"}
}

// Check implements Step. A program that is not as it was installed could not be put back.
func (s *KeepStep) Check(_ context.Context, h host.Host) (Status, error) {
	now, err := readUpgrade(h, s.Role)
	if err != nil {
		return Status{}, err
	}
	if now != nil {
		if now.To.Bundle != s.Record.To.Bundle {
			return Status{State: Conflict, Why: fmt.Sprintf("an upgrade of %s to another bundle (%s) is not finished", s.Role, now.To.Bundle.Short())}, nil
		}
		return Status{State: Satisfied}, nil
	}
	for _, p := range s.Record.Programs {
		got, _, err := host.DigestFile(h, p.Path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Status{}, err
		}
		if err != nil || got != p.Digest {
			return Status{State: Conflict, Why: p.Path + " is not as it was installed, so that it could not be put back"}, nil
		}
	}
	return Status{State: Needed, Why: "it is replaced"}, nil
}

// Before implements Undoer.
func (s *KeepStep) Before(context.Context, host.Host, bool) (json.RawMessage, error) {
	return json.Marshal(keepBefore{})
}

// Do implements Step.
func (s *KeepStep) Do(_ context.Context, h host.Host) error {
	dir := OldDir(s.Role)
	if err := h.RemoveAll(dir); err != nil {
		return err
	}
	if err := stateDir(h, oldName, s.Role, keptPrograms); err != nil {
		return err
	}
	if err := keepTree(h, RoleDir(s.Role), path.Join(dir, keptRole)); err != nil {
		return fmt.Errorf("keeping %s: %w", RoleDir(s.Role), err)
	}
	for _, p := range s.Record.Programs {
		if err := keepFile(h, p.Path, keptProgramPath(s.Role, p.Digest)); err != nil {
			return fmt.Errorf("keeping %s: %w", p.Path, err)
		}
	}
	if s.pack != nil {
		if err := writeOpened(h, path.Join(dir, keptRole), s.pack.root, s.pack.kept()); err != nil {
			return fmt.Errorf("keeping the host pack: %w", err)
		}
	}
	return writeUpgrade(h, s.Record)
}

// keptProgramPath is where a replaced program is kept.
func keptProgramPath(role string, d bundle.Digest) string {
	return path.Join(OldDir(role), keptPrograms, d.Hex())
}

// keepTree gives every file below a directory a second name below another one, which is made.
func keepTree(h host.Host, from, to string) error {
	if err := h.Mkdir(to, host.Meta{Mode: 0o700}); err != nil {
		return err
	}
	names, err := h.ReadDir(from)
	if err != nil {
		return err
	}
	for _, name := range names {
		source, target := path.Join(from, name), path.Join(to, name)
		info, err := h.Lstat(source)
		if err != nil {
			return err
		}
		switch {
		case info.IsDir():
			err = keepTree(h, source, target)
		case info.Mode().IsRegular():
			err = keepFile(h, source, target)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keepFile gives a file a second name, or copies it where that cannot be.
func keepFile(h host.Host, from, to string) error {
	err := h.Link(from, to)
	// EPERM: a file system without second names; EMLINK: one with too many of them.
	if !errors.Is(err, syscall.EXDEV) && !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.EMLINK) {
		return err
	}
	meta, err := metaOf(h, from)
	if err != nil {
		return err
	}
	return copyFile(h, from, to, meta)
}

// undoKeep removes what is kept.
func undoKeep(_ context.Context, u Undoing) error { return removeOld(u.Host, u.Object) }

// removeOld removes what is kept of a role: upgrade.json first, without which the rest means nothing.
func removeOld(h host.Host, role string) error {
	if err := h.Remove(path.Join(OldDir(role), upgradeName)); err != nil {
		return err
	}
	if err := h.RemoveAll(OldDir(role)); err != nil {
		return err
	}
	return removeEmptyOld(h)
}

// removeEmptyOld removes the directory of what is kept, once no role keeps anything.
func removeEmptyOld(h host.Host) error {
	names, err := h.ReadDir(path.Join(StateDir, oldName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || len(names) > 0 {
		return err
	}
	return h.Remove(path.Join(StateDir, oldName))
}
