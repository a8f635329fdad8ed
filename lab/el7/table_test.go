package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// calls reads a list of calls.
func calls(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

func checkLine(t *testing.T, line string) error {
	t.Helper()
	f := strings.Fields(line)
	for i := range f {
		f[i] = strings.ReplaceAll(f[i], "_-", " -")
	}
	tab, err := loadTable(f[0])
	if err != nil {
		t.Fatal(err)
	}
	return standIn{root: t.TempDir()}.check(tab, f[1:])
}

func TestOptionsNewerThanEL7AreRefused(t *testing.T) {
	for _, line := range calls(t, "testdata/newer.txt") {
		if err := checkLine(t, line); err == nil {
			t.Errorf("%s: passed, want it refused", line)
		}
	}
}

func TestOptionsOfEL7ArePassed(t *testing.T) {
	for _, line := range calls(t, "testdata/known.txt") {
		if err := checkLine(t, line); err != nil {
			t.Errorf("%s: refused: %v", line, err)
		}
	}
}

func TestEveryToolIsTriedBothWays(t *testing.T) {
	newer, known := calls(t, "testdata/newer.txt"), calls(t, "testdata/known.txt")
	entries, err := tables.ReadDir("tables")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".txt")
		if name == "units" || name == "absent" {
			continue
		}
		of := func(line string) bool { return line == name || strings.HasPrefix(line, name+" ") }
		if !slices.ContainsFunc(newer, of) {
			t.Errorf("no call of %s that is newer than el7", name)
		}
		if !slices.ContainsFunc(known, of) {
			t.Errorf("no call of %s that el7 knows", name)
		}
	}
}

func TestEveryTableNamesItsSourceAndVersion(t *testing.T) {
	entries, err := tables.ReadDir("tables")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := tables.ReadFile("tables/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(data), "\n"+strings.TrimLeft(firstPlain(string(data)), "\n"))
		if !strings.Contains(head, "# Source: ") {
			t.Errorf("%s: its head names no source", e.Name())
		}
		if !strings.Contains(head, "el7") && !strings.Contains(head, "CentOS 7") {
			t.Errorf("%s: its head names no version of el7", e.Name())
		}
	}
}

// firstPlain is the first line that is no comment.
func firstPlain(text string) string {
	for _, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return ""
}

func TestAToolThatEL7LacksIsNotFoundAndNoted(t *testing.T) {
	for _, name := range []string{
		"dnf", "nft", "iptables-nft", "iptables-legacy", "wget", "netstat", "ifconfig", "dig", "killall", "lspci", "python3",
		"jq", "zstd", "skopeo", "semanage", "yum-complete-transaction", "rpm2archive", "update-grub", "apt-get", "perl", "rsync",
	} {
		root := t.TempDir()
		mkdir(t, root, "var/log")
		var stderr bytes.Buffer
		code := standIn{root: root, stderr: &stderr, exec: noExec(t)}.call(name, []string{name, "-x"})
		if want := "bash: " + name + ": command not found\n"; code != 127 || stderr.String() != want {
			t.Errorf("%s: exit %d and %q, want 127 and %q", name, code, stderr.String(), want)
		}
		if data, _ := os.ReadFile(filepath.Join(root, "var/log/el7-refused")); !strings.Contains(string(data), " "+name+": not there") {
			t.Errorf("%s: the log holds %q", name, data)
		}
	}
}

func TestVersionsAreThoseOfEL7(t *testing.T) {
	for call, want := range map[string]string{
		"systemctl --version":     "systemd 219\n",
		"rpm --version":           "RPM version 4.11.3\n",
		"iptables --version":      "iptables v1.4.21\n",
		"ip -V":                   "ip utility, iproute2-ss170501\n",
		"curl --version":          "curl 7.29.0 ",
		"tar --version":           "tar (GNU tar) 1.26\n",
		"openssl version":         "OpenSSL 1.0.2k-fips ",
		"lsblk --version":         "lsblk from util-linux 2.23.2\n",
		"df --version":            "df (GNU coreutils) 8.22\n",
		"sysctl --version":        "sysctl from procps-ng 3.3.10\n",
		"modprobe --version":      "kmod version 20\n",
		"grubby --version":        "grubby version 8.28\n",
		"ssh-keygen -t ed25519-x": "",
	} {
		argv := strings.Fields(call)
		var stdout, stderr bytes.Buffer
		code := standIn{root: t.TempDir(), stdout: &stdout, stderr: &stderr, exec: noExec(t)}.call(argv[0], argv)
		if !strings.HasPrefix(stdout.String(), want) || (want != "" && code != 0) {
			t.Errorf("%s: exit %d and %q, want 0 and %q", call, code, stdout.String(), want)
		}
	}
}
