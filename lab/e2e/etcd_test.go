//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var members = []string{"master01", "node01", "node02"}

// etcdctl asks all members from one of them, with the certificates that the installer placed there.
func (h *host) etcdctl(args ...string) result {
	h.t.Helper()
	return h.try(append([]string{
		"env", "ETCDCTL_API=3", "/opt/etcd/bin/etcdctl", "--cacert=/opt/etcd/ssl/ca.pem", "--cert=/opt/etcd/ssl/admin.pem",
		"--key=/opt/etcd/ssl/admin-key.pem", "--endpoints=https://20.0.0.100:2379,https://20.0.0.103:2379,https://20.0.0.104:2379",
	}, args...)...)
}

// oneLeader says what is missing until three members agree on one leader.
func (h *host) oneLeader() string {
	h.t.Helper()
	r := h.etcdctl("endpoint", "status", "--write-out=json")
	var members []struct {
		Status struct {
			Header struct {
				MemberID uint64 `json:"member_id"`
			} `json:"header"`
			Leader uint64 `json:"leader"`
		}
	}
	if err := json.Unmarshal([]byte(r.out[max(0, strings.Index(r.out, "[{")):]), &members); err != nil || len(members) != 3 {
		return fmt.Sprintf("want the status of 3 members, got:\n%s", r.out)
	}
	leaders := make(map[uint64]int)
	for _, m := range members {
		leaders[m.Status.Leader]++
	}
	if len(leaders) != 1 || leaders[0] != 0 {
		return fmt.Sprintf("members name %d leaders: %v", len(leaders), leaders)
	}
	return ""
}

func TestThreeEtcdHostsInAnyOrderAgreeOnOneLeader(t *testing.T) {
	r := lab(t)
	hosts := r.hosts(t, members...)
	for _, i := range []int{2, 0, 1} {
		h := hosts[i]
		h.bring("etcd")
		out := h.install("etcd")
		t.Logf("%s:\n%s", h.name, out)
	}
	eventually(t, time.Minute, hosts[0].oneLeader)
	for _, h := range hosts {
		eventually(t, 2*time.Minute, h.converged)
		if refused, err := os.ReadFile(h.path("var/log/el7-refused")); err == nil {
			t.Errorf("%s: el7 would have refused:\n%s", h.name, refused)
		}
	}
}

// converged says what is missing until the host's installation is done and its timer has removed itself.
func (h *host) converged() string {
	for _, unit := range []string{"offgrid-converge.timer", "offgrid-converge.service"} {
		if _, err := os.Lstat(h.path("etc/systemd/system/" + unit)); err == nil {
			return h.name + " still has " + unit
		}
	}
	return ""
}

func TestTheFirstHostsSayWhomTheyWaitForAndTheStickMayBePulled(t *testing.T) {
	r := lab(t)
	hosts := r.hosts(t, members...)
	for i, h := range hosts {
		h.bring("etcd")
		out := h.install("etcd")
		h.must("rm", "install", "etcd.bundle")
		if i == 0 {
			for _, other := range hosts[1:] {
				if !strings.Contains(out, other.name) && !strings.Contains(out, other.ip) {
					t.Errorf("%s does not say that it waits for %s:\n%s", h.name, other.name, out)
				}
			}
		}
	}
	for _, h := range hosts {
		eventually(t, 2*time.Minute, h.converged)
	}
	eventually(t, time.Minute, hosts[0].oneLeader)
}

// flip changes one bit of a file on this machine, in the middle of it.
func flip(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], info.Size()/2); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], info.Size()/2); err != nil {
		t.Fatal(err)
	}
}

func TestAFlippedByteIsRefusedByNameAndTheHostStaysAsItWas(t *testing.T) {
	h := lab(t).hosts(t, "node01")[0]
	h.bring("etcd")
	before := h.snapshot()
	flip(t, h.path("root/etcd.bundle"))
	got := finish(t, h.installing("etcd"), time.Minute)
	if got.code != 4 {
		t.Errorf("exit code %d, want 4 (bundle damaged):\n%s", got.code, got.out)
	}
	if !strings.Contains(got.out, "etcd") || !strings.Contains(got.out, "damaged") {
		t.Errorf("the message does not name the damaged artifact:\n%s", got.out)
	}
	same(t, "after a damaged bundle was refused", before, h.snapshot())
}

