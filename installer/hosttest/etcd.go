package hosttest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"offgrid/installer/host"
)

// Database is what a snapshot of etcd holds, for the fake etcdctl. It reads it, too.
func Database(revision int, text string) string {
	return fmt.Sprintf("etcd database, revision %d\n%s\n", revision, text)
}

// words are the arguments of a command that are no options.
func words(argv []string) []string {
	return slices.DeleteFunc(slices.Clone(argv[1:]), func(a string) bool { return strings.HasPrefix(a, "-") })
}

// option is the value of --name=value.
func option(argv []string, name string) string {
	for _, a := range argv {
		if value, ok := strings.CutPrefix(a, "--"+name+"="); ok {
			return value
		}
	}
	return ""
}

// etcdctl is the fake of that of etcd 3.4: what it does to files, it does here; what it asks members, it asks h.Etcd.
func (h *Host) etcdctl(stdin string, argv []string) (string, error) {
	args := words(argv)
	if len(args) == 3 && args[0] == "snapshot" {
		switch args[1] {
		case "save":
			return h.etcdSave(argv, args[2])
		case "status":
			return h.etcdStatus(argv, args[2])
		case "restore":
			return h.etcdRestore(argv, args[2])
		}
	}
	if h.Etcd == nil {
		return "", Exit(argv, 1, "", "Error: context deadline exceeded")
	}
	var out string
	err := h.change(func() (err error) {
		out, err = h.Etcd(stdin, argv)
		return err
	})
	return out, err
}

// etcdSave writes FILE.part and renames it, over whatever is there.
func (h *Host) etcdSave(argv []string, file string) (string, error) {
	if h.Etcd == nil {
		return "", Exit(argv, 1, "", "Error: context deadline exceeded")
	}
	text, err := h.Etcd("", argv)
	if err != nil {
		return "", err
	}
	if err := h.change(func() error { return h.put(file+".part", []byte(text), host.Meta{Mode: 0o600}) }); err != nil {
		return "", err
	}
	return "Snapshot saved at " + file + "\n", h.change(func() error { return os.Rename(h.real(file+".part", false), h.real(file, false)) })
}

func (h *Host) etcdStatus(argv []string, file string) (string, error) {
	if _, err := h.Lstat(file); err != nil {
		return "", Exit(argv, 1, "", "Error: stat "+file+": no such file or directory")
	}
	text := h.Get(file)
	m := regexp.MustCompile(`^etcd database, revision (\d+)\n`).FindStringSubmatch(text)
	if m == nil {
		return "", Exit(argv, 1, "", "Error: invalid database")
	}
	return fmt.Sprintf(`{"hash":%d,"revision":%s,"totalKey":%d,"totalSize":%d}`+"\n", len(text), m[1], strings.Count(text, "\n"), len(text)), nil
}

// etcdRestore leaves a directory without a log when it is killed on the way.
func (h *Host) etcdRestore(argv []string, file string) (string, error) {
	dir := option(argv, "data-dir")
	if _, err := h.Lstat(dir); err == nil {
		return "", Exit(argv, 1, "", fmt.Sprintf("Error: data-dir %q exists", dir))
	}
	own := option(argv, "name") + "=" + option(argv, "initial-advertise-peer-urls")
	if !slices.Contains(strings.Split(option(argv, "initial-cluster"), ","), own) {
		return "", Exit(argv, 1, "", fmt.Sprintf("Error: couldn't find local name %q in the initial cluster configuration", option(argv, "name")))
	}
	for _, name := range []string{dir, dir + "/member", dir + "/member/snap", dir + "/member/wal"} {
		if err := h.Mkdir(name, host.Meta{Mode: 0o700}); err != nil {
			return "", err
		}
	}
	if err := h.set(dir+"/member/snap/db", h.Get(file)); err != nil {
		return "", err
	}
	said := option(argv, "initial-cluster") + "\n" + option(argv, "initial-cluster-token") + "\n"
	return "", h.set(dir+"/member/wal/0000000000000000-0000000000000000.wal", said)
}

// mv knows -T and -n: one rename.
func (h *Host) mv(_ string, argv []string) (string, error) {
	args := words(argv)
	if len(args) != 2 || !slices.Contains(argv, "-T") {
		return "", Exit(argv, 1, "", "mv: the fake knows -T with two names")
	}
	from, to := h.real(args[0], false), h.real(args[1], false)
	if _, err := os.Lstat(from); err != nil {
		return "", Exit(argv, 1, "", "mv: cannot stat '"+args[0]+"': No such file or directory")
	}
	if _, err := os.Lstat(to); err == nil && slices.Contains(argv, "-n") {
		return "", nil
	}
	return "", h.change(func() error {
		if err := os.Rename(from, to); err != nil {
			return Exit(argv, 1, "", "mv: cannot move '"+args[0]+"' to '"+args[1]+"': "+err.Error())
		}
		for full, owner := range h.owners {
			if full == from || strings.HasPrefix(full, from+"/") {
				delete(h.owners, full)
				h.owners[to+strings.TrimPrefix(full, from)] = owner
			}
		}
		return nil
	})
}

// chown knows -R.
func (h *Host) chown(_ string, argv []string) (string, error) {
	args := words(argv)
	if len(args) != 2 || !slices.Contains(argv, "-R") {
		return "", Exit(argv, 1, "", "chown: the fake knows -R with an owner and one name")
	}
	user, group, _ := strings.Cut(args[0], ":")
	if err := h.knows(host.Meta{Owner: user, Group: group}); err != nil {
		return "", Exit(argv, 1, "", "chown: invalid user: '"+args[0]+"'")
	}
	return "", h.change(func() error {
		return filepath.WalkDir(h.real(args[1], true), func(full string, _ fs.DirEntry, err error) error {
			h.own(full, host.Meta{Owner: user, Group: group})
			return err
		})
	})
}
