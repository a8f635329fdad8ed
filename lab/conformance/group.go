package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A group is a start of the suite for several tests.
type group struct {
	*scheduler
	log      string
	left     []string  // tests without a result
	since    time.Time // when the last one ended
	running  string    // the test that the suite announced last
	timer    *time.Timer
	timedOut atomic.Bool
	stopped  func() bool // says that we ended the suite, so that what it still reports says nothing about the cluster
}

// done takes the result of a test.
func (g *group) done(r result) error {
	at := slices.Index(g.left, r.name)
	if at < 0 {
		return fmt.Errorf("reading the suite's results: test %q was not asked for", r.name)
	}
	if g.stopped() {
		return nil
	}
	g.left = slices.Delete(slices.Clone(g.left), at, at+1)
	g.timer.Reset(g.limit)
	r.took, r.log = time.Since(g.since), g.log
	g.since, g.running = time.Now(), ""
	return g.write(r)
}

func (g *group) write(r result) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended++
	fmt.Fprintf(g.out, "[%4ds] %3d/%d %s %4ds  %s\n", int(time.Since(g.started).Seconds()), g.ended, g.planned, r.status, int(r.took.Seconds()), r.name)
	if r.message != "" {
		fmt.Fprintf(g.out, "                %s\n", r.message)
	}
	return g.results.write(r)
}

// giveUp gives the test that did not end its result.
func (g *group) giveUp() error {
	at := slices.Index(g.left, g.running)
	if at < 0 {
		return nil
	}
	g.left = slices.Delete(slices.Clone(g.left), at, at+1)
	return g.write(result{name: g.running, status: failed, took: time.Since(g.since), log: g.log, message: fmt.Sprintf("did not end within %s", g.limit)})
}

// announced passes on what the suite prints and notes which test it says to begin: the lines after a rule are the texts of the
// test, then the place of its source.
type announced struct {
	in    io.Reader
	group *group
	line  []byte
	texts []string
}

func (a *announced) Read(p []byte) (int, error) {
	n, err := a.in.Read(p)
	for _, b := range p[:n] {
		if b != '\n' {
			a.line = append(a.line, b)
			continue
		}
		a.note(string(bytes.TrimRight(a.line, "\r")))
		a.line = a.line[:0]
	}
	return n, err
}

func (a *announced) note(line string) {
	switch {
	case strings.HasPrefix(line, "------------------------------"):
		a.texts = []string{}
	case a.texts == nil:
	case len(a.texts) < 2:
		a.texts = append(a.texts, line)
		if len(a.texts) == 2 {
			name := a.texts[0] + strings.TrimPrefix(a.texts[1], "  ")
			if slices.Contains(a.group.left, name) {
				a.group.running = name
			}
			a.texts = nil
		}
	}
}
