package upstreamtest

import (
	"encoding/json"
	"fmt"

	"offgrid/bundle"
)

// Media types of what a registry serves.
const (
	DockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	DockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	OCIIndex       = "application/vnd.oci.image.index.v1+json"
	OCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
	dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	ociConfig      = "application/vnd.oci.image.config.v1+json"
	ociLayer       = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// Image is an image that the registry serves.
type Image struct {
	Repository string // "pause"
	Tag        string // "3.2"
	Type       string // of the manifest: DockerManifest or OCIManifest
	List       string // DockerList or OCIIndex when the tag names a list for linux/amd64 and linux/arm64; "": none
	Layers     [][]byte
	Unnamed    int // layers at the end that the config does not name
}

// Pushed is where things of an Image are.
type Pushed struct {
	Index    bundle.Digest // zero without a list
	Manifest bundle.Digest // of linux/amd64
	Config   bundle.Digest
	Layers   []bundle.Digest
}

type descriptor struct {
	MediaType string        `json:"mediaType"`
	Size      int           `json:"size"`
	Digest    bundle.Digest `json:"digest"`
	Platform  *platform     `json:"platform,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

// Push makes the image and serves it.
func (u *Upstream) Push(img Image) Pushed {
	p, d := u.pushPlatform(img, "amd64")
	if img.List == "" {
		u.manifest(img.Repository, img.Tag, img.Type, u.blob(img.Repository, "manifests", d.Digest))
		return p
	}
	_, arm := u.pushPlatform(img, "arm64")
	list := encode(map[string]any{"schemaVersion": 2, "mediaType": img.List, "manifests": []descriptor{arm, d}})
	p.Index = bundle.DigestOf(list)
	u.manifest(img.Repository, img.Tag, img.List, list)
	u.manifest(img.Repository, p.Index.String(), img.List, list)
	return p
}

func (u *Upstream) pushPlatform(img Image, arch string) (Pushed, descriptor) {
	var p Pushed
	var layers []descriptor
	configType, layerType := dockerConfig, dockerLayer
	if img.Type == OCIManifest {
		configType, layerType = ociConfig, ociLayer
	}
	diffIDs := []bundle.Digest{}
	for i, content := range img.Layers {
		if i < len(img.Layers)-img.Unnamed {
			diffIDs = append(diffIDs, bundle.DigestOf(content))
		}
		d := u.put(img.Repository, layerType, gzipped(content))
		layers = append(layers, d)
		p.Layers = append(p.Layers, d.Digest)
	}
	config := u.put(img.Repository, configType, encode(map[string]any{"architecture": arch, "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs}}))
	p.Config = config.Digest
	// Indented as docker does: whoever writes the manifest anew changes its digest.
	m, err := json.MarshalIndent(map[string]any{"schemaVersion": 2, "mediaType": img.Type, "config": config, "layers": layers}, "", "   ")
	if err != nil {
		panic(err)
	}
	p.Manifest = bundle.DigestOf(m)
	u.manifest(img.Repository, p.Manifest.String(), img.Type, m)
	return p, descriptor{img.Type, len(m), p.Manifest, &platform{arch, "linux"}}
}

func (u *Upstream) put(repo, kind string, content []byte) descriptor {
	d := bundle.DigestOf(content)
	u.File("/v2/"+repo+"/blobs/"+d.String(), content)
	return descriptor{kind, len(content), d, nil}
}

func (u *Upstream) blob(repo, kind string, d bundle.Digest) []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.files[fmt.Sprintf("/v2/%s/%s/%s", repo, kind, d)]
}

// Content is what is served at a path.
func (u *Upstream) Content(path string) []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.files[path]
}

func (u *Upstream) manifest(repo, ref, kind string, content []byte) {
	name := "/v2/" + repo + "/manifests/" + ref
	u.File(name, content)
	u.mu.Lock()
	u.types[name] = kind
	u.mu.Unlock()
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
