//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A record is a line of the installer's journal, as far as these tests read it.
type record struct {
	Seq   int    `json:"seq"`
	Role  string `json:"role"`
	Step  string `json:"step"`
	Event string `json:"event"`
}

// journal reads the host's journal from outside. A last line that is not whole yet is left out.
func (h *host) journal() []record {
	f, err := os.Open(h.path("var/lib/offgrid/journal.jsonl"))
	if err != nil {
		return nil
	}
	defer f.Close()
	var all []record
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r record
		if json.Unmarshal(lines.Bytes(), &r) == nil && r.Seq > 0 {
			all = append(all, r)
		}
	}
	return all
}

// done counts the steps that were finished.
func (h *host) done() int {
	n := 0
	for _, r := range h.journal() {
		if r.Event == "done" {
			n++
		}
	}
	return n
}

// installer is the pid of the installer among what pid started, as this machine numbers it; 0: it is not there yet.
func installer(pid int) int {
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err != nil || strings.TrimSpace(string(name)) == "install" {
		if err != nil {
			return 0
		}
		return pid
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0
	}
	for _, child := range strings.Fields(string(children)) {
		if n, err := strconv.Atoi(child); err == nil {
			if found := installer(n); found != 0 {
				return found
			}
		}
	}
	return 0
}

// running is an installer that was started.
type running struct {
	h    *host
	cmd  *exec.Cmd
	end  chan result
	pid  int
	last result
}

// start starts a command of the installer and waits until its process is there.
func (h *host) start(argv ...string) *running {
	h.t.Helper()
	cmd := h.command(argv...)
	r := &running{h: h, cmd: cmd, end: make(chan result, 1)}
	out := begin(h.t, cmd)
	go func() { r.end <- await(h.t, cmd, out, 10*time.Minute) }()
	return r
}

// until waits until ready, or until the installer has ended by itself: then it says false.
func (r *running) until(ready func() bool) bool {
	r.h.t.Helper()
	deadline := time.After(10 * time.Minute)
	for !ready() {
		if r.pid == 0 {
			r.pid = installer(r.cmd.Process.Pid) // now, and not when it is to be killed: steps take milliseconds
		}
		select {
		case r.last = <-r.end:
			return false
		case <-deadline:
			r.h.t.Fatalf("%q is neither where it was waited for nor at its end after 10 minutes", r.cmd.Args)
		case <-time.After(time.Millisecond):
		}
	}
	return true
}

// signal sends the installer a signal; it has to be running.
func (r *running) signal(s syscall.Signal) bool {
	r.h.t.Helper()
	if r.pid == 0 {
		r.pid = installer(r.cmd.Process.Pid)
	}
	if r.pid == 0 {
		return false
	}
	if s == syscall.SIGCONT {
		// nsenter stops itself when the program in it is stopped, and is the one that has to go on to see its end.
		if parent := parentOf(r.pid); parent > 1 {
			defer syscall.Kill(parent, s)
		}
	}
	return syscall.Kill(r.pid, s) == nil
}

// parentOf is the process that started pid; 0 when pid is gone.
func parentOf(pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// "PID (NAME) STATE PPID ...": the name may hold blanks.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return parent
}

// wait waits for its end.
func (r *running) wait() result {
	r.h.t.Helper()
	select {
	case r.last = <-r.end:
	case <-time.After(10 * time.Minute):
		r.h.t.Fatal("the installer did not end within 10 minutes")
	}
	return r.last
}

// chain installs a role and ends the installer each time when it has finished one more step, until it reaches the end.
// every is how many steps it may take in each life. It returns how often it was ended.
func (h *host) chain(role string, every int, end func(*running)) int {
	h.t.Helper()
	ends := 0
	for {
		before := h.done()
		argv := []string{"./install", "--yes", "--role", role, "--ip", h.ip}
		if ends%2 == 1 && h.carried(role) {
			argv = []string{"./install", "resume"}
		}
		r := h.start(argv...)
		if !r.until(func() bool { return h.done() >= before+every }) {
			if r.last.code != 0 {
				h.t.Fatalf("after %d ends, %q ended with %d:\n%s", ends, argv, r.last.code, r.last.out)
			}
			return ends
		}
		end(r)
		ends++
		if ends > 400 {
			h.t.Fatalf("%d ends, and no end", ends)
		}
	}
}

// carried reports whether the role can do without the stick: what comes after the programs has begun.
func (h *host) carried(role string) bool {
	for _, r := range h.journal() {
		kind, object, _ := strings.Cut(r.Step, ":")
		switch {
		case r.Role != role, kind == "carry", kind == "dir":
		case kind == "file" && (strings.HasPrefix(object, "/opt/etcd/bin/") || strings.HasPrefix(object, "/opt/kubernetes/bin/") || strings.HasPrefix(object, "/opt/cni/bin/")):
		default:
			return true
		}
	}
	return false
}

// killed ends it with SIGKILL.
func killed(r *running) {
	r.signal(syscall.SIGKILL)
	r.wait()
}

// unequal is what differs between two installations of the same host in any case.
var unequal = []string{
	"file /etc/machine-id", "file /etc/ssh/ssh_host_", "file /var/lib/offgrid/", "file /var/lib/etcd/", "file /var/lib/docker",
	"file /opt/kubernetes/logs", "file /opt/kubernetes/ssl/kubelet-client-", "file /opt/kubernetes/cfg/kubelet.kubeconfig",
	"file /var/lib/chrony", "file /var/lib/kubelet", "file /etc/shadow", "file /etc/docker/key.json", "file /var/log/", "file /var/lib/containerd", "file /opt/containerd",
	"file /etc/passwd-", "file /etc/group-", "file /etc/gshadow-",
	"active sys-devices", "active dev-", "setting kernel.hostname", "setting net.ipv4.conf", "setting net.ipv6.conf", "setting net.netfilter", "active var-lib-docker",
	// what pods make: which of them are there, and their addresses, is the scheduler's business
	"unit file docker-", "unit file kubepods-", "unit file run-", "unit file var-lib-docker", "unit file var-lib-kubelet",
	"active var-lib-kubelet", "file /var/lib/cni", "rules -A KUBE-", "rules :KUBE-",
}

func strip(s snapshot) snapshot {
	clean := make(snapshot)
	for name, value := range s {
		keep := true
		for _, prefix := range unequal {
			keep = keep && !strings.HasPrefix(name, prefix)
		}
		if keep {
			clean[name] = value
		}
	}
	return clean
}
