// Command conformance runs the conformance tests of Kubernetes' own end-to-end suite against a cluster, a group at a time, and
// keeps what came out of each test, so that a run that was interrupted goes on where it was.
//
//	conformance -parts DIR -state DIR -kubeconfig FILE -excluded FILE [-focus REGEXP] [-workers N] [-again] [-report]
//
// DIR of -parts is what lab/conformance/parts makes. It ends with 0 when no test failed and at most 60 were not run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// mostNotRun is how many tests may be left out before the table says nothing any more.
const mostNotRun = 60

type options struct {
	parts, state, kubeconfig, excluded string

	focus   *regexp.Regexp // tests to run in this call; the table has all
	workers int            // groups at a time, of tests that bear company
	group   int            // tests for one start of the suite
	limit   time.Duration  // for one test
	again   bool           // run also what has passed
	report  bool           // run nothing
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(ctx, o, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	flags.StringVar(&o.parts, "parts", "", "directory made by lab/conformance/parts")
	flags.StringVar(&o.state, "state", "", "directory for results, logs and the table")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "of a cluster administrator")
	flags.StringVar(&o.excluded, "excluded", "", "file of tests that are not run, with reasons")
	focus := flags.String("focus", "", "run only tests whose names match this regular expression")
	flags.IntVar(&o.workers, "workers", 3, "groups of tests at a time")
	flags.IntVar(&o.group, "group", 12, "tests in a group")
	flags.DurationVar(&o.limit, "limit", 20*time.Minute, "time for one test, after which its group is ended")
	flags.BoolVar(&o.again, "again", false, "run also what has passed")
	flags.BoolVar(&o.report, "report", false, "only write the table of what is known")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	if o.focus, err = regexp.Compile(*focus); err != nil {
		return o, fmt.Errorf("reading -focus: %w", err)
	}
	for name, value := range map[string]*string{"parts": &o.parts, "state": &o.state, "kubeconfig": &o.kubeconfig, "excluded": &o.excluded} {
		if *value == "" {
			return o, fmt.Errorf("reading the arguments: -%s is missing", name)
		}
		if *value, err = filepath.Abs(*value); err != nil {
			return o, err
		}
	}
	if o.workers < 1 || o.group < 1 {
		return o, errors.New("reading the arguments: -workers and -group begin at 1")
	}
	return o, nil
}

func run(ctx context.Context, o options, out io.Writer) error {
	if err := os.MkdirAll(filepath.Join(o.state, "logs"), 0o755); err != nil {
		return err
	}
	tests, err := list(ctx, o)
	if err != nil {
		return err
	}
	excluded, err := readExcluded(o.excluded, tests)
	if err != nil {
		return err
	}
	results, err := openResults(filepath.Join(o.state, "results"))
	if err != nil {
		return err
	}
	defer results.close()
	if !o.report {
		s := scheduler{options: o, results: results, out: out, started: time.Now()}
		if err := s.run(ctx, due(o, tests, excluded, results)); err != nil {
			return err
		}
	}
	table := makeTable(tests, excluded, results.last())
	if err := os.WriteFile(filepath.Join(o.state, "table"), []byte(table.String()), 0o644); err != nil {
		return err
	}
	fmt.Fprint(out, table.summary())
	return table.verdict()
}

// due is what this call has to run, in the suite's order.
func due(o options, tests []string, excluded map[string]string, r *results) []string {
	var names []string
	last := r.last()
	for _, name := range tests {
		_, out := excluded[name]
		if !out && o.focus.MatchString(name) && (o.again || last[name].status != passed) {
			names = append(names, name)
		}
	}
	return names
}

// isSerial says whether a test needs the cluster for itself.
func isSerial(name string) bool { return strings.Contains(name, "[Serial]") }
