package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func mkdir(t *testing.T, root, dir string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, root, path, text string) {
	t.Helper()
	mkdir(t, root, filepath.Dir(path))
	if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, root, path, target string) {
	t.Helper()
	mkdir(t, root, filepath.Dir(path))
	if err := os.Symlink(target, filepath.Join(root, path)); err != nil {
		t.Fatal(err)
	}
}

func noExec(t *testing.T) func(string, []string, []string) error {
	return func(path string, argv, _ []string) error {
		t.Errorf("ran %s %q, want nothing run", path, argv)
		return nil
	}
}

// newRoot is a small host: a merged /usr, links as Debian has them, and one unit of the base system.
func newRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range map[string]string{
		"usr/bin/systemctl": "real systemctl", "usr/bin/ip": "real ip", "usr/sbin/xtables-nft-multi": "real xtables",
		"usr/bin/kmod": "real kmod", "usr/bin/rpm": "real rpm", "usr/bin/zstd": "real zstd",
		"usr/lib/systemd/system/base.service": "[Service]\nExecStart=/bin/true\nDynamicUser=yes\n",
	} {
		put(t, root, path, text)
	}
	for path, target := range map[string]string{
		"bin": "usr/bin", "sbin": "usr/sbin", "usr/sbin/ip": "/bin/ip", "usr/sbin/reboot": "/bin/systemctl",
		"usr/sbin/iptables": "/etc/alternatives/iptables", "etc/alternatives/iptables": "/usr/sbin/iptables-nft",
		"usr/sbin/iptables-nft": "xtables-nft-multi", "usr/sbin/modprobe": "../bin/kmod",
	} {
		symlink(t, root, path, target)
	}
	mkdir(t, root, "var/log")
	if err := install(root); err != nil {
		t.Fatal(err)
	}
	return root
}

