package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"offgrid/installer/host"
)

const kindDir = "dir"

// What uninstall does with a directory that the install made.
const (
	KeepNothing = ""      // removed with all that is in it
	KeepData    = "data"  // removed only when its data is given up with --purge-data
	KeepFilled  = "empty" // removed only when nothing is in it
)

// DirStep makes a directory; a link to one will do. Its parent must exist.
type DirStep struct {
	Path string
	Meta host.Meta // Mode 0: made with 0755, and one that is there is taken as it is
	Keep string    // KeepNothing, KeepData or KeepFilled
}

// dirBefore is a DirStep's begin record.
type dirBefore struct {
	Existed bool        `json:"existed"`
	Keep    string      `json:"keep,omitempty"`
	Mode    fs.FileMode `json:"mode,omitempty"` // before, permission bits
	Owner   string      `json:"owner,omitempty"`
	Group   string      `json:"group,omitempty"`
}

// ID implements Step.
func (s *DirStep) ID() string { return kindDir + ":" + s.Path }

// Line implements Step.
func (s *DirStep) Line() Line { return Line{Verb: "make", Object: s.Path + "/"} }

// Check implements Step.
func (s *DirStep) Check(_ context.Context, h host.Host) (Status, error) {
	info, err := h.Stat(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		if link, lerr := host.Exists(h, s.Path); lerr == nil && link {
			return Status{State: Conflict, Why: fmt.Sprintf("%s is a link to what does not exist", s.Path)}, nil
		}
		return Status{State: Needed, Why: "it is not there"}, nil
	}
	if err != nil {
		return Status{}, err
	}
	if !info.IsDir() {
		return Status{State: Conflict, Why: fmt.Sprintf("%s is not a directory", s.Path)}, nil
	}
	if s.Meta.Mode == 0 {
		return Status{State: Satisfied}, nil
	}
	target, err := followLinks(h, s.Path)
	if err != nil {
		return Status{}, err
	}
	same, err := sameMeta(h, target, info, s.Meta)
	if err != nil || !same {
		return Status{State: Needed, Why: "its mode or owner differs"}, err
	}
	return Status{State: Satisfied}, nil
}

// Before implements Undoer.
func (s *DirStep) Before(_ context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	b := dirBefore{Keep: s.Keep}
	info, err := h.Stat(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return json.Marshal(b)
	}
	if err != nil {
		return nil, err
	}
	target, err := followLinks(h, s.Path)
	if err != nil {
		return nil, err
	}
	b.Existed, b.Mode = true, info.Mode().Perm()
	if b.Owner, b.Group, err = h.Owner(target); err != nil {
		return nil, err
	}
	return json.Marshal(b)
}

// Do implements Step.
func (s *DirStep) Do(_ context.Context, h host.Host) error {
	meta := s.Meta
	if meta.Mode == 0 {
		meta.Mode = 0o755
	}
	return h.Mkdir(s.Path, meta)
}

// undoDir removes a directory that we made, or gives one that was there its mode and owner back.
func undoDir(ctx context.Context, u Undoing) error {
	var b dirBefore
	if err := u.first(&b); err != nil {
		return err
	}
	there, err := host.Exists(u.Host, u.Object)
	if err != nil || !there {
		return err
	}
	if b.Existed {
		return u.Host.Mkdir(u.Object, host.Meta{Mode: b.Mode, Owner: b.Owner, Group: b.Group})
	}
	switch {
	case b.Keep == KeepData && !u.PurgeData:
		names, err := u.Host.ReadDir(u.Object)
		if err != nil || len(names) > 0 {
			u.note("%s holds data and stays; when nobody needs it any more: rm -rf %s", u.Object, u.Object)
			return err
		}
	case b.Keep == KeepFilled:
		names, err := u.Host.ReadDir(u.Object)
		if err != nil || len(names) > 0 {
			u.note("%s is not empty and stays", u.Object)
			return err
		}
	}
	if err := unmountBelow(ctx, u.Host, u.Object); err != nil {
		return err
	}
	return removeTree(u, u.Object)
}

// removeTree removes a directory with all that is in it, except what undo saved for its owner and the way there.
func removeTree(u Undoing, dir string) error {
	saved, err := holdsSaved(u.Host, dir)
	if err != nil {
		return err
	}
	if !saved {
		return u.Host.RemoveAll(dir)
	}
	names, err := u.Host.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, savedSuffix) {
			continue
		}
		if err := removeTree(u, path.Join(dir, name)); err != nil {
			return err
		}
	}
	u.note("%s stays: it holds files that were changed since they were installed", dir)
	return nil
}

// holdsSaved reports whether there is a file below dir that undo saved.
func holdsSaved(h host.Host, dir string) (bool, error) {
	info, err := h.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || !info.IsDir() {
		return false, err
	}
	names, err := h.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, savedSuffix) {
			return true, nil
		}
		if saved, err := holdsSaved(h, path.Join(dir, name)); err != nil || saved {
			return saved, err
		}
	}
	return false, nil
}

// unmountBelow unmounts what is mounted at dir or below it, deepest first: the tmpfs of a pod's secret, a container's
// overlay. Nothing that is still mounted must ever be walked into by a removal.
func unmountBelow(ctx context.Context, h host.Host, dir string) error {
	mounts, err := mountsBelow(h, dir)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if _, err := h.Run(ctx, nil, "umount", m); err != nil {
			if _, err := h.Run(ctx, nil, "umount", "-l", m); err != nil {
				return fmt.Errorf("unmounting %s: %w", m, err)
			}
		}
	}
	left, err := mountsBelow(h, dir)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("removing %s: %s is still mounted", dir, left[0])
	}
	return err
}

// mountsBelow lists the mount points at dir and below it, those mounted last first.
func mountsBelow(h host.Host, dir string) ([]string, error) {
	data, err := host.ReadFile(h, "/proc/self/mounts", saveMax)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var found []string
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		at := unescape.Replace(fields[1])
		if at == dir || strings.HasPrefix(at, dir+"/") {
			found = append(found, at)
		}
	}
	slices.Reverse(found)
	return found, nil
}

// followLinks returns what name really is: the end of its chain of links.
func followLinks(h host.Host, name string) (string, error) {
	for range 16 { // a longer chain is a circle
		info, err := h.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			return name, nil
		}
		target, err := h.Readlink(name)
		if err != nil {
			return "", err
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		name = path.Clean(target)
	}
	return "", fmt.Errorf("following %s: too many links", name)
}
