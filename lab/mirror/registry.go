package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/registry"
)

// loadRegistry is an OCI registry that holds the images of dir: each under the name of its source, "registry.k8s.io/pause:3.2".
func loadRegistry(dir string) (http.Handler, error) {
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	list, err := os.Open(filepath.Join(dir, "images.tsv"))
	if err != nil {
		return nil, err
	}
	defer list.Close()
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 3 {
			return nil, fmt.Errorf("reading %q: want reference, source and layout in %q", list.Name(), lines.Text())
		}
		colon := strings.LastIndex(fields[1], ":")
		i := image{handler: handler, layout: filepath.Join(dir, "images", fields[2]), repository: fields[1][:colon]}
		if err := i.load(fields[1][colon+1:]); err != nil {
			return nil, fmt.Errorf("loading image %q: %w", fields[1], err)
		}
	}
	return handler, lines.Err()
}

// An image is one OCI layout on its way into the registry.
type image struct {
	handler    http.Handler
	layout     string
	repository string
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
}

// A document is an index or a manifest.
type document struct {
	Manifests []descriptor `json:"manifests"`
	Config    descriptor   `json:"config"`
	Layers    []descriptor `json:"layers"`
}

func (i image) load(tag string) error {
	data, err := os.ReadFile(filepath.Join(i.layout, "index.json"))
	if err != nil {
		return err
	}
	var index document
	if err := json.Unmarshal(data, &index); err != nil {
		return err
	}
	if len(index.Manifests) != 1 {
		return fmt.Errorf("reading its layout: it names %d images, want 1", len(index.Manifests))
	}
	return i.push(index.Manifests[0], tag)
}

// push puts what a manifest names into the registry, and then the manifest as reference.
func (i image) push(d descriptor, reference string) error {
	data, err := i.blob(d)
	if err != nil {
		return err
	}
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		return err
	}
	for _, m := range doc.Manifests {
		if err := i.push(m, m.Digest); err != nil {
			return err
		}
	}
	for _, b := range append(doc.Layers, doc.Config) {
		if b.Digest == "" {
			continue
		}
		content, err := i.blob(b)
		if err != nil {
			return err
		}
		if err := i.send(http.MethodPost, "blobs/uploads/?digest="+b.Digest, "application/octet-stream", content); err != nil {
			return err
		}
	}
	return i.send(http.MethodPut, "manifests/"+reference, d.MediaType, data)
}

func (i image) blob(d descriptor) ([]byte, error) {
	return os.ReadFile(filepath.Join(i.layout, "blobs", "sha256", strings.TrimPrefix(d.Digest, "sha256:")))
}

func (i image) send(method, path, mediaType string, data []byte) error {
	r := httptest.NewRequest(method, "/v2/"+i.repository+"/"+path, bytes.NewReader(data))
	r.Header.Set("Content-Type", mediaType)
	w := httptest.NewRecorder()
	i.handler.ServeHTTP(w, r)
	if w.Code >= 300 {
		return fmt.Errorf("sending %s: the registry answers %d: %s", path, w.Code, w.Body)
	}
	return nil
}
