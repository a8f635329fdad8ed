package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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

// image adds one platform's image.
func (l layout) image(t *trees, r recipe, arch string) (descriptor, error) {
	r = r.of(arch)
	layers, err := t.of(r, arch)
	if err != nil {
		return descriptor{}, err
	}
	const created = "2020-02-14T10:51:50Z"
	m := manifest{SchemaVersion: 2, MediaType: r.form.manifest}
	var diffIDs []string
	var history []any
	for _, p := range layers {
		d, err := l.add(r.form.layer, p.data)
		if err != nil {
			return descriptor{}, err
		}
		m.Layers, diffIDs = append(m.Layers, d), append(diffIDs, p.diffID)
		history = append(history, map[string]any{"created": created, "created_by": "the lab"})
	}
	run := map[string]any{"Env": []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}}
	if len(r.entrypoint) > 0 {
		run["Entrypoint"] = r.entrypoint
	}
	if len(r.command) > 0 {
		run["Cmd"] = r.command
	}
	config := map[string]any{
		"architecture": arch,
		"os":           "linux",
		"created":      created,
		"config":       run,
		"rootfs":       map[string]any{"type": "layers", "diff_ids": diffIDs},
		"history":      history,
	}
	if m.Config, err = l.addJSON(r.form.config, config); err != nil {
		return descriptor{}, err
	}
	return l.addJSON(r.form.manifest, m)
}
