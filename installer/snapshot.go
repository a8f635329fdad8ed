package installer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// inlineMax is the largest content that a begin record holds itself; what is larger goes to before/HEX in the state
// directory. A page keeps records short enough to be written in one go.
const inlineMax = 4096

// saveMax is the largest file that the editing steps read into memory: /etc/fstab, /etc/hosts and the like.
const saveMax = 4 << 20

// Kinds of things that a snapshot can find at a name.
const (
	wasAbsent = "absent"
	wasFile   = "file"
	wasLink   = "link"
)

// snapshot is one name as it was: what a begin record keeps of it.
type snapshot struct {
	Kind   string        `json:"kind"`
	Mode   fs.FileMode   `json:"mode,omitempty"` // permission bits
	Owner  string        `json:"owner,omitempty"`
	Group  string        `json:"group,omitempty"`
	Target string        `json:"target,omitempty"` // of a link
	Digest bundle.Digest `json:"digest"`           // of a file's content
	Size   int64         `json:"size,omitempty"`   // bytes
	Data   []byte        `json:"data,omitempty"`   // the content, unless it is in before/HEX
	Apart  bool          `json:"apart,omitempty"`  // the content is in before/HEX
}

// beforePath is where content that is too large for a record, or too secret, is kept.
func beforePath(d bundle.Digest) string { return path.Join(StateDir, "before", d.Hex()) }

// takeSnapshot records what is at name. With apart a file's content always goes to before/HEX, however small it is.
func takeSnapshot(h host.Host, name string, apart bool) (snapshot, error) {
	info, err := h.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return snapshot{Kind: wasAbsent}, nil
	}
	if err != nil {
		return snapshot{}, err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := h.Readlink(name)
		return snapshot{Kind: wasLink, Target: target}, err
	}
	if !info.Mode().IsRegular() {
		return snapshot{}, fmt.Errorf("%s is neither a file nor a link", name)
	}
	s := snapshot{Kind: wasFile, Mode: info.Mode().Perm()}
	if s.Owner, s.Group, err = h.Owner(name); err != nil {
		return s, err
	}
	if info.Size() <= inlineMax && !apart {
		if s.Data, err = host.ReadFile(h, name, inlineMax); err != nil {
			return s, err
		}
		s.Digest, s.Size = bundle.DigestOf(s.Data), int64(len(s.Data))
		return s, nil
	}
	if s.Digest, s.Size, err = host.DigestFile(h, name); err != nil {
		return s, err
	}
	s.Apart = true
	return s, saveContent(h, name, s.Digest)
}

// saveContent copies the content of name to before/HEX unless it is there already.
func saveContent(h host.Host, name string, d bundle.Digest) error {
	if there, err := host.Exists(h, beforePath(d)); err != nil || there {
		return err
	}
	if err := stateDir(h, "before"); err != nil {
		return err
	}
	r, err := h.Open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	return h.Write(beforePath(d), r, host.Meta{Mode: 0o600})
}

// meta is the snapshot's mode and owner.
func (s snapshot) meta() host.Meta { return host.Meta{Mode: s.Mode, Owner: s.Owner, Group: s.Group} }

// content opens the recorded content of a file.
func (s snapshot) content(h host.Host) (io.ReadCloser, error) {
	if s.Apart {
		return h.Open(beforePath(s.Digest))
	}
	return io.NopCloser(bytes.NewReader(s.Data)), nil
}

// bytes returns the recorded content of a small file; nil when there was none.
func (s snapshot) bytes(h host.Host) ([]byte, error) {
	if s.Apart {
		return host.ReadFile(h, beforePath(s.Digest), saveMax)
	}
	return s.Data, nil
}

// restore makes name what it was.
func (s snapshot) restore(h host.Host, name string) error {
	switch s.Kind {
	case wasAbsent:
		return h.Remove(name)
	case wasLink:
		return h.Symlink(s.Target, name)
	case wasFile:
		r, err := s.content(h)
		if err != nil {
			return err
		}
		defer r.Close()
		return h.Write(name, r, s.meta())
	}
	return fmt.Errorf("restoring %s: internal error: unknown kind %q", name, s.Kind)
}

// stateDir makes a directory below the state directory unless it is there.
func stateDir(h host.Host, names ...string) error {
	dir := StateDir
	for _, name := range names {
		dir = path.Join(dir, name)
		there, err := host.Exists(h, dir)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		if err := h.Mkdir(dir, host.Meta{Mode: 0o700}); err != nil {
			return err
		}
	}
	return nil
}

// metaOf is the mode and the owners that a path of the host has.
func metaOf(h host.Host, name string) (host.Meta, error) {
	info, err := h.Lstat(name)
	if err != nil {
		return host.Meta{}, err
	}
	user, group, err := h.Owner(name)
	return host.Meta{Mode: info.Mode().Perm(), Owner: user, Group: group}, err
}

// sameMeta reports whether name has the permission bits and the owners of meta.
func sameMeta(h host.Host, name string, info fs.FileInfo, meta host.Meta) (bool, error) {
	if info.Mode().Perm() != meta.Mode.Perm() {
		return false, nil
	}
	user, group, err := h.Owner(name)
	return user == orRoot(meta.Owner) && group == orRoot(meta.Group), err
}

// orRoot fills in what an empty owner or group means.
func orRoot(name string) string {
	if name == "" {
		return "root"
	}
	return name
}
