package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// A scheduler runs tests in groups, several groups at a time, and then the tests that need the cluster for themselves.
type scheduler struct {
	options
	results *results
	out     io.Writer
	started time.Time

	mu      sync.Mutex // for what follows and out
	groups  int        // started so far
	ended   int        // tests
	planned int
}

// run runs the named tests. The error is nil when all were tried, whatever came out.
func (s *scheduler) run(ctx context.Context, names []string) error {
	s.planned = len(names)
	serial := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !isSerial(name) })
	names = slices.DeleteFunc(slices.Clone(names), isSerial)
	fmt.Fprintf(s.out, "%d tests to run, %d of them alone\n", s.planned, len(serial))
	if err := s.parallel(ctx, deal(names, s.group), s.workers); err != nil {
		return err
	}
	return s.parallel(ctx, deal(serial, s.group), 1)
}

// deal makes groups of at most size tests. Neighbours, which are alike and take alike long, go to different groups.
func deal(names []string, size int) [][]string {
	n := (len(names) + size - 1) / size
	groups := make([][]string, n)
	for i, name := range names {
		groups[i%n] = append(groups[i%n], name)
	}
	return groups
}

func (s *scheduler) parallel(ctx context.Context, groups [][]string, workers int) error {
	work := make(chan []string)
	errs := make([]error, workers)
	all := ctx
	ctx, stop := context.WithCancel(all)
	defer stop()
	var wait sync.WaitGroup
	for i := range workers {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for group := range work {
				if errs[i] = s.runGroup(ctx, group); errs[i] != nil {
					stop()
					return
				}
			}
		}()
	}
	for _, group := range groups {
		select {
		case work <- group:
		case <-ctx.Done():
		}
	}
	close(work)
	wait.Wait()
	return errors.Join(append(errs, all.Err())...)
}

// runGroup runs tests by one start of the suite. A test that does not end within its time has failed, and what was to come after
// it is tried by another start.
func (s *scheduler) runGroup(ctx context.Context, names []string) error {
	for len(names) > 0 {
		left, err := s.start(ctx, names)
		if err != nil {
			return err
		}
		if len(left) == len(names) {
			return fmt.Errorf("running a group of %d tests: the suite ran none of them, see %s", len(names), s.logs())
		}
		names = left
	}
	return nil
}

func (s *scheduler) logs() string { return filepath.Join(s.state, "logs") }

// start runs the suite once; it returns the tests that have no result.
func (s *scheduler) start(ctx context.Context, names []string) ([]string, error) {
	s.mu.Lock()
	s.groups++
	logName := fmt.Sprintf("%s-%03d.log", s.started.UTC().Format("20060102T150405"), s.groups)
	s.mu.Unlock()
	log, err := os.Create(filepath.Join(s.logs(), logName))
	if err != nil {
		return nil, err
	}
	defer log.Close()

	groupCtx, stop := context.WithCancel(ctx)
	defer stop()
	cmd := command(groupCtx, s.options, "-ginkgo.focus="+focusOn(names))
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the suite: %w", err)
	}
	g := group{scheduler: s, log: logName, left: names, since: time.Now(), stopped: func() bool { return groupCtx.Err() != nil }}
	g.timer = time.AfterFunc(s.limit, func() { g.timedOut.Store(true); stop() })
	defer g.timer.Stop()
	p := parser{done: g.done}
	err = p.read(&announced{in: io.TeeReader(stdout, log), group: &g})
	_ = cmd.Wait() // fails when a test did, and the results say which
	if err != nil || ctx.Err() != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	if g.timedOut.Load() {
		err = g.giveUp()
	}
	return g.left, err
}
