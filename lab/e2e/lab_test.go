//go:build e2e

// Package e2e tries the programs of `make build` on the lab's hosts, with all that can go wrong. It needs root and what
// lab/README.md says; `make e2e` runs it.
package e2e

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var full = flag.Bool("full", false, "also what takes long: a kill and a power cut at every step")

// A rig is the lab of these tests: its state is beside the demo's, so both can run at once.
type rig struct {
	root  string // the checkout
	state string
	site  string // a site that was built once, for all tests
}

func newRig() (*rig, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return nil, err
	}
	r := &rig{root: root, state: filepath.Join(root, ".lab", "e2e")}
	if err := os.MkdirAll(r.state, 0o755); err != nil {
		return nil, err
	}
	return r, os.Setenv("OFFGRID_LAB", r.state)
}

// theRig is made when a test first asks for it.
var theRig = sync.OnceValues(func() (*rig, error) {
	r, err := newRig()
	if err != nil {
		return nil, err
	}
	out, err := exec.Command(filepath.Join(r.root, "lab", "site")).Output()
	if err != nil {
		return nil, fmt.Errorf("building the site: %w", explain(err))
	}
	r.site = strings.TrimSpace(string(out))
	return r, nil
})

func TestMain(m *testing.M) {
	flag.Parse()
	r, err := newRig()
	if err == nil {
		err = r.down() // what a killed run left
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := r.down(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func (r *rig) down() error {
	out, err := exec.Command(filepath.Join(r.root, "lab", "down")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("clearing the lab: %w\n%s", err, out)
	}
	return nil
}

func explain(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%w\n%s", err, exit.Stderr)
	}
	return err
}

// lab is the rig, with nothing running in it but the mirror.
func lab(t *testing.T) *rig {
	t.Helper()
	r, err := theRig()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A result is what a command said.
type result struct {
	code int
	out  string // stdout and stderr
}

// program runs a program on this machine.
func program(t *testing.T, dir string, argv ...string) result {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	return finish(t, cmd, 10*time.Minute)
}

func finish(t *testing.T, cmd *exec.Cmd, limit time.Duration) result {
	t.Helper()
	return await(t, cmd, begin(t, cmd), limit)
}

// begin starts a program; what it says goes to the buffer.
func begin(t *testing.T, cmd *exec.Cmd) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &out
}

// await waits for the end of a program that began.
func await(t *testing.T, cmd *exec.Cmd, out *bytes.Buffer, limit time.Duration) result {
	t.Helper()
	timer := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() }) // ended already: nothing to kill
	err := cmd.Wait()
	if !timer.Stop() {
		t.Fatalf("%q did not end within %s:\n%s", cmd.Args, limit, out.String())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out.String())
	}
	code := cmd.ProcessState.ExitCode()
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		code = 128 + int(s.Signal())
	}
	return result{code, out.String()}
}

// A host is one of the lab's.
type host struct {
	t    *testing.T
	rig  *rig
	name string
	ip   string
}

var table = map[string]string{
	"master01": "20.0.0.100", "master02": "20.0.0.101", "node01": "20.0.0.103", "node02": "20.0.0.104",
	"lb01": "20.0.0.112", "lb02": "20.0.0.113",
	"master03": "20.0.0.102", // a spare in the editions' cluster file
	"node03":   "20.0.0.120", // in no cluster file
}

// vip is the address behind which the masters are.
const vip = "20.0.0.110"

