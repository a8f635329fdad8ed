package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"syscall"
	"time"
)

// command is a start of the suite. When the context ends it is asked to end, then killed: it has namespaces to remove.
func command(ctx context.Context, o options, more ...string) *exec.Cmd {
	args := append([]string{
		"-kubeconfig=" + o.kubeconfig, "-provider=skeleton", "-kubectl-path=" + filepath.Join(o.parts, "kubectl"),
		"-repo-root=" + filepath.Join(o.parts, "files"), "-disable-log-dump", "-ginkgo.noColor", "-ginkgo.v",
		"-e2e-output-dir=" + o.state, "-test.timeout=0",
		"-node-schedulable-timeout=5m", "-system-pods-startup-timeout=5m", "-system-daemonsets-startup-timeout=3m",
	}, more...)
	cmd := exec.CommandContext(ctx, filepath.Join(o.parts, "e2e.test"), args...)
	cmd.Env = append(os.Environ(), "LAB_SUITE_FILES="+filepath.Join(o.parts, "files"))
	cmd.Dir = o.state
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	return cmd
}

// list is all conformance tests, as the suite itself names them, sorted.
func list(ctx context.Context, o options) ([]string, error) {
	cmd := command(ctx, o, "-ginkgo.dryRun", `-ginkgo.focus=\[Conformance\]`)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing the tests: %w: %s%s", err, out[max(0, len(out)-2000):], errs.String())
	}
	var names []string
	p := parser{done: func(r result) error { names = append(names, r.name); return nil }}
	if err := p.read(bytes.NewReader(out)); err != nil {
		return nil, err
	}
	sort.Strings(names)
	if len(names) == 0 {
		return nil, errors.New("listing the tests: the suite names none")
	}
	return names, nil
}

// focusOn is a regular expression for exactly these tests. The suite puts its own name in front of each.
func focusOn(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = regexp.QuoteMeta(name)
	}
	return "(" + strings.Join(quoted, "|") + ")$"
}

// A parser reads what the suite prints: a line of JSON after each test, and why a test failed.
type parser struct {
	done func(result) error // called for each test that ended

	pending *result // failed; its reason may follow
	message string  // of the failure whose test is not yet named
	block   int     // where in a failure's block: 0 outside, 1 in its head, 2 in its message
}

func (p *parser) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			if err := p.line(strings.TrimRight(line, "\n")); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return p.flush()
		}
		if err != nil {
			return err
		}
	}
}

func (p *parser) line(line string) error {
	// the suite's other reporter has put a mark for each test in front, or for those that were passed over
	if report := strings.TrimLeft(line, "•SP"); strings.HasPrefix(report, `{"msg":"`) {
		return p.progress(report)
	}
	switch {
	case strings.HasPrefix(line, "• Failure") || strings.HasPrefix(line, "•! Panic"):
		p.block, p.message = 1, ""
	case strings.HasPrefix(line, "------------------------------"):
		p.block = 0
	case p.block == 1 && strings.TrimSpace(line) == "":
		p.block = 2
	case p.block == 2 && strings.TrimSpace(line) == "" && p.message != "":
		p.block = 0
		return p.flush()
	case p.block == 2 && len(p.message) < 600:
		p.message += strings.TrimSpace(line) + " "
	}
	return nil
}

// progress reads the line that the suite's progress reporter prints.
func (p *parser) progress(line string) error {
	var report struct {
		Msg string `json:"msg"`
	}
	if err := json.Unmarshal([]byte(line), &report); err != nil {
		return nil // a line of a test's own that begins alike
	}
	if err := p.flush(); err != nil {
		return err
	}
	if name, ok := strings.CutPrefix(report.Msg, "PASSED "); ok {
		return p.done(result{name: name, status: passed})
	}
	if name, ok := strings.CutPrefix(report.Msg, "FAILED "); ok {
		p.pending = &result{name: name, status: failed}
		if p.message != "" {
			return p.flush()
		}
	}
	return nil
}

// flush hands on the failure whose reason has been read, or will not be.
func (p *parser) flush() error {
	if p.pending == nil {
		return nil
	}
	r := *p.pending
	r.message = strings.TrimSpace(p.message)
	p.pending, p.message = nil, ""
	return p.done(r)
}
