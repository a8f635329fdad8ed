// Command catalogue makes the lab's catalogue from the real one, and says what the lab's upstream has to hold for it.
//
//	catalogue packages REAL LIST                     lines: directory of the repository, name, epoch, version, release, arch
//	catalogue repositories REAL                      lines: directory, key id, "signed" or "unsigned"
//	catalogue keys REAL                              lines: key id, path of the key file
//	catalogue images REAL                            lines: reference, source
//	catalogue baseline                               what the hosts have, from the specification on standard input
//	catalogue differences                            what the lab's catalogue says otherwise, and why
//	catalogue derive REAL ADDRESS DIGESTS OUT        the lab's catalogue, for a mirror at ADDRESS with the digests in DIGESTS
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/goccy/go-yaml"

	"offgrid/builder/catalogue"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	err := run(os.Args[1:], out)
	if flush := out.Flush(); err == nil {
		err = flush
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "catalogue:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) == 1 && args[0] == "differences" {
		for _, d := range differences() {
			fmt.Fprintf(out, "%s\t%s\n", d.path, d.reason)
		}
		return nil
	}
	if len(args) == 1 && args[0] == "baseline" {
		return baseline(os.Stdin, out)
	}
	if len(args) < 2 {
		return fmt.Errorf("reading the arguments: want a verb and a catalogue, got %q", args)
	}
	c, err := read(args[1])
	if err != nil {
		return err
	}
	if err := differ(c); err != nil {
		return err
	}
	switch {
	case args[0] == "packages" && len(args) == 3:
		return packages(c, args[2], out)
	case args[0] == "repositories" && len(args) == 2:
		for _, r := range c.Repositories {
			fmt.Fprintf(out, "%s\t%s\t%s\n", path(r.BaseURL), r.Key, map[bool]string{true: "signed", false: "unsigned"}[r.SignedMetadata])
		}
		return nil
	case args[0] == "keys" && len(args) == 2:
		for _, k := range c.Keys {
			fmt.Fprintf(out, "%s\t%s\n", k.ID, path(k.URL))
		}
		return nil
	case args[0] == "images" && len(args) == 2:
		for _, i := range c.Images {
			fmt.Fprintf(out, "%s\t%s\n", i.Ref, i.Source)
		}
		return nil
	case args[0] == "derive" && len(args) == 5:
		return derive(c, args[2], args[3], args[4])
	}
	return fmt.Errorf("reading the arguments: nothing is known that looks like %q", args)
}

// packages reads the list of what the repositories hold.
func packages(c *catalogue.Catalogue, list string, out io.Writer) error {
	at := make(map[string]string)
	for _, r := range c.Repositories {
		at[r.ID] = path(r.BaseURL)
	}
	data, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) != 4 || at[f[0]] == "" {
			return fmt.Errorf("reading %q: %q is not REPOSITORY NAME VERSION ARCH with a repository of the catalogue", list, line)
		}
		epoch, rest, ok := strings.Cut(f[2], ":")
		if !ok {
			epoch, rest = "0", f[2]
		}
		version, number, ok := strings.Cut(rest, "-")
		if !ok {
			return fmt.Errorf("reading %q: %q is not [EPOCH:]VERSION-RELEASE", list, f[2])
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\n", at[f[0]], f[1], epoch, version, number, f[3])
	}
	return nil
}

func derive(c *catalogue.Catalogue, address, lists, out string) error {
	if err := addReleases(c, lists); err != nil {
		return err
	}
	if err := (upstream{address: address, digest: digests(lists)}).move(c); err != nil {
		return err
	}
	data, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("writing the catalogue: %w", err)
	}
	const head = "# Made by lab/catalogue from manifests/catalogue.yaml.\n"
	if err := os.WriteFile(out+".new", append([]byte(head), data...), 0o644); err != nil {
		return err
	}
	return os.Rename(out+".new", out)
}
