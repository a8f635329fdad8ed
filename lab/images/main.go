// Command images makes the container images of the lab, one OCI layout each, in the forms that upstreams use: Docker schema 2
// and OCI, plain and as a list of platforms.
//
//	images TREES OUT < lines of reference, source > lines of reference, source, layout
//
// TREES holds the layers as directories (recipes.go says which image has which), and program-ARCH for what has no layers of its
// own. It writes the JSON itself: the lab's images are not made by the library that the product reads them with.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 2 {
		return fmt.Errorf("reading the arguments: want the directory of trees and the one to make, got %q", args)
	}
	trees := trees{dir: args[0], packed: make(map[string]packed)}
	lines := bufio.NewScanner(in)
	for i := 0; lines.Scan(); i++ {
		ref, source, _ := strings.Cut(lines.Text(), "\t")
		if err := build(&trees, layout(filepath.Join(args[1], strconv.Itoa(i))), ref); err != nil {
			return fmt.Errorf("making image %q: %w", ref, err)
		}
		fmt.Fprintf(out, "%s\t%s\t%d\n", ref, source, i)
	}
	return lines.Err()
}

// build makes the layout of one image.
func build(t *trees, l layout, ref string) error {
	if err := l.create(); err != nil {
		return err
	}
	r := recipeOf(ref)
	if r.form.index == "" {
		d, err := l.image(t, r, "amd64")
		if err != nil {
			return err
		}
		return l.writeIndex(d)
	}
	list := index{SchemaVersion: 2, MediaType: r.form.index}
	for _, arch := range []string{"amd64", "arm64"} {
		d, err := l.image(t, r, arch)
		if err != nil {
			return err
		}
		d.Platform = &platform{Architecture: arch, OS: "linux"}
		list.Manifests = append(list.Manifests, d)
	}
	d, err := l.addJSON(r.form.index, list)
	if err != nil {
		return err
	}
	return l.writeIndex(d)
}
