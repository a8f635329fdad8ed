package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	passed = "passed"
	failed = "failed"
)

// A result is what came out of one run of a test.
type result struct {
	name    string
	status  string // passed or failed
	took    time.Duration
	log     string // name of the group's log
	message string // why it failed, on one line
	run     int    // how often it ran; 1 for the first
}

// results is the file of all results, one line for each, in the order in which they came. Its methods may be used at the same
// time.
type results struct {
	mu    sync.Mutex
	file  *os.File
	known map[string]result
}

// openResults reads what is known and goes on there. The last line may be cut off: that test has no result.
func openResults(name string) (*results, error) {
	r := &results{known: make(map[string]result)}
	data, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	whole := strings.LastIndexByte(string(data), '\n') + 1
	lines := bufio.NewScanner(strings.NewReader(string(data[:whole])))
	for n := 1; lines.Scan(); n++ {
		one, err := parseResult(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("reading %q, line %d: %w", name, n, err)
		}
		r.add(one)
	}
	if r.file, err = os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o644); err != nil {
		return nil, err
	}
	if err := r.file.Truncate(int64(whole)); err != nil {
		return nil, err
	}
	_, err = r.file.Seek(int64(whole), 0)
	return r, err
}

func parseResult(line string) (result, error) {
	f := strings.Split(line, "\t")
	if len(f) != 5 || (f[0] != passed && f[0] != failed) {
		return result{}, fmt.Errorf("want passed or failed, seconds, log, test and message in %q", line)
	}
	seconds, err := strconv.Atoi(f[1])
	if err != nil {
		return result{}, err
	}
	return result{status: f[0], took: time.Duration(seconds) * time.Second, log: f[2], name: f[3], message: f[4]}, nil
}

func (r *results) add(one result) {
	one.run = r.known[one.name].run + 1
	r.known[one.name] = one
}

// write adds a result.
func (r *results) write(one result) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(one)
	message := strings.Join(strings.Fields(one.message), " ")
	_, err := fmt.Fprintf(r.file, "%s\t%d\t%s\t%s\t%s\n", one.status, int(one.took.Seconds()), one.log, one.name, message)
	return err
}

// last is the last result of each test that ran.
func (r *results) last() map[string]result {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := make(map[string]result, len(r.known))
	for name, one := range r.known {
		known[name] = one
	}
	return known
}

func (r *results) close() error { return r.file.Close() }

// readExcluded reads the tests that cannot be run here: lines of a test's name, a tab and what is missing. A name that the suite
// does not have is an error, so that the list does not outlive its reasons.
func readExcluded(name string, tests []string) (map[string]string, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	excluded := make(map[string]string)
	for i, line := range strings.Split(string(data), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		test, why, ok := strings.Cut(line, "\t")
		if !ok || why == "" {
			return nil, fmt.Errorf("reading %q, line %d: want a test, a tab and a reason", name, i+1)
		}
		if !slices.Contains(tests, test) {
			return nil, fmt.Errorf("reading %q, line %d: the suite has no conformance test %q", name, i+1, test)
		}
		excluded[test] = why
	}
	return excluded, nil
}
