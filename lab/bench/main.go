// Command bench measures offgrid against doing the same by hand with sha512sum, tar, gzip and zstd. What is compared runs in
// turn, and what is printed is the median of the rounds' ratios: an absolute time on a shared machine is not a result. The
// output is the table of the README.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

// options are the command line's.
type options struct {
	site, store, catalogue string
	bundle, install        string // programs
	words                  string // file with the site's passphrase; "" none
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
	flag.StringVar(&o.words, "passphrase-file", "", "file with the site's passphrase, when there is one")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds, after one that is thrown away")
	flag.Parse()
	switch flag.Arg(0) { // this program again, as one side of a comparison
	case "unpack":
		exit(unpack(flag.Args()[1:]))
	case "gunzip":
		exit(gunzip(flag.Args()[1:]))
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
	for _, p := range []*string{&o.site, &o.store, &o.catalogue, &o.bundle, &o.install, &o.words, &o.work} {
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
	if err := printMachine(); err != nil {
		return err
	}
	printHead()
	rounds := []int{}
	for _, make := range []func() (*group, error){in.builds, in.unpacks} {
		g, err := make()
		if err != nil {
			return err
		}
		if err := g.measure(o.rounds); err != nil {
			return err
		}
		g.print()
		rounds = append(rounds, len(g.jobs[0].took))
	}
	if err := in.bytes(); err != nil {
		return err
	}
	fmt.Printf("\nRounds after a warm-up: %d of builds, %d of unpacking. ", rounds[0], rounds[1])
	return printLoad("at the end")
}
