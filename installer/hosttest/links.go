package hosttest

import (
	"os"
	"path"
	"strings"
	"syscall"
)

// real is where name lies below the root, links of the host followed: all of them, or all but the last name's. It is
// called for everything, and a host has few links, so only what has been one is looked at.
func (h *Host) real(name string, last bool) string {
	name = path.Clean("/" + name)
	for range 64 {
		at, target := h.firstLink(name, last)
		if at < 0 {
			break
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name[:at]), target)
		}
		name = path.Clean(target + name[at:])
	}
	return strings.TrimSuffix(h.Root+name, "/")
}

// firstLink returns where the first part of name ends that is a link, and what the link says; -1 when there is none.
func (h *Host) firstLink(name string, last bool) (int, string) {
	for at := 1; at <= len(name); at++ {
		if at < len(name) && name[at] != '/' || at == len(name) && !last || !h.links[name[:at]] {
			continue
		}
		if target, err := os.Readlink(h.Root + name[:at]); err == nil {
			return at, target
		}
	}
	return -1, ""
}

// Link implements host.Host. Files of a host are never written into, so two names may be one file.
func (h *Host) Link(from, name string) error {
	if h.Apart != "" && strings.HasPrefix(from, h.Apart) != strings.HasPrefix(name, h.Apart) {
		return &os.LinkError{Op: "link", Old: from, New: name, Err: syscall.EXDEV}
	}
	return h.change(func() error {
		full, old := h.real(name, false), h.real(from, true)
		if err := os.Remove(full); err != nil && !os.IsNotExist(err) {
			return err
		}
		delete(h.owners, full)
		if owner, ok := h.owners[old]; ok {
			h.owners[full] = owner
		}
		return os.Link(old, full)
	})
}
