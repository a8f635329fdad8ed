package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"offgrid/bundle"
	"offgrid/bundle/recovery"
	"offgrid/bundle/signature"
	"offgrid/installer"
	"offgrid/installer/hosttest"
	"offgrid/installer/sitetest"
)

// siteKey is where a script keeps its site.
type siteKey struct{}

// scriptSite is the site of a script and what its hosts were like in the beginning.
type scriptSite struct {
	*sitetest.Site
	before map[string]hosttest.Tree
	block  string // of the keys that the installer trusts
}

// Scripts type what an operator would type, on hosts made of directories:
//
//	install HOST CODE [-in ANSWER] [-as PROGRAM] [-types WORDS,WORDS | -noterminal] ARG...
//	    ./install ARG... on that host; it must end with CODE. ANSWER comes from standard input, WORDS (the right ones) are
//	    typed at the terminal when a passphrase is asked for
//	host HOST VERB ...                      changes or looks at a host: put, has, hasnot, unchanged, foreign
//	spoil FILE flip|cut|format|arch         damages a bundle, or makes it another one
//	parts FILE TO SIZE                      writes a file in parts of SIZE bytes, with its recovery record
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireUniqueNames: true, RequireExplicitExec: true, Setup: setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"install": installCommand, "host": hostCommand, "spoil": spoilCommand, "narrow": narrowCommand, "json": jsonCommand, "parts": partsCommand,
		},
	})
}

// deferring lets a script's end be the end of what is made for a test.
type deferring struct {
	testing.TB
	end func(func())
	dir string
}

func (d deferring) Cleanup(f func()) { d.end(f) }
func (d deferring) TempDir() string  { return d.dir }

func setup(env *testscript.Env) error {
	tb, _ := env.T().(testing.TB)
	dir := filepath.Join(env.WorkDir, "bundles")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	newSite, roles := sitetest.New, []string{bundle.RoleEtcd, bundle.RoleMaster, bundle.RoleNode}
	if filepath.Base(env.WorkDir) == "script-check" { // the one that is about the whole cluster
		newSite, roles = sitetest.NewBalanced, append(roles, bundle.RoleLB)
	}
	if filepath.Base(env.WorkDir) == "script-kernel" {
		newSite = func(t testing.TB) *sitetest.Site { return sitetest.NewWithKernel(t, sitetest.Kernel{Mode: "upgrade"}) }
	}
	s := &scriptSite{Site: newSite(deferring{tb, env.Defer, dir}), before: map[string]hosttest.Tree{}}
	block, err := signature.Block([]signature.PublicKey{s.Key.Public()})
	if err != nil {
		return err
	}
	s.block = string(block)
	for _, h := range s.Table {
		s.before[h.Name] = s.Hosts[h.IP].Tree(tb)
		for _, role := range roles {
			env.Setenv(role, s.Bundle(role))
		}
	}
	env.Values[siteKey{}] = s
	return nil
}

func (s *scriptSite) named(ts *testscript.TestScript, name string) (*hosttest.Host, string) {
	for _, h := range s.Table {
		if h.Name == name {
			return s.Hosts[h.IP], h.IP
		}
	}
	ts.Fatalf("there is no host %q", name)
	return nil, ""
}