func TestBadInputIsRefusedAndTheHostStaysAsItWas(t *testing.T) {
	r := lab(t)
	h := r.hosts(t, "node01")[0]
	h.bring("etcd", "master")
	before := h.snapshot()
	cut := h.path("root/cut.bundle")
	data, err := os.ReadFile(filepath.Join(r.site, "dist", "etcd.bundle"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cut, data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		argv  []string
		code  int
		words []string
	}{
		{"an unknown role", []string{"--role", "etc", "--ip", h.ip}, 2, []string{"etc"}},
		{"an address that no host of the site has", []string{"--role", "etcd", "--ip", "20.0.0.9"}, 2, []string{"20.0.0.9"}},
		{"an address of another host", []string{"--role", "etcd", "--ip", "20.0.0.100"}, 2, []string{"20.0.0.100"}},
		{"a role that the host does not have", []string{"--role", "master", "--ip", h.ip}, 2, []string{"master"}},
		{"a bundle that is cut short", []string{"--role", "etcd", "--ip", h.ip, "--bundle", "cut.bundle"}, 4, []string{"cut.bundle"}},
		{"the bundle of another role", []string{"--role", "etcd", "--ip", h.ip, "--bundle", "master.bundle"}, 2, []string{"master"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := h.command(append([]string{"./install", "--yes"}, c.argv...)...)
			got := finish(t, cmd, time.Minute)
			if got.code != c.code {
				t.Errorf("exit code %d, want %d:\n%s", got.code, c.code, got.out)
			}
			for _, word := range c.words {
				if !strings.Contains(got.out, word) {
					t.Errorf("the message does not say %q:\n%s", word, got.out)
				}
			}
		})
	}
	same(t, "after bad input", before, h.snapshot())
}

func TestUninstallPutsAnEtcdHostBack(t *testing.T) {
	h := lab(t).hosts(t, "node01")[0]
	h.bring("etcd")
	before := h.snapshot()
	h.install("etcd")
	if n := len(differences(before, h.snapshot())); n < 20 {
		t.Errorf("the installation changed only %d things", n)
	}
	h.must("./install", "uninstall", "--yes", "--purge-data")
	putBack(t, before, h.snapshot())
}

// putBack insists that a host is as it was, but for the exceptions.
func putBack(t *testing.T, before, after snapshot) {
	t.Helper()
	got := differences(before, after)
	for _, line := range got {
		if !slices.ContainsFunc(afterUninstall, func(e exception) bool { return e.covers(line) }) {
			t.Errorf("left behind: %s", line)
		}
	}
	t.Logf("%d differences:\n%s", len(got), strings.Join(got, "\n"))
}

// An exception is one of the numbered ones of installer/JOURNAL.md, as it looks on these hosts.
type exception struct {
	number   int
	prefixes []string
}

func (e exception) covers(line string) bool {
	return slices.ContainsFunc(e.prefixes, func(p string) bool { return strings.HasPrefix(line, p) })
}

var afterUninstall = []exception{
	{1, []string{"+ file /.autorelabel"}},
	{2, []string{
		"! file /etc/passwd-", "+ file /etc/passwd-", "! file /etc/group-", "+ file /etc/group-",
		"! file /etc/shadow-", "+ file /etc/shadow-", "! file /etc/gshadow-", "+ file /etc/gshadow-",
	}},
	// chrony's and docker's packages make a user and directories, and leave them.
	{5, []string{
		"! file /etc/passwd:", "! file /etc/group:", "! file /etc/shadow:", "! file /etc/gshadow:",
		"+ file /var/lib/chrony", "+ file /var/log/chrony",
	}},
}

func TestTheExceptionsOfUninstallAreNine(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "installer", "JOURNAL.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## What differs after an uninstall\n")
	section, _, _ = strings.Cut(section, "\n## ")
	items := regexp.MustCompile(`(?m)^[0-9]+\. `).FindAllString(section, -1)
	if len(items) != 9 {
		t.Errorf("installer/JOURNAL.md lists %d exceptions, want 9: %q", len(items), items)
	}
}
