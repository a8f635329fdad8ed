package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// install puts the stand-ins in place below root: each original moves to realDir under its own path, and a link to this program
// takes its place. Names that el7 lacks get a stand-in in any case. A second run changes nothing but the program itself.
func install(root string) error {
	if _, err := os.Stat(filepath.Join(root, "usr/bin")); err != nil {
		return fmt.Errorf("installing below %q: it is no root file system: %w", root, err)
	}
	if err := recordUnits(root); err != nil {
		return err
	}
	if err := copySelf(filepath.Join(root, program)); err != nil {
		return err
	}
	paths, err := toolPaths()
	if err != nil {
		return err
	}
	absent, err := absentNames()
	if err != nil {
		return err
	}
	gone := slices.Sorted(maps.Values(absent))
	moves, err := planMoves(root, append(paths, gone...))
	if err != nil {
		return err
	}
	for _, m := range moves {
		if err := m.do(root, moves); err != nil {
			return err
		}
	}
	for _, path := range gone {
		if err := link(root, path); err != nil {
			return err
		}
	}
	return nil
}

// move is an original that makes room.
type move struct {
	path   string // "/usr/bin/ip"
	target string // where it leads in the end when it is a link; "" for a file
}

// planMoves looks at all originals before any of them is moved, because one may be a link to another.
func planMoves(root string, paths []string) ([]move, error) {
	var moves []move
	for _, path := range paths {
		info, err := os.Lstat(filepath.Join(root, path))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m := move{path: path}
		if info.Mode()&fs.ModeSymlink != 0 {
			if m.target, err = resolve(root, path); err != nil {
				return nil, err
			}
			if m.target == "/"+program {
				continue // there already
			}
		}
		moves = append(moves, m)
	}
	return moves, nil
}

// do moves the original and puts the link in its place.
func (m move) do(root string, all []move) error {
	to := filepath.Join(root, realDir, m.path)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if m.target == "" {
		if err := os.Rename(filepath.Join(root, m.path), to); err != nil {
			return err
		}
		return link(root, m.path)
	}
	target := m.target
	if slices.ContainsFunc(all, func(o move) bool { return o.path == target }) {
		target = "/" + realDir + target
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.Symlink(target, to); err != nil {
		return err
	}
	return link(root, m.path)
}

// link makes path a link to this program.
func link(root, path string) error {
	at := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(at); err != nil {
		return err
	}
	return os.Symlink("/"+program, at)
}

// resolve follows links inside root to a path that is none. A link that leads nowhere is left as it is.
func resolve(root, path string) (string, error) {
	for range 40 {
		path = merged(root, path)
		info, err := os.Lstat(filepath.Join(root, path))
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			return path, nil
		}
		to, err := os.Readlink(filepath.Join(root, path))
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = filepath.Clean(to)
	}
	return "", fmt.Errorf("%s leads in a circle", path)
}

// merged writes /bin/x as /usr/bin/x where /bin is a link to usr/bin.
func merged(root, path string) string {
	top, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if to, err := os.Readlink(filepath.Join(root, top)); err == nil && to == "usr/"+top {
		return "/usr" + path
	}
	return path
}

// copySelf writes this program to path.
func copySelf(path string) error {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer self.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".el7-")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	if _, err := io.Copy(temp, self); err != nil {
		return errors.Join(err, temp.Close())
	}
	if err := errors.Join(temp.Chmod(0o755), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// recordUnits writes the list of the base system's unit files, once: what is there later is what is tested.
func recordUnits(root string) error {
	at := filepath.Join(root, baseFile)
	if _, err := os.Stat(at); err == nil {
		return nil
	}
	files, err := unitFiles(root)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	return os.WriteFile(at, []byte(strings.Join(files, "\n")+"\n"), 0o644)
}
