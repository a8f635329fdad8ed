package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"offgrid/builder/upstreamtest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"bundle": quickMain})
}

// quickMain is main with scrypt made cheap: a second and 256 MiB for every host pack would be the most of every script.
func quickMain() { process(2) }

// tinyKey is the key of every upstream here.
var tinyKey = sync.OnceValue(upstreamtest.NewKey)

// upstreamKey is where a script keeps its upstream.
type upstreamKey struct{}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"upstream": upstreamCommand,
			"spoil":    spoilCommand,
			"json":     jsonCommand,
		},
	})
}

// deferring lets a script's end be the end of what is made for a test.
type deferring struct {
	testing.TB
	end func(func())
}

func (d deferring) Cleanup(f func()) { d.end(f) }

// setup gives each script an upstream with tiny programs, a catalogue of it, a cluster file and an installer.
func setup(env *testscript.Env) error {
	tb, _ := env.T().(testing.TB)
	u := upstreamtest.New(deferring{tb, env.Defer})
	env.Values[upstreamKey{}] = u
	tiny := upstreamtest.Tiny(u, tinyKey())
	env.Setenv("UPSTREAM", u.URL)
	env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, "cache"))
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("TZ", "Asia/Shanghai") // results must not depend on it
	for name, content := range map[string]string{
		"catalogue.yaml":    tiny.Catalogue,
		"site/cluster.yaml": tiny.Cluster,
		"install":           string(tiny.Installer),
	} {
		path := filepath.Join(env.WorkDir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// upstreamCommand changes what upstream does:
//
//	upstream break PATH [status=N] [times=N] [short=N] [cut=N] [flip] [stall=N]
//	upstream heal PATH
//	upstream remove PATH
//	upstream asked PATH N     PATH was asked for exactly N times
//	upstream await PATH       wait until PATH is asked for
//	upstream rebuilt WORD     serve another kubelet and kube-proxy, which end in WORD
func upstreamCommand(ts *testscript.TestScript, neg bool, args []string) {
	u := ts.Value(upstreamKey{}).(*upstreamtest.Upstream)
	if neg || len(args) < 2 {
		ts.Fatalf("usage: upstream break|heal|remove|asked PATH [FAULT...]")
	}
	switch args[0] {
	case "break":
		u.Break(args[1], fault(ts, args[2:]))
	case "heal":
		u.Break(args[1], upstreamtest.Fault{})
	case "remove":
		u.Remove(args[1])
	case "asked":
		if got := len(u.Requests(args[1])); strconv.Itoa(got) != args[2] {
			ts.Fatalf("%s was asked for %d times, want %s", args[1], got, args[2])
		}
	case "await":
		await(u, args[1])
	case "rebuilt":
		upstreamtest.Rebuilt(u, args[1])
	default:
		ts.Fatalf("upstream: unknown %q", args[0])
	}
}

func fault(ts *testscript.TestScript, words []string) upstreamtest.Fault {
	var f upstreamtest.Fault
	for _, word := range words {
		key, text, _ := strings.Cut(word, "=")
		n, err := strconv.Atoi(text)
		if err != nil && text != "" {
			ts.Fatalf("upstream: %q: %v", word, err)
		}
		switch key {
		case "status":
			f.Status = n
		case "times":
			f.Times = n
		case "short":
			f.Short = n
		case "cut":
			f.CutAfter = n
		case "flip":
			f.Flip = true
		case "stall":
			f.Stall = n
		default:
			ts.Fatalf("upstream: unknown fault %q", key)
		}
	}
	return f
}

// spoilCommand damages a file:
//
//	spoil flip FILE TEXT      one bit of the first byte of TEXT
//	spoil cut FILE N          take N bytes from the end
//	spoil replace FILE A B    every A becomes B, of the same length
func spoilCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: spoil flip|cut|replace FILE ...")
	}
	path := ts.MkAbs(args[1])
	data, err := os.ReadFile(path)
	ts.Check(err)
	switch args[0] {
	case "flip":
		i := bytes.Index(data, []byte(args[2]))
		if i < 0 {
			ts.Fatalf("spoil: %q is not in %s", args[2], args[1])
		}
		data[i] ^= 1
	case "cut":
		n, err := strconv.Atoi(args[2])
		ts.Check(err)
		data = data[:len(data)-n]
	case "replace":
		if len(args[2]) != len(args[3]) || !bytes.Contains(data, []byte(args[2])) {
			ts.Fatalf("spoil: %q is not in %s", args[2], args[1])
		}
		data = bytes.ReplaceAll(data, []byte(args[2]), []byte(args[3]))
	default:
		ts.Fatalf("spoil: unknown %q", args[0])
	}
	ts.Check(os.WriteFile(path, data, 0o600))
}

// jsonCommand insists that every line of a file is a JSON value, and compares one field of the last one:
//
//	json FILE [KEY VALUE]     KEY is a path such as 0.role or bundles.1.root; * is any value
func jsonCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 && len(args) != 3 {
		ts.Fatalf("usage: json FILE [KEY VALUE]")
	}
	text := ts.ReadFile(args[0])
	var last any
	for line := range strings.Lines(text) {
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			ts.Fatalf("json: %v in %q", err, line)
		}
	}
	if text == "" {
		ts.Fatalf("json: %s is empty", args[0])
	}
	if len(args) == 1 {
		return
	}
	for _, key := range strings.Split(args[1], ".") {
		switch v := last.(type) {
		case map[string]any:
			last = v[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(v) {
				ts.Fatalf("json: no element %q in %v", key, v)
			}
			last = v[i]
		}
	}
	if got := fmt.Sprint(last); got != args[2] && (args[2] != "*" || last == nil) {
		ts.Fatalf("json: %s is %q, want %q", args[1], got, args[2])
	}
}

// await polls, for at most ten seconds: the request comes from another process.
func await(u *upstreamtest.Upstream, path string) {
	for range 10_000 {
		if len(u.Requests(path)) > 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// TestASignalEndsTheCommandWithItsOwnCode calls run as main does when a signal has come.
func TestASignalEndsTheCommandWithItsOwnCode(t *testing.T) {
	u := upstreamtest.New(t)
	tiny := upstreamtest.Tiny(u, tinyKey())
	u.Break("/v1.20.15/SHA256SUMS", upstreamtest.Fault{Stall: -1})
	dir := t.TempDir()
	for name, content := range map[string]string{"catalogue.yaml": tiny.Catalogue, "cluster.yaml": tiny.Cluster} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		await(u, "/v1.20.15/SHA256SUMS")
		cancel()
	}()
	var out, errOut bytes.Buffer
	code := run(ctx, []string{"lock", "--dir", dir, "--catalogue", filepath.Join(dir, "catalogue.yaml"), "--store", filepath.Join(dir, "store")}, deps{in: strings.NewReader(""), out: &out, err: &errOut})
	if code != 130 || !strings.Contains(errOut.String(), "interrupted") {
		t.Errorf("exit code %d, stderr %q; want 130 and \"interrupted\"", code, &errOut)
	}
}
