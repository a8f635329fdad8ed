package sitetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"strings"

	"offgrid/bundle"
)

// Refs of the images in the node's bundle. They share a layer.
const (
	PauseRef   = "k8s.gcr.io/pause:3.2"
	BusyboxRef = "docker.io/library/busybox:1.28.4"
)

// images puts two container images aboard, one as docker's registry serves it and one in OCI's form, and the timer that
// loads them again.
func (s *Site) images(r *roleInput) {
	base := layer{name: "etc/os-release", content: "ID=test\n"}
	r.image(BusyboxRef, "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.container.image.v1+json",
		"application/vnd.docker.image.rootfs.diff.tar.gzip", base, layer{"bin/busybox", program("busybox")})
	r.image(PauseRef, "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json",
		"application/vnd.oci.image.layer.v1.tar+gzip", base)
	r.text("/usr/lib/systemd/system/offgrid-images.service", "[Service]\nType=oneshot\nExecStart=/var/lib/offgrid/install images\n", "root")
	r.unit("offgrid-images.timer", "/usr/lib/systemd/system/offgrid-images.timer")
}

// layer is a layer of one file.
type layer struct{ name, content string }

// pack returns the layer as it is stored, and the digest of its tar.
func (l layer) pack(r *roleInput) ([]byte, string) {
	var plain, packed bytes.Buffer
	w := tar.NewWriter(&plain)
	if err := w.WriteHeader(&tar.Header{Name: l.name, Mode: 0o644, Size: int64(len(l.content))}); err != nil {
		r.t.Fatal(err)
	}
	if _, err := w.Write([]byte(l.content)); err != nil {
		r.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		r.t.Fatal(err)
	}
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(plain.Bytes()); err != nil {
		r.t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		r.t.Fatal(err)
	}
	return packed.Bytes(), fmt.Sprintf("sha256:%x", sha256.Sum256(plain.Bytes()))
}

func (r *roleInput) keep(data []byte) bundle.Descriptor {
	d := bundle.DigestOf(data)
	r.blobs[d] = data
	return bundle.Descriptor{Digest: d, Size: int64(len(data))}
}

// image makes an image of layers, with the three media types.
func (r *roleInput) image(ref, manifestType, configType, layerType string, layers ...layer) {
	var descriptors, diffs []string
	for _, l := range layers {
		data, diff := l.pack(r)
		d := r.keep(data)
		descriptors = append(descriptors, fmt.Sprintf(`{"mediaType":%q,"size":%d,"digest":%q}`, layerType, d.Size, d.Digest))
		diffs = append(diffs, fmt.Sprintf("%q", diff))
	}
	config := r.keep(fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[%s]}}`, strings.Join(diffs, ",")))
	m := r.keep(fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"size":%d,"digest":%q},"layers":[%s]}`,
		manifestType, configType, config.Size, config.Digest, strings.Join(descriptors, ",")))
	m.MediaType = manifestType
	r.index.Images = append(r.index.Images, bundle.Image{Ref: ref, Manifest: m.Digest, ID: config.Digest})
	r.images = append(r.images, bundle.ImageInput{Ref: ref, Manifest: m})
}
