package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A layout is the directory of an OCI image layout.
type layout string

type descriptor struct {
	MediaType string    `json:"mediaType"`
	Size      int       `json:"size"`
	Digest    string    `json:"digest"`
	Platform  *platform `json:"platform,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

func (l layout) create() error {
	if err := os.MkdirAll(filepath.Join(string(l), "blobs", "sha256"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(string(l), "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644)
}

// writeIndex lets the layout name its one image.
func (l layout) writeIndex(d descriptor) error {
	d.Platform = nil
	data, err := json.Marshal(index{SchemaVersion: 2, MediaType: "application/vnd.oci.image.index.v1+json", Manifests: []descriptor{d}})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(string(l), "index.json"), data, 0o644)
}

func (l layout) add(mediaType string, data []byte) (descriptor, error) {
	sum := fmt.Sprintf("%x", sha256.Sum256(data))
	d := descriptor{MediaType: mediaType, Size: len(data), Digest: "sha256:" + sum}
	return d, os.WriteFile(filepath.Join(string(l), "blobs", "sha256", sum), data, 0o644)
}

// addJSON indents as docker does: who re-encodes a manifest gets another digest, and notices.
func (l layout) addJSON(mediaType string, v any) (descriptor, error) {
	data, err := json.MarshalIndent(v, "", "   ")
	if err != nil {
		return descriptor{}, err
	}
	return l.add(mediaType, data)
}

// image adds one platform's image: the program of that architecture, under the image's name.
func (l layout) image(programs, name, arch string, f form) (descriptor, error) {
	program, err := os.ReadFile(filepath.Join(programs, "program-"+arch))
	if err != nil {
		return descriptor{}, err
	}
	plain, packed, err := layer(name, program)
	if err != nil {
		return descriptor{}, err
	}
	m := manifest{SchemaVersion: 2, MediaType: f.manifest, Layers: make([]descriptor, 1)}
	if m.Layers[0], err = l.add(f.layer, packed); err != nil {
		return descriptor{}, err
	}
	config := map[string]any{
		"architecture": arch,
		"os":           "linux",
		"created":      "2020-02-14T10:51:50Z",
		"config":       map[string]any{"Entrypoint": []string{"/" + name}, "Env": []string{"PATH=/"}},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(plain))}},
		"history":      []any{map[string]any{"created": "2020-02-14T10:51:50Z", "created_by": "the lab"}},
	}
	if m.Config, err = l.addJSON(f.config, config); err != nil {
		return descriptor{}, err
	}
	return l.addJSON(f.manifest, m)
}

// layer is a tar with one program in it, plain and compressed.
func layer(name string, program []byte) (plain, packed []byte, err error) {
	var data, zipped bytes.Buffer
	w := tar.NewWriter(&data)
	header := tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(program)), ModTime: time.Unix(0, 0)}
	if err := w.WriteHeader(&header); err != nil {
		return nil, nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, nil, err
	}
	if err := w.Close(); err != nil {
		return nil, nil, err
	}
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(data.Bytes()); err != nil {
		return nil, nil, err
	}
	if err := z.Close(); err != nil {
		return nil, nil, err
	}
	return data.Bytes(), zipped.Bytes(), nil
}
