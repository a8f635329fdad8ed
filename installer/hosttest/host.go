// Package hosttest is a machine made of a directory, for tests of what changes machines: files are files below a root, and
// the few commands that the installer runs are small working fakes whose state lies in that directory, too. It can die at
// any change, before or after its effect.
package hosttest

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"offgrid/installer/host"
)

// Script stands in for a command. Its error is what Run returns; Exit makes one.
type Script func(stdin string, argv []string) (stdout string, err error)

// Host implements host.Host. It is for one goroutine.
type Host struct {
	Root     string
	Ran      []string          // command lines, in order
	Starting map[string]string // what a unit is after its start, when not "active"
	APIDown  bool              // kubectl finds nobody
	Apart    string            // a directory on a file system of its own; "" none
	Boots    []string          // kernels that GRUB has started, in order
	Panics   map[string]bool   // kernels that do not come up
	BootFull bool              // there is no room for an initramfs in /boot
	// EnvReadOnly: GRUB cannot write its environment.
	EnvReadOnly bool
	Etcd        Script // the members that etcdctl asks: what "snapshot save" gets, and all that is no snapshot; nil: nobody

	scripts map[string]Script
	owners  map[string]string // "user:group" by name, when not root:root
	loaded  map[string]string // content of the unit files as systemd has read them
	swaps   map[string]string // lines of /proc/swaps by name
	links   map[string]bool   // every name that ever was a link: all others need not be asked
	crash   crash
	watch   func(n int, after bool) // sees every change, before and after its effect; may be nil
}

// crash is when the host dies.
type crash struct {
	seen  int // changes so far
	at    int // 0: never
	after bool
	dead  bool
}

// Crashed is the panic of a host that died. What runs into it is gone, as after kill -9.
type Crashed struct{ Change int }

func (c Crashed) Error() string { return fmt.Sprintf("the host died at change %d", c.Change) }

// New makes a host that looks like a small CentOS 7.
func New(t testing.TB) *Host {
	t.Helper()
	h := &Host{
		Root:     root(t),
		Starting: map[string]string{},
		scripts:  map[string]Script{},
		owners:   map[string]string{},
		loaded:   map[string]string{},
		swaps:    map[string]string{},
		links:    map[string]bool{},
	}
	for name, content := range skeleton() {
		h.Put(t, name, content)
	}
	return h
}