// inRoot reads a file of the host, links that are absolute there included.
func inRoot(t *testing.T, root, path string) string {
	t.Helper()
	path, err := resolve(root, path)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestInstallMovesOriginalsAndKeepsWhereLinksLead(t *testing.T) {
	root := newRoot(t)
	for range 2 { // the second run changes nothing
		for path, want := range map[string]string{
			"/usr/lib/lab/real/usr/bin/systemctl":  "real systemctl",
			"/usr/lib/lab/real/usr/bin/ip":         "real ip",
			"/usr/lib/lab/real/usr/sbin/ip":        "real ip",
			"/usr/lib/lab/real/usr/sbin/iptables":  "real xtables",
			"/usr/lib/lab/real/usr/sbin/modprobe":  "real kmod",
			"/usr/bin/kmod":                        "real kmod",
			"/usr/lib/lab/real/usr/bin/zstd":       "real zstd",
			"/usr/lib/lab/base-units":              "/usr/lib/systemd/system/base.service\n",
			"/usr/sbin/xtables-nft-multi":          "real xtables",
			"/usr/lib/systemd/system/base.service": "[Service]\nExecStart=/bin/true\nDynamicUser=yes\n",
		} {
			if got := inRoot(t, root, path); got != want {
				t.Errorf("%s holds %.40q, want %q", path, got, want)
			}
		}
		for _, path := range []string{"usr/bin/systemctl", "usr/bin/ip", "usr/sbin/iptables", "usr/bin/zstd", "usr/bin/jq", "usr/sbin/netstat"} {
			if to, err := os.Readlink(filepath.Join(root, path)); err != nil || to != "/usr/lib/lab/el7" {
				t.Errorf("%s leads to %q (%v), want /usr/lib/lab/el7", path, to, err)
			}
		}
		if _, err := os.Lstat(filepath.Join(root, "usr/bin/timedatectl")); err == nil {
			t.Error("timedatectl was not there before, and is now")
		}
		if err := install(root); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAKnownCallRunsTheOriginalWithTheSameArguments(t *testing.T) {
	root := newRoot(t)
	var path string
	var argv []string
	s := standIn{root: root, exec: func(p string, a, env []string) error {
		path, argv = p, a
		if !slices.Equal(env, os.Environ()) {
			t.Error("the environment is another")
		}
		return nil
	}}
	want := []string{"/usr/sbin/iptables", "-w", "-L"}
	if code := s.call("iptables", want); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
	if path != filepath.Join(root, "usr/lib/lab/real/usr/sbin/iptables") || !slices.Equal(argv, want) {
		t.Errorf("ran %s %q", path, argv)
	}
	if _, err := os.Stat(filepath.Join(root, "var/log/el7-refused")); err == nil {
		t.Error("a call that was passed is in the log of refusals")
	}
}

func TestARefusalNamesToolVersionAndOptionAndIsNoted(t *testing.T) {
	root := newRoot(t)
	var stderr bytes.Buffer
	s := standIn{root: root, stderr: &stderr, exec: noExec(t)}
	code := s.call("systemctl", []string{"systemctl", "show", "--value", "-p", "ActiveState", "x"})
	want := "systemctl: refused: el7 has systemctl 219-78.el7: there is no option --value\n"
	if code != 64 || stderr.String() != want {
		t.Errorf("exit %d and %q, want 64 and %q", code, stderr.String(), want)
	}
	data, err := os.ReadFile(filepath.Join(root, "var/log/el7-refused"))
	if err != nil || !strings.Contains(string(data), `systemctl: there is no option --value: ["systemctl" "show" "--value"`) {
		t.Errorf("the log holds %q (%v)", data, err)
	}
}

func TestAServiceOfTheBaseSystemMayUseAllOfItsTools(t *testing.T) {
	root := newRoot(t)
	call := func(cgroup string) int {
		put(t, root, "proc/self/cgroup", cgroup)
		s := standIn{root: root, stderr: &bytes.Buffer{}, exec: func(string, []string, []string) error { return nil }}
		return s.call("systemctl", []string{"systemctl", "show", "--value", "x"})
	}
	for cgroup, want := range map[string]int{
		"5:cpu:/\n1:name=systemd:/system.slice/base.service\n0::/\n": 0,
		"0::/system.slice/base.service/sub\n":                        0,
		"1:name=systemd:/system.slice/etcd.service\n":                64,
		"1:name=systemd:/user.slice/session-1.scope\n":               64,
		"1:name=systemd:/\n":                                         64,
	} {
		if got := call(cgroup); got != want {
			t.Errorf("from %q: exit %d, want %d", cgroup, got, want)
		}
	}
}

func TestRebootStillReachesSystemctl(t *testing.T) {
	root := newRoot(t)
	ran := ""
	s := standIn{root: root, exec: func(p string, a, _ []string) error { ran = p + " as " + a[0]; return nil }}
	s.call("reboot", []string{"reboot", "--no-wall"})
	if want := filepath.Join(root, "usr/lib/lab/real/usr/bin/systemctl") + " as reboot"; ran != want {
		t.Errorf("ran %q, want %q", ran, want)
	}
}

func TestStartingAUnitThatEL7WouldMisreadIsRefusedWithFileAndLine(t *testing.T) {
	root := newRoot(t)
	put(t, root, "etc/systemd/system/x.service", "[Service]\nExecStart=/bin/true\nStateDirectory=x\n")
	for verb, want := range map[string]int{"start": 64, "daemon-reload": 64, "enable": 64, "restart": 64, "is-active": 0, "stop": 0} {
		var stderr bytes.Buffer
		s := standIn{root: root, stderr: &stderr, exec: func(string, []string, []string) error { return nil }}
		code := s.call("systemctl", []string{"systemctl", verb, "other"})
		if code != want {
			t.Errorf("%s: exit %d, want %d", verb, code, want)
		}
		if line := "/etc/systemd/system/x.service:3: systemd 219 has no StateDirectory= in [Service]"; want != 0 && !strings.Contains(stderr.String(), line) {
			t.Errorf("%s: said %q, want %q in it", verb, stderr.String(), line)
		}
	}
}

func TestOnlyAChangeOfPackagesGetsTheSwitchAgainstTheWarning(t *testing.T) {
	root := newRoot(t)
	for call, want := range map[string]string{
		"rpm -U --test x.rpm": "rpm --force-debian -U --test x.rpm",
		"rpm -e x":            "rpm --force-debian -e x",
		"rpm -qi x":           "rpm -qi x",
		"rpm -Kv x.rpm":       "rpm -Kv x.rpm",
		"rpm --import key":    "rpm --import key",
	} {
		got := ""
		s := standIn{root: root, exec: func(_ string, argv, _ []string) error { got = strings.Join(argv, " "); return nil }}
		s.call("rpm", strings.Fields(call))
		if got != want {
			t.Errorf("%s: ran %q, want %q", call, got, want)
		}
	}
}
