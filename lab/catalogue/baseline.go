package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"offgrid/bundle"
)

// baseline turns the specification that guest/baseline-spec writes into the list of what the lab's hosts have, as a build reads
// it: the packages with what they say they provide.
func baseline(spec io.Reader, out io.Writer) error {
	b := &bundle.Baseline{OS: "centos-7.9.2009"}
	var p *bundle.BaselinePackage
	lines := bufio.NewScanner(spec)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), " ")
		if name, ok := strings.CutPrefix(lines.Text(), "%package -n "); ok {
			b.Packages = append(b.Packages, bundle.BaselinePackage{Name: name, Arch: "x86_64", Provides: []bundle.Capability{},
				Requires: []bundle.Capability{}, Conflicts: []bundle.Capability{}, Obsoletes: []bundle.Capability{}, Files: []string{}})
			p = &b.Packages[len(b.Packages)-1]
			continue
		}
		if p == nil {
			continue
		}
		switch key {
		case "Epoch:":
			if _, err := fmt.Sscan(value, &p.Epoch); err != nil {
				return fmt.Errorf("reading the epoch of %s: %w", p.Name, err)
			}
		case "Version:":
			p.Version = value
		case "Release:":
			p.Release = value
		case "BuildArch:":
			p.Arch = value
		case "Provides:":
			for _, text := range strings.Split(value, ", ") {
				c := bundle.Capability{Name: text}
				if f := strings.Fields(text); len(f) == 3 {
					c = bundle.Capability{Name: f[0], Flags: f[1], EVR: f[2]}
				}
				p.Provides = append(p.Provides, c)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	data, err := b.Bytes()
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	return err
}
