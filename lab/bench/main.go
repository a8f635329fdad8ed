// Command bench measures offgrid against doing the same by hand with sha512sum, tar, gzip and zstd. Both sides run in turn
// and what is printed is the median of the pairs' ratios: an absolute time on a shared machine is not a result.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// options are the command line's.
type options struct {
	site, store, catalogue string
	bundle, install        string // programs
	rounds                 int
	work                   string // scratch
}

func main() {
	var o options
	flag.StringVar(&o.site, "site", "", "site directory that was built once")
	flag.StringVar(&o.store, "store", "", "its store")
	flag.StringVar(&o.catalogue, "catalogue", "", "its catalogue; \"\" for the built-in one")
	flag.StringVar(&o.bundle, "bundle", "bin/bundle", "bundle program")
	flag.StringVar(&o.install, "install", "bin/install", "install program")
	flag.IntVar(&o.rounds, "rounds", 5, "pairs of runs, after one that is thrown away")
	flag.Parse()
	if flag.Arg(0) == "unpack" { // this program again, as the A side of a pair
		exit(unpack(flag.Arg(1), flag.Arg(2)))
	}
	exit(run(o))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(o options) (err error) {
	if o.work, err = os.MkdirTemp(filepath.Dir(filepath.Clean(o.site)), "bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.work)) }()
	for _, p := range []*string{&o.site, &o.store, &o.catalogue, &o.bundle, &o.install, &o.work} {
		if *p != "" {
			if *p, err = filepath.Abs(*p); err != nil {
				return err
			}
		}
	}
	in, err := readInputs(o)
	if err != nil {
		return err
	}
	pairs, err := in.pairs()
	if err != nil {
		return err
	}
	fmt.Printf("%-60s %8s %8s %6s %7s %8s %8s\n", "A / B, medians of "+fmt.Sprint(o.rounds)+" pairs", "A s", "B s", "A/B", "target", "A/B cpu", "A peak")
	for _, p := range pairs {
		if err := p.measure(o.rounds); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return in.sizes()
}

// side is one way to do a thing.
type side struct {
	prepare func() error // not measured
	run     func() (usage, error)
}

// usage is what one run took.
type usage struct {
	wall time.Duration
	cpu  time.Duration // user and system, children included
	peak int64         // bytes
}

// pair is two ways to do a thing. Without b, a's time itself is what matters.
type pair struct {
	name   string
	target string // for people: "<= 0.9"
	a, b   *side
}

func (p *pair) measure(rounds int) error {
	var as, bs, ratios, cpus []float64
	var peak int64
	for round := range rounds + 1 {
		a, err := p.a.once()
		if err != nil {
			return fmt.Errorf("A: %w", err)
		}
		var b usage
		if p.b != nil {
			if b, err = p.b.once(); err != nil {
				return fmt.Errorf("B: %w", err)
			}
		}
		if round == 0 {
			continue // fills the page cache for both
		}
		peak = max(peak, a.peak)
		as = append(as, a.wall.Seconds())
		if p.b != nil {
			bs = append(bs, b.wall.Seconds())
			ratios = append(ratios, a.wall.Seconds()/b.wall.Seconds())
			cpus = append(cpus, a.cpu.Seconds()/b.cpu.Seconds())
		}
	}
	other, ratio, cpu := "-", "-", "-"
	if p.b != nil {
		other, ratio, cpu = fmt.Sprintf("%.3f", median(bs)), fmt.Sprintf("%.2f", median(ratios)), fmt.Sprintf("%.2f", median(cpus))
	}
	fmt.Printf("%-60s %8.3f %8s %6s %7s %8s %7.0fM\n", p.name, median(as), other, ratio, p.target, cpu, float64(peak)/(1<<20))
	return nil
}

func (s *side) once() (usage, error) {
	if s.prepare != nil {
		if err := s.prepare(); err != nil {
			return usage{}, err
		}
	}
	return s.run()
}

func median[T cmp.Ordered](v []T) T {
	slices.Sort(v)
	return v[len(v)/2]
}