// hosts boots fresh ones; they are removed when the test ends, however it ends.
func (r *rig) hosts(t *testing.T, names ...string) []*host {
	t.Helper()
	var all []*host
	for _, name := range names {
		all = append(all, &host{t: t, rig: r, name: name, ip: table[name]})
	}
	t.Cleanup(func() {
		for _, h := range all {
			if t.Failed() {
				h.explain()
			}
			h.lab("--remove")
		}
	})
	var wait sync.WaitGroup
	for _, h := range all {
		wait.Go(func() { h.lab("--new", h.ip) })
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return all
}

// lab does something to the host from outside.
func (h *host) lab(args ...string) string {
	h.t.Helper()
	r := program(h.t, h.rig.root, append([]string{filepath.Join(h.rig.root, "lab", "host"), h.name}, args...)...)
	if r.code != 0 {
		h.t.Errorf("lab/host %s %q ended with %d:\n%s", h.name, args, r.code, r.out)
	}
	return strings.TrimSpace(r.out)
}

// keyed are the hosts whose SSH keys are in cluster.yaml: nobody types a passphrase there.
func keyed(name string) bool { return name == "node02" || name == "lb01" }

// command is a command on the host. Where it opens a bundle, the operator types the passphrase first.
func (h *host) command(argv ...string) *exec.Cmd {
	opens := argv[0] == "./install" && (len(argv) == 1 || argv[1] == "plan" || strings.HasPrefix(argv[1], "-"))
	if opens && !keyed(h.name) {
		argv = append(slices.Clone(argv), "--passphrase-fd", "0")
	}
	cmd := exec.Command(filepath.Join(h.rig.root, "lab", "host"), append([]string{h.name}, argv...)...)
	if opens && !keyed(h.name) {
		words, err := os.ReadFile(filepath.Join(h.rig.state, "passphrase"))
		if err != nil {
			h.t.Fatal(err)
		}
		cmd.Stdin = bytes.NewReader(words)
	}
	return cmd
}

// try runs a command on the host.
func (h *host) try(argv ...string) result {
	h.t.Helper()
	return finish(h.t, h.command(argv...), 10*time.Minute)
}

// must runs a command on the host that has to succeed.
func (h *host) must(argv ...string) string {
	h.t.Helper()
	r := h.try(argv...)
	if r.code != 0 {
		h.t.Fatalf("%s# %q ended with %d:\n%s", h.name, argv, r.code, r.out)
	}
	return r.out
}

// bring copies the installer and bundles to the host's /root.
func (h *host) bring(roles ...string) {
	h.t.Helper()
	h.bringFrom(h.rig.site, roles...)
}

func (h *host) bringFrom(site string, roles ...string) {
	h.t.Helper()
	args := []string{"--put", filepath.Join(site, "dist", "install")}
	for _, role := range roles {
		args = append(args, filepath.Join(site, "dist", role+".bundle"))
	}
	h.lab(append(args, "/root")...)
	if h.t.Failed() {
		h.t.FailNow()
	}
}

// installing is ./install as an operator types it, and the answer to its question.
func (h *host) installing(role string) *exec.Cmd {
	cmd := h.command("./install", "--role", role, "--ip", h.ip)
	answer := io.Reader(strings.NewReader("y\n"))
	if cmd.Stdin != nil {
		answer = io.MultiReader(cmd.Stdin, answer)
	}
	cmd.Stdin = answer
	return cmd
}

// install installs a role; it has to end with 0.
func (h *host) install(role string) string {
	h.t.Helper()
	r := finish(h.t, h.installing(role), 10*time.Minute)
	if r.code != 0 {
		h.t.Fatalf("%s# ./install --role %s --ip %s ended with %d:\n%s", h.name, role, h.ip, r.code, r.out)
	}
	return r.out
}

// path is where a file of the host is on this machine.
func (h *host) path(name string) string {
	return filepath.Join(h.rig.state, "hosts", h.name, "root", name)
}

// flat is text as it was before it was broken into lines.
func flat(text string) string { return strings.Join(strings.Fields(text), " ") }

// explain says what a failed test's host looks like.
func (h *host) explain() {
	state := h.try("sh", "-c", "systemctl --failed --no-legend; systemctl is-system-running; tail -n 25 /var/lib/offgrid/journal.jsonl | cut -c1-300; journalctl -n 40 --no-pager; cat /var/log/el7-refused")
	h.t.Logf("%s at the end:\n%s", h.name, state.out)
}

// eventually waits until check says "".
func eventually(t *testing.T, limit time.Duration, check func() string) {
	t.Helper()
	end := time.Now().Add(limit)
	for {
		missing := check()
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %s: %s", limit, missing)
		}
		pause()
	}
}

// pause lets the hosts work between two looks at them: asking takes from the machine what they need.
func pause() { <-time.After(400 * time.Millisecond) }
