package main

import (
	"path"
	"strings"
)

// A form is how an image is packed: its media types, and whether it comes as a list of platforms.
type form struct {
	manifest, config, layer string
	index                   string // "": one platform, no list
}

func dockerForm() form {
	return form{
		manifest: "application/vnd.docker.distribution.manifest.v2+json",
		config:   "application/vnd.docker.container.image.v1+json",
		layer:    "application/vnd.docker.image.rootfs.diff.tar.gzip",
	}
}

func dockerList() form {
	f := dockerForm()
	f.index = "application/vnd.docker.distribution.manifest.list.v2+json"
	return f
}

func ociForm() form {
	return form{
		manifest: "application/vnd.oci.image.manifest.v1+json",
		config:   "application/vnd.oci.image.config.v1+json",
		layer:    "application/vnd.oci.image.layer.v1.tar+gzip",
	}
}

func ociIndex() form {
	f := ociForm()
	f.index = "application/vnd.oci.image.index.v1+json"
	return f
}

// A recipe is what an image is made of.
type recipe struct {
	form       form
	layers     []string // directories of trees, the lowest first; of other platforms than amd64 there is only the program
	program    string   // "": layers; else the one program of the image, under this name
	entrypoint []string
	command    []string
}

// recipeOf gives each image of the catalogue its contents, as upstream has them, and a form: there is a Docker manifest list, a
// Docker image, an OCI image and an OCI index, and the two last share a layer. What is not known here is a program that waits.
func recipeOf(ref string) recipe {
	name, _, _ := strings.Cut(path.Base(ref), ":")
	switch name {
	case "pause":
		return recipe{form: dockerList(), program: "pause", entrypoint: []string{"/pause"}}
	case "coredns":
		return recipe{form: dockerForm(), layers: []string{"certificates", "coredns"}, entrypoint: []string{"/coredns"}}
	case "flannel":
		return recipe{form: ociForm(), layers: []string{"busybox", "tools", "flannel"}, entrypoint: []string{"/opt/bin/flanneld"}}
	case "busybox":
		return recipe{form: ociIndex(), layers: []string{"busybox"}, command: []string{"sh"}}
	}
	return recipe{form: ociIndex(), program: name, entrypoint: []string{"/" + name}}
}

// of is the recipe for one platform.
func (r recipe) of(arch string) recipe {
	if arch != "amd64" && r.program == "" {
		return recipe{form: r.form, program: "program", entrypoint: []string{"/program"}}
	}
	return r
}
