//go:build e2e

package e2e

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A snapshot is what can be seen of a host: files, units, packages, kernel settings, firewall rules; one line for each thing.
type snapshot map[string]string

// ignored is what changes by itself, or what the tests put there.
var ignored = []string{
	"/proc", "/sys", "/dev", "/run", "/tmp", "/root", "/lost+found",
	"/var/lib/rpm",                // what is installed is asked of rpm
	"/var/log/journal",            // systemd's
	"/var/log/wtmp",               // who logged in
	"/var/lib/systemd",            // random seed, time stamps of timers
	"/etc/.pwd.lock",              // made by the first call of useradd
	"/var/cache/ldconfig",         // made by ldconfig
	"/var/tmp",                    // systemd's private directories for units
	"/etc/ld.so.cache",            // the same
	"/var/lib/private",            // systemd's
	"/etc/systemd/system.control", // systemd's, for running units
}

// snapshot looks at everything.
func (h *host) snapshot() snapshot {
	h.t.Helper()
	s := make(snapshot)
	root := h.path("")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := "/" + strings.TrimPrefix(strings.TrimPrefix(path, root), "/")
		if slices.Contains(ignored, name) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		line, err := describe(path)
		if err != nil {
			return err
		}
		s["file "+name] = line
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	for kind, command := range map[string]string{
		"unit file": "systemctl list-unit-files --no-legend --no-pager | awk '{ print $1, $2 }'",
		"active":    "systemctl list-units --no-legend --no-pager --plain --state=active --type=service,socket,timer,mount,path | awk '{ print $1, $3 }' | grep -v -e '^run-' -e '^user@' -e '^session' -e systemd-hostnamed",
		"package":   "rpm -qa --qf '%{NAME}-%{EPOCHNUM}:%{VERSION}-%{RELEASE}\\n'",
		"setting":   "sysctl -a 2>/dev/null | sed 's/ = / /' | grep -v -e random -e nr_inodes -e dentry -e inode -e file-nr -e fs.nr -e ns_last_pid -e random -e _count -e cad_pid -e stat -e ehash -e dev.cdrom -e 'net.*.neigh' -e 'lo.mtu' -e flush -e pty.nr -e fs.quota",
		"failed":    "systemctl --failed --no-legend --no-pager --plain | awk '{ print $1 }'",
		"rules":     "iptables-save | grep '^[-:]' | sed 's/ \\[.*//' | sed '/^:[A-Z]* ACCEPT$/d'",
		"swap":      "cat /proc/swaps",
		"module":    "lsmod | awk '{ print $1 }'",
		"hostname":  "hostname",
		"selinux":   "getenforce",
	} {
		for line := range strings.Lines(h.must("sh", "-c", command)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			if kind == "rules" || kind == "swap" || kind == "failed" {
				name, value = strings.TrimSpace(line), "there"
			}
			s[kind+" "+name] = value
		}
	}
	return s
}

// describe is a file's kind, mode, owner and content.
func describe(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	owner := info.Sys().(*syscall.Stat_t)
	line := fmt.Sprintf("%s %d:%d", info.Mode(), owner.Uid, owner.Gid)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return line + " -> " + target, err
	case info.Mode().IsRegular():
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		sum := sha256.New()
		if _, err := io.Copy(sum, f); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s %d bytes %x", line, info.Size(), sum.Sum(nil)[:6]), nil
	}
	return line, nil
}

// differences are the lines of what is not the same in both.
func differences(before, after snapshot) []string {
	var lines []string
	all := maps.Clone(before)
	maps.Copy(all, after)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		was, had := before[name]
		is, has := after[name]
		switch {
		case !had:
			lines = append(lines, fmt.Sprintf("+ %s: %s", name, is))
		case !has:
			lines = append(lines, fmt.Sprintf("- %s: %s", name, was))
		case was != is:
			lines = append(lines, fmt.Sprintf("! %s: %s, was %s", name, is, was))
		}
	}
	return lines
}

// same wants two snapshots to be equal.
func same(t *testing.T, what string, before, after snapshot) {
	t.Helper()
	if lines := differences(before, after); len(lines) > 0 {
		t.Errorf("%s: %d things differ:\n%s", what, len(lines), strings.Join(lines, "\n"))
	}
}
