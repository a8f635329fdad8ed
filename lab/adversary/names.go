package main

import (
	"encoding/json"
	"errors"
	"strings"
)

// descriptor and document are as much of OCI's JSON as gives things their names.
type descriptor struct {
	Digest       string
	ArtifactType string
	Annotations  map[string]string
}

type document struct {
	ArtifactType string
	Config       descriptor
	Layers       []descriptor
	Manifests    []descriptor
	Annotations  map[string]string
}

const (
	refName = "org.opencontainers.image.ref.name"
	title   = "org.opencontainers.image.title"
	blobs   = "blobs/sha256/"
)

// nameMembers gives members the names that the format's specification wants in messages: the artifact's, the host's, the
// image's.
func nameMembers(list []member) (map[string]string, error) {
	names := map[string]string{}
	parsed := map[string]document{}
	for _, m := range list {
		names[m.name] = m.name
		var d document
		if json.Unmarshal(m.content(), &d) == nil {
			parsed[m.name] = d
		}
		if strings.HasPrefix(m.name, "signatures/") {
			names[m.name] = "signature"
		}
	}
	path := func(d descriptor) string { return blobs + strings.TrimPrefix(d.Digest, "sha256:") }
	index, ok := parsed["index.json"]
	if !ok || len(index.Manifests) == 0 {
		return nil, errors.New("index.json names no root")
	}
	call := func(d descriptor, name string) document {
		if _, taken := names[path(d)]; taken && names[path(d)] == path(d) {
			names[path(d)] = name
		}
		return parsed[path(d)]
	}
	root := call(index.Manifests[0], "root index")
	for _, d := range root.Manifests {
		ref := d.Annotations[refName]
		switch {
		case strings.Contains(d.ArtifactType, ".role."):
			role := call(d, "role manifest")
			call(role.Config, "role index")
			for _, l := range role.Layers {
				call(l, l.Annotations[title])
			}
		case strings.Contains(d.ArtifactType, ".hostpack."):
			host := strings.TrimPrefix(ref, "host-")
			pack := call(d, host)
			for _, l := range pack.Layers {
				call(l, host)
			}
			call(pack.Config, "empty config")
		default:
			image := call(d, ref)
			for _, inner := range image.Manifests {
				original := call(inner, ref)
				call(original.Config, ref)
				for _, l := range original.Layers {
					call(l, ref)
				}
			}
		}
	}
	return names, nil
}
