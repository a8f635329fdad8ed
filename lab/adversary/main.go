// Command adversary does to bundles what a hostile or careless person does, and looks in them for what must not be there. It
// knows the format from its specification only and imports nothing of this module: a fault of our code is not its fault too.
//
//	adversary damage FILE DIR [OTHER]   writes damaged copies of a bundle to DIR, and a line of JSON about each to stdout;
//	                                    OTHER, of another site, lends members
//	adversary secrets PKI DIR           looks in every byte of DIR for every secret of PKI; a line of JSON for each that is found
//
// It ends with 0 when it did its work, and secrets with 1 when it found one.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

func main() {
	found, err := run(os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "adversary:", err)
		os.Exit(2)
	}
	if found {
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) (found bool, err error) {
	lines := json.NewEncoder(out)
	switch {
	case len(args) == 3 && args[0] == "secrets":
		return secrets(args[1], args[2], lines)
	case len(args) == 3 && args[0] == "damage":
		return false, damage(args[1], args[2], "", lines)
	case len(args) == 4 && args[0] == "damage":
		return false, damage(args[1], args[2], args[3], lines)
	}
	return false, fmt.Errorf("usage: adversary damage FILE DIR [OTHER] | adversary secrets PKI DIR")
}