// root is a new directory, in memory where that can be had: crash tests make thousands of hosts.
func root(t testing.TB) string {
	t.Helper()
	base := "/dev/shm"
	if info, err := os.Stat(base); err != nil || !info.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(base, "hosttest-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Put makes a file with its parents, mode 0644; a name that ends in "/" is a directory. It is no change of the installer's.
func (h *Host) Put(t testing.TB, name, content string) {
	t.Helper()
	full := filepath.Join(h.Root, filepath.FromSlash(name))
	if strings.HasSuffix(name, "/") {
		if err := os.MkdirAll(full, 0o755); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Get returns the content of a file, "" when there is none.
func (h *Host) Get(name string) string {
	data, err := os.ReadFile(h.real(name, true))
	if err != nil {
		return ""
	}
	return string(data)
}

// Script makes every command that is or begins with line, a whole number of words, run s instead of a fake.
func (h *Host) Script(line string, s Script) { h.scripts[line] = s }

// Says is a Script that prints text.
func Says(text string) Script { return func(string, []string) (string, error) { return text, nil } }

// Fails is a Script that ends with a code and prints text as an error.
func Fails(code int, text string) Script {
	return func(_ string, argv []string) (string, error) { return "", Exit(argv, code, "", text) }
}

// Exit is the error of a command that ends with a code.
func Exit(argv []string, code int, stdout, stderr string) error {
	return &host.RunError{Argv: argv, Code: code, Stdout: stdout, Stderr: stderr}
}

// Crash makes the host die at its n-th change from now, counted from 1, before the change or after it.
func (h *Host) Crash(n int, after bool) { h.crash = crash{at: n, after: after} }

// Revive makes the host live on, as after the kill of the installer: nothing that runs on it was stopped.
func (h *Host) Revive() { h.crash = crash{} }

// Changes returns how many changes there were since New, Crash or Revive.
func (h *Host) Changes() int { return h.crash.seen }

// Survives runs f and reports whether the host did not die under it.
func (h *Host) Survives(f func()) (alive bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(Crashed); !ok {
				panic(r)
			}
			alive = false
		}
	}()
	f()
	return true
}

// alive panics when the host is dead.
func (h *Host) alive() {
	if h.crash.dead {
		panic(Crashed{h.crash.seen})
	}
}

// change is one change of the host: everything that can be lost or kept by a crash as one.
func (h *Host) change(do func() error) error {
	h.alive()
	h.crash.seen++
	h.watched(false)
	if h.crash.seen == h.crash.at && !h.crash.after {
		h.crash.dead = true
		h.alive()
	}
	err := do()
	h.watched(true)
	if h.crash.seen == h.crash.at {
		h.crash.dead = true
		h.alive()
	}
	return err
}

// watched shows a change to who watches.
func (h *Host) watched(after bool) {
	if h.watch != nil {
		h.watch(h.crash.seen, after)
	}
}

// Lstat implements host.Host.
func (h *Host) Lstat(name string) (fs.FileInfo, error) {
	h.alive()
	return os.Lstat(h.real(name, false))
}

// Stat implements host.Host.
func (h *Host) Stat(name string) (fs.FileInfo, error) {
	h.alive()
	return os.Lstat(h.real(name, true))
}

// Readlink implements host.Host.
func (h *Host) Readlink(name string) (string, error) {
	h.alive()
	return os.Readlink(h.real(name, false))
}

// Open implements host.Host.
func (h *Host) Open(name string) (io.ReadCloser, error) {
	h.alive()
	return os.Open(h.real(name, true))
}

// ReadDir implements host.Host.
func (h *Host) ReadDir(name string) ([]string, error) {
	h.alive()
	entries, err := os.ReadDir(h.real(name, true))
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// Owner implements host.Host.
func (h *Host) Owner(name string) (user, group string, err error) {
	h.alive()
	full := h.real(name, false)
	if _, err := os.Lstat(full); err != nil {
		return "", "", err
	}
	if owner, ok := h.owners[full]; ok {
		user, group, _ = strings.Cut(owner, ":")
		return user, group, nil
	}
	return "root", "root", nil
}

// Write implements host.Host. The content is read in full first: a reader that fails changes nothing.
func (h *Host) Write(name string, r io.Reader, meta host.Meta) error {
	h.alive()
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := h.knows(meta); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return h.change(func() error { return h.put(name, data, meta) })
}

// put is Write without the crash.
func (h *Host) put(name string, data []byte, meta host.Meta) error {
	full := h.real(name, false)
	if info, err := os.Lstat(full); err == nil && info.IsDir() {
		return &fs.PathError{Op: "rename", Path: name, Err: fs.ErrExist}
	}
	if _, err := os.Stat(filepath.Dir(full)); err != nil {
		return err
	}
	if err := os.RemoveAll(full); err != nil {
		return err
	}
	if err := os.WriteFile(full, data, 0o600); err != nil {
		return err
	}
	h.own(full, meta)
	return os.Chmod(full, meta.Mode.Perm())
}

// own records an owner.
func (h *Host) own(full string, meta host.Meta) {
	user, group := meta.Owner, meta.Group
	if user == "" {
		user = "root"
	}
	if group == "" {
		group = "root"
	}
	delete(h.owners, full)
	if user+":"+group != "root:root" {
		h.owners[full] = user + ":" + group
	}
}

// knows reports whether the host has such a user and group.
func (h *Host) knows(meta host.Meta) error {
	for file, name := range map[string]string{"/etc/passwd": meta.Owner, "/etc/group": meta.Group} {
		if name != "" && !strings.Contains("\n"+h.Get(file), "\n"+name+":") {
			return fmt.Errorf("%s has no %q", file, name)
		}
	}
	return nil
}

// Symlink implements host.Host.
func (h *Host) Symlink(target, name string) error {
	return h.change(func() error { return h.link(target, name) })
}

// link is Symlink without the crash.
func (h *Host) link(target, name string) error {
	full := h.real(name, false)
	if err := os.Remove(full); err != nil && !os.IsNotExist(err) {
		return err
	}
	delete(h.owners, full)
	h.links[strings.TrimPrefix(full, h.Root)] = true
	return os.Symlink(target, full)
}

// Mkdir implements host.Host.
func (h *Host) Mkdir(name string, meta host.Meta) error {
	if err := h.knows(meta); err != nil {
		return fmt.Errorf("making %s: %w", name, err)
	}
	return h.change(func() error {
		full := h.real(name, true)
		if err := os.Mkdir(full, 0o700); err != nil && !os.IsExist(err) {
			return err
		}
		h.own(full, meta)
		return os.Chmod(full, meta.Mode.Perm())
	})
}

// Remove implements host.Host. Nothing to remove is no change.
func (h *Host) Remove(name string) error {
	h.alive()
	full := h.real(name, false)
	if _, err := os.Lstat(full); os.IsNotExist(err) {
		return nil
	}
	return h.change(func() error {
		delete(h.owners, full)
		return os.Remove(full)
	})
}

// RemoveAll implements host.Host. Every entry is a change of its own: it may die in the middle.
func (h *Host) RemoveAll(name string) error {
	info, err := h.Lstat(name)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		names, err := h.ReadDir(name)
		if err != nil {
			return err
		}
		for _, below := range names {
			if err := h.RemoveAll(path.Join(name, below)); err != nil {
				return err
			}
		}
	}
	return h.Remove(name)
}
