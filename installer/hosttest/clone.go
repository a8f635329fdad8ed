package hosttest

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// clone is the host as it is now, as what a kill leaves, with a root of its own. Files are one on the disk with those of
// h, as nothing writes into a file of a host but into the journal and the lock: those, named by written, are copies.
func (h *Host) clone(t testing.TB, written ...string) *Host {
	t.Helper()
	c := &Host{
		Root: root(t), Starting: maps.Clone(h.Starting), APIDown: h.APIDown, Apart: h.Apart, Etcd: h.Etcd, Boots: slices.Clone(h.Boots), Panics: h.Panics, BootFull: h.BootFull, EnvReadOnly: h.EnvReadOnly, scripts: maps.Clone(h.scripts), owners: map[string]string{},
		loaded: maps.Clone(h.loaded), swaps: maps.Clone(h.swaps), links: maps.Clone(h.links),
	}
	for full, owner := range h.owners {
		c.owners[c.Root+strings.TrimPrefix(full, h.Root)] = owner
	}
	copies := map[string]bool{}
	for _, name := range written {
		copies[name] = true
	}
	modes := map[string]fs.FileMode{}
	must(t, "copying a host", filepath.WalkDir(h.Root, func(from string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(from, h.Root)
		to := c.Root + name
		switch {
		case d.IsDir():
			info, err := d.Info()
			if err != nil || name == "" {
				return err
			}
			modes[to] = info.Mode().Perm()
			return os.Mkdir(to, 0o700)
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(from)
			if err != nil {
				return err
			}
			return os.Symlink(target, to)
		case copies[name]:
			return copyFile(from, to)
		}
		return os.Link(from, to)
	}))
	for dir, mode := range modes {
		must(t, "copying a host", os.Chmod(dir, mode))
	}
	return c
}

// copyFile makes a file of its own with the content and the mode of another.
func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		return err
	}
	return os.Chmod(to, info.Mode().Perm())
}