func installCommand(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value(siteKey{}).(*scriptSite)
	h, _ := s.named(ts, args[0])
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	args = args[2:]
	var in io.Reader = strings.NewReader("")
	if len(args) > 1 && args[0] == "-in" {
		in, args = strings.NewReader(strings.ReplaceAll(args[1], `\n`, "\n")+"\n"), args[2:]
	}
	program := sitetest.Installer
	if len(args) > 1 && args[0] == "-as" {
		program, args = args[1], args[2:]
	}
	for i := range args { // as if the bundle lay where the operator is
		if args[i] == "--bundle" && i+1 < len(args) {
			args[i+1] = ts.MkAbs(args[i+1])
		}
	}
	wait := time.Duration(0)
	typed := []string{sitetest.Words} // at a terminal
	for len(args) > 1 && args[0] == "-types" {
		typed, args = strings.Split(args[1], ","), args[2:]
	}
	secret := func(context.Context) (string, error) {
		if len(typed) == 0 {
			return "", io.EOF
		}
		line := typed[0]
		typed = typed[1:]
		return line, nil
	}
	if len(args) > 0 && args[0] == "-noterminal" {
		secret, args = nil, args[1:]
	}
	for i := range args {
		if args[i] == "--passphrase-file" && i+1 < len(args) && args[i+1] != "-" {
			args[i+1] = ts.MkAbs(args[i+1])
		}
	}
	code := run(context.Background(), args, deps{in: in, out: ts.Stdout(), err: ts.Stderr(), host: h, root: h.Root, now: s.Now, probe: s.Probe,
		executable: func() (string, error) { return program, nil }, patience: &wait, trusted: s.block, secret: secret})
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

func hostCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(siteKey{}).(*scriptSite)
	h, _ := s.named(ts, args[0])
	switch args[1] {
	case "put":
		h.Put(nilTB{ts: ts}, args[2], strings.Join(args[3:], " ")+"\n")
	case "has":
		if (h.Get(args[2]) != "") == neg {
			ts.Fatalf("%s: %s: there: %v", args[0], args[2], neg)
		}
	case "says":
		h.Script(args[2], hosttest.Says(strings.ReplaceAll(args[3], `\n`, "\n")))
	case "run":
		_, err := h.Run(context.Background(), nil, args[2:]...)
		ts.Check(err)
	case "rot":
		rot(ts, h, args[2])
	case "unchanged":
		if d := hosttest.Diff(s.before[args[0]], h.Tree(nilTB{ts: ts}, "/.autorelabel")); d != "" {
			ts.Fatalf("%s was changed:\n%s", args[0], d)
		}
	case "bundle":
		data, err := os.ReadFile(s.Bundle(args[2]))
		ts.Check(err)
		h.Put(nilTB{ts: ts}, "/root/"+args[2]+".bundle", string(data))
		if tb := (nilTB{ts: ts}); s.before != nil {
			s.before[args[0]] = h.Tree(tb)
		}
	case "site": // ROLE...: one file with the bundles of these roles
		data, err := os.ReadFile(s.SiteFile(nilTB{ts: ts}, args[2:]...))
		ts.Check(err)
		h.Put(nilTB{ts: ts}, "/root/site.bundle", string(data))
		s.before[args[0]] = h.Tree(nilTB{ts: ts})
	case "single": // ROLE: installer and bundle in one file
		data, err := os.ReadFile(s.Bundle(args[2]))
		ts.Check(err)
		program := h.Get(sitetest.Installer)
		trailer := bundle.Trailer(bundle.Appended{Offset: int64(len(program)), Size: int64(len(data))})
		h.Put(nilTB{ts: ts}, "/root/install-"+args[2], program+string(data)+string(trailer))
		s.before[args[0]] = h.Tree(nilTB{ts: ts})
	case "flip": // FILE: a bit near its end
		name := filepath.Join(h.Root, args[2])
		data, err := os.ReadFile(name)
		ts.Check(err)
		data[len(data)*3/4] ^= 0x10
		ts.Check(os.WriteFile(name, data, 0o755))
		s.before[args[0]] = h.Tree(nilTB{ts: ts})
	case "same":
		if h.Get(args[2]) != h.Get(args[3]) {
			ts.Fatalf("%s: %s and %s differ", args[0], args[2], args[3])
		}
	case "stick": // KUBE ETCD SERIAL: what the bundles bring from now on
		serial, err := strconv.ParseInt(args[4], 10, 64)
		ts.Check(err)
		s.Bring(nilTB{ts: ts}, sitetest.Versions{Kube: args[2], Etcd: args[3], Serial: serial})
	case "nosecrets": // ROLE: what was carried of it holds no private key
		noSecrets(ts, h, args[2])
	case "boot":
		h.Boot(nilTB{ts: ts})
	case "panics":
		h.Panics = map[string]bool{args[2]: !neg}
	case "broken":
		s.Break(args[2], !neg)
	case "fault":
		s.Fault(args[2])
	case "mend":
		s.Mend(args[2])
	case "remember":
		s.before[args[0]] = h.Tree(nilTB{ts: ts})
	default:
		ts.Fatalf("unknown verb %q", args[1])
	}
}

