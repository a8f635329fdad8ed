package hosttest

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Tree is every name on a host: "dir 0755 root:root", "file 0644 root:root 3fa1c0de", "link /dev/null". The digits are
// the first of the content's sha256.
type Tree map[string]string

// Tree returns what is on the host, without the names that begin with one of skip.
func (h *Host) Tree(t testing.TB, skip ...string) Tree {
	t.Helper()
	tree := Tree{}
	err := filepath.WalkDir(h.Root, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := "/" + strings.TrimPrefix(filepath.ToSlash(strings.TrimPrefix(full, h.Root)), "/")
		for _, s := range skip {
			if strings.HasPrefix(name, s) {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
		}
		tree[name], err = h.entry(full, d)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// entry is what Tree says of one name.
func (h *Host) entry(full string, d fs.DirEntry) (string, error) {
	info, err := d.Info()
	if err != nil {
		return "", err
	}
	owner := h.owners[full]
	if owner == "" {
		owner = "root:root"
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(full)
		return "link " + target, err
	case info.IsDir():
		return fmt.Sprintf("dir %04o %s", info.Mode().Perm(), owner), nil
	}
	data, err := os.ReadFile(full)
	sum := sha256.Sum256(data)
	return fmt.Sprintf("file %04o %s %x", info.Mode().Perm(), owner, sum[:4]), err
}

// Diff lists the names at which got differs from want, one line each; "" when they are equal.
func Diff(want, got Tree) string {
	var b strings.Builder
	names := map[string]bool{}
	for name := range want {
		names[name] = true
	}
	for name := range got {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		w, g := want[name], got[name]
		switch {
		case w == g:
		case w == "":
			fmt.Fprintf(&b, "%s: should not be there, but is %s\n", name, g)
		case g == "":
			fmt.Fprintf(&b, "%s: should be %s, but is not there\n", name, w)
		default:
			fmt.Fprintf(&b, "%s: should be %s, but is %s\n", name, w, g)
		}
	}
	return b.String()
}
