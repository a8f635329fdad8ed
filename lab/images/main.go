// Command images makes the container images of the lab, one OCI layout each, in the forms that upstreams use: Docker schema 2
// and OCI, plain and as a list of platforms.
//
//	images PROGRAMS OUT < lines of reference, source > lines of reference, source, layout
//
// PROGRAMS holds program-amd64 and program-arm64. It writes the JSON itself: the lab's images are not made by the library that
// the product reads them with.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// A form is how an image is packed: its media types, and whether it comes as a list of platforms.
type form struct {
	manifest, config, layer string
	index                   string // "": one platform, no list
}

// formOf gives each image of the catalogue one: there is a Docker manifest list, a Docker image, an OCI image and an OCI index.
func formOf(ref string) form {
	docker := form{
		manifest: "application/vnd.docker.distribution.manifest.v2+json",
		config:   "application/vnd.docker.container.image.v1+json",
		layer:    "application/vnd.docker.image.rootfs.diff.tar.gzip",
	}
	oci := form{
		manifest: "application/vnd.oci.image.manifest.v1+json",
		config:   "application/vnd.oci.image.config.v1+json",
		layer:    "application/vnd.oci.image.layer.v1.tar+gzip",
	}
	switch name := path.Base(ref); {
	case strings.HasPrefix(name, "pause:"):
		docker.index = "application/vnd.docker.distribution.manifest.list.v2+json"
		return docker
	case strings.HasPrefix(name, "coredns:"):
		return docker
	case strings.HasPrefix(name, "flannel:"):
		return oci
	default:
		oci.index = "application/vnd.oci.image.index.v1+json"
		return oci
	}
}

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 2 {
		return fmt.Errorf("reading the arguments: want the programs' directory and the one to make, got %q", args)
	}
	lines := bufio.NewScanner(in)
	for i := 0; lines.Scan(); i++ {
		ref, source, _ := strings.Cut(lines.Text(), "\t")
		if err := build(args[0], layout(filepath.Join(args[1], strconv.Itoa(i))), ref); err != nil {
			return fmt.Errorf("making image %q: %w", ref, err)
		}
		fmt.Fprintf(out, "%s\t%s\t%d\n", ref, source, i)
	}
	return lines.Err()
}

// build makes the layout of one image.
func build(programs string, l layout, ref string) error {
	if err := l.create(); err != nil {
		return err
	}
	name, _, _ := strings.Cut(path.Base(ref), ":")
	f := formOf(ref)
	if f.index == "" {
		d, err := l.image(programs, name, "amd64", f)
		if err != nil {
			return err
		}
		return l.writeIndex(d)
	}
	list := index{SchemaVersion: 2, MediaType: f.index}
	for _, arch := range []string{"amd64", "arm64"} {
		d, err := l.image(programs, name, arch, f)
		if err != nil {
			return err
		}
		d.Platform = &platform{Architecture: arch, OS: "linux"}
		list.Manifests = append(list.Manifests, d)
	}
	d, err := l.addJSON(f.index, list)
	if err != nil {
		return err
	}
	return l.writeIndex(d)
}