// noSecrets insists that no file below the state directory holds a private key.
func noSecrets(ts *testscript.TestScript, h *hosttest.Host, role string) {
	seen := 0
	ts.Check(filepath.WalkDir(filepath.Join(h.Root, installer.StateDir), func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		seen++
		data, err := os.ReadFile(name)
		if bytes.Contains(data, []byte("PRIVATE KEY")) || bytes.Contains(data, []byte("UFJJVkFURSBLRVk")) || strings.Contains(name, "pack-") {
			ts.Fatalf("%s holds a private key", name)
		}
		return err
	}))
	if seen < 3 {
		ts.Fatalf("%s: only %d files are carried", role, seen)
	}
}

// rot changes a byte of a blob that was carried to a node, named as messages name it.
func rot(ts *testscript.TestScript, h *hosttest.Host, blob string) {
	dir := filepath.Join(h.Root, installer.RoleDir(bundle.RoleNode))
	b, err := bundle.Open(dir)
	ts.Check(err)
	defer b.Close()
	for _, s := range b.Blobs() {
		if s.Name != blob {
			continue
		}
		name := filepath.Join(dir, s.Path())
		data, err := os.ReadFile(name)
		ts.Check(err)
		data[len(data)/2] ^= 1
		ts.Check(os.WriteFile(name, data, 0o644))
		return
	}
	ts.Fatalf("nothing is called %q", blob)
}

// partsCommand writes the first file as parts, and beside them the record of the whole.
func partsCommand(ts *testscript.TestScript, _ bool, args []string) {
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	to := ts.MkAbs(args[1])
	size, err := strconv.Atoi(args[2])
	ts.Check(err)
	ts.Check(os.WriteFile(to, data, 0o600))
	_, err = recovery.CreateFile(context.Background(), to, recovery.ParityBlocks(int64(len(data)), 10), nil)
	ts.Check(err)
	ts.Check(os.Remove(to))
	for n := 1; len(data) > 0; n++ {
		k := min(size, len(data))
		ts.Check(os.WriteFile(recovery.PartName(to, n), data[:k], 0o600))
		data = data[k:]
	}
}

// nilTB is as much of a testing.TB as the fakes need inside a script.
type nilTB struct {
	testing.TB
	ts *testscript.TestScript
}

func (n nilTB) Helper()                      {}
func (n nilTB) Fatal(args ...any)            { n.ts.Fatalf("%s", fmt.Sprint(args...)) }
func (n nilTB) Fatalf(f string, args ...any) { n.ts.Fatalf(f, args...) }
func (n nilTB) Error(args ...any)            { n.ts.Fatalf("%s", fmt.Sprint(args...)) }
func (n nilTB) Errorf(f string, args ...any) { n.ts.Fatalf(f, args...) }

// spoilCommand damages the bundle in the first argument and writes it to the second.
func spoilCommand(ts *testscript.TestScript, _ bool, args []string) {
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	switch args[2] {
	case "flip":
		data[len(data)*3/4] ^= 0x10 // in the big blobs at the end
	case "cut":
		data = data[:len(data)/2]
	case "format":
		data = bytes.Replace(data, []byte("vnd.offgrid.bundle.v1"), []byte("vnd.offgrid.bundle.v7"), -1)
	default:
		ts.Fatalf("spoil: %q", args[2])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o644))
}

// narrowCommand insists that no line of a file is wider than a server's console, but for lines that are to be copied.
func narrowCommand(ts *testscript.TestScript, _ bool, args []string) {
	for i, line := range strings.Split(ts.ReadFile(args[0]), "\n") {
		if len([]rune(line)) > 80 && !strings.HasPrefix(line, "  do:") && !strings.HasPrefix(line, "  bundle ") {
			ts.Fatalf("%s:%d: %d columns: %s", args[0], i+1, len([]rune(line)), line)
		}
	}
}

// jsonCommand insists that a file is one line of JSON and has the keys.
func jsonCommand(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if strings.Count(text, "\n") != 1 {
		ts.Fatalf("%s has %d lines, want 1:\n%s", args[0], strings.Count(text, "\n"), text)
	}
	var v map[string]any
	ts.Check(json.Unmarshal([]byte(text), &v))
	for _, key := range args[1:] {
		if _, ok := v[key]; !ok {
			ts.Fatalf("%s has no key %q: %s", args[0], key, text)
		}
	}
}
