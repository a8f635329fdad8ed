package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Local is the machine that the installer runs on. Names are used as they are, so that links made by an administrator,
// such as /var/lib/docker -> /data/docker, lead where they lead. It needs no more than Linux 3.10 and no C library.
//
// A file is written under a fixed temporary name beside its own, because only one installer runs at a time: the next
// attempt replaces what a killed one left, and Remove removes it.
type Local struct {
	Passwd string // file with the users; "" is /etc/passwd
	Group  string // file with the groups; "" is /etc/group
}

// Lstat implements Host.
func (l Local) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(name) }

// Stat implements Host.
func (l Local) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// Readlink implements Host.
func (l Local) Readlink(name string) (string, error) { return os.Readlink(name) }

// Open implements Host.
func (l Local) Open(name string) (io.ReadCloser, error) { return os.Open(name) }

// ReadDir implements Host.
func (l Local) ReadDir(name string) ([]string, error) {
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// Owner implements Host. An owner without a name is given as its number.
func (l Local) Owner(name string) (user, group string, err error) {
	info, err := os.Lstat(name)
	if err != nil {
		return "", "", err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", "", fmt.Errorf("reading the owner of %s: internal error: no such thing on this system", name)
	}
	if user, err = l.name(l.passwd(), st.Uid); err != nil {
		return "", "", err
	}
	group, err = l.name(l.group(), st.Gid)
	return user, group, err
}

// Write implements Host.
func (l Local) Write(name string, r io.Reader, meta Meta) (err error) {
	uid, gid, err := l.ids(meta)
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	temp := tempName(name)
	if err := removeIfThere(temp); err != nil {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeIfThere(temp))
		}
	}()
	if err := fill(f, r, uid, gid, meta.Mode); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", name, err), f.Close())
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := os.Rename(temp, name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// fill writes content, owner and mode, in an order in which nobody else can read a secret at any moment, and makes them
// durable.
func fill(f *os.File, r io.Reader, uid, gid int, mode fs.FileMode) error {
	if err := copyInto(f, r); err != nil {
		return err
	}
	if err := f.Chown(uid, gid); err != nil {
		return err
	}
	if err := f.Chmod(mode.Perm()); err != nil {
		return err
	}
	return f.Sync()
}

// Symlink implements Host.
func (l Local) Symlink(target, name string) error {
	temp := tempName(name)
	if err := removeIfThere(temp); err != nil {
		return err
	}
	if err := os.Symlink(target, temp); err != nil {
		return err
	}
	if err := os.Rename(temp, name); err != nil {
		return errors.Join(err, removeIfThere(temp))
	}
	return syncDir(filepath.Dir(name))
}

// Link implements Host. Writing to either name later does not change the other: a Write replaces the name.
func (l Local) Link(from, name string) error {
	temp := tempName(name)
	if err := removeIfThere(temp); err != nil {
		return err
	}
	if err := os.Link(from, temp); err != nil {
		return err
	}
	// A rename of one name of a file to another one of the same does nothing and leaves both.
	if err := errors.Join(os.Rename(temp, name), removeIfThere(temp)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// Mkdir implements Host.
func (l Local) Mkdir(name string, meta Meta) error {
	uid, gid, err := l.ids(meta)
	if err != nil {
		return fmt.Errorf("making %s: %w", name, err)
	}
	// 0700 until the owner is right: the mode may give the group more than the group of the moment should have.
	err = os.Mkdir(name, 0o700)
	made := err == nil
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Chown(name, uid, gid); err != nil {
		return err
	}
	if err := os.Chmod(name, meta.Mode.Perm()); err != nil {
		return err
	}
	if !made {
		return syncDir(name)
	}
	return errors.Join(syncDir(name), syncDir(filepath.Dir(name)))
}

// Remove implements Host.
func (l Local) Remove(name string) error {
	if err := removeIfThere(tempName(name)); err != nil {
		return err
	}
	err := os.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// RemoveAll implements Host. The directories on the way are not made durable one by one: the last one's removal comes after
// theirs in the file system's own journal.
func (l Local) RemoveAll(name string) error {
	info, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return removeIfThere(tempName(name))
	}
	if err != nil {
		return err
	}
	if err := removeBelow(name, info); err != nil {
		return err
	}
	return l.Remove(name)
}

// removeBelow empties a directory.
func removeBelow(dir string, info fs.FileInfo) error {
	if !info.IsDir() {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		below, err := os.Lstat(name)
		if err != nil {
			return err
		}
		if below.IsDir() {
			if device(below) != device(info) {
				return fmt.Errorf("removing %s: another file system is mounted there", name)
			}
			if err := removeBelow(name, below); err != nil {
				return err
			}
		}
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// device is the number of the file system that a file is on.
func device(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev)
	}
	return 0
}

// tempName is where name is written before it is right. The leading dot keeps systemd, sysctl.d and the like from
// reading it.
func tempName(name string) string {
	return filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".offgrid-tmp")
}

// removeIfThere is os.Remove, content with nothing to do.
func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (l Local) passwd() string {
	if l.Passwd != "" {
		return l.Passwd
	}
	return "/etc/passwd"
}

func (l Local) group() string {
	if l.Group != "" {
		return l.Group
	}
	return "/etc/group"
}

// ids looks up whom a file is to belong to.
func (l Local) ids(meta Meta) (uid, gid int, err error) {
	if uid, err = l.id(l.passwd(), meta.Owner); err != nil {
		return 0, 0, err
	}
	gid, err = l.id(l.group(), meta.Group)
	return uid, gid, err
}

// id finds a name in a file of "name:x:id:..." lines. root needs no file; a number is taken as it is.
func (l Local) id(file, name string) (int, error) {
	if name == "" {
		name = "root"
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 0 {
		return n, nil
	}
	found := ""
	err := accounts(file, func(each, id string) bool {
		if each == name {
			found = id
		}
		return found != ""
	})
	switch {
	case found != "":
		return strconv.Atoi(found)
	case name == "root" && (err == nil || errors.Is(err, fs.ErrNotExist)):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return 0, fmt.Errorf("%s has no %q", file, name)
}

// name is the reverse of id.
func (l Local) name(file string, id uint32) (string, error) {
	want, found := strconv.FormatUint(uint64(id), 10), ""
	err := accounts(file, func(name, each string) bool {
		if each == want {
			found = name
		}
		return found != ""
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if found == "" {
		found = want
		if id == 0 {
			found = "root"
		}
	}
	return found, nil
}

// accounts calls see with name and id of each line until it returns true.
func accounts(file string, see func(name, id string) bool) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) >= 3 && see(f[0], f[2]) {
			return nil
		}
	}
	return nil
}

// Run implements Host. The environment is fixed: see environment.
func (l Local) Run(ctx context.Context, stdin io.Reader, argv ...string) ([]byte, error) {
	return run(ctx, stdin, argv)
}

// capped keeps the first bytes that are written to it and says whether there were more.
type capped struct {
	bytes.Buffer
	limit int
	over  bool
}

// Write implements io.Writer. It never fails: the command must not die of what it prints.
func (c *capped) Write(p []byte) (int, error) {
	room := max(c.limit-c.Len(), 0)
	if len(p) > room {
		c.over = true
		c.Buffer.Write(p[:room])
		return len(p), nil
	}
	return c.Buffer.Write(p)
}
