package bundle

import (
	"bytes"
	"fmt"
	"strconv"
)

// The metadata of a bundle follows from its content in one way only. Write makes it with the functions of this file; Open
// makes it again from what it has read and insists on the same bytes.

// descriptorOf describes data.
func descriptorOf(mediaType string, data []byte) Descriptor {
	return Descriptor{MediaType: mediaType, Digest: DigestOf(data), Size: int64(len(data))}
}

// roleManifest makes the manifest of a role: the role index is its config, each artifact a layer.
func roleManifest(config Descriptor, role *RoleIndex) Manifest {
	m := Manifest{
		SchemaVersion: 2, MediaType: MediaTypeManifest, ArtifactType: ArtifactTypeRole,
		Config: config, Layers: []Descriptor{}, Annotations: rootAnnotations(role),
	}
	for _, a := range role.Artifacts {
		mediaType := MediaTypeArtifactRaw
		if a.Blob.Encoding == EncodingZstd {
			mediaType = MediaTypeArtifactZstd
		}
		m.Layers = append(m.Layers, Descriptor{
			MediaType: mediaType, Digest: a.Blob.Stored, Size: a.Blob.StoredSize,
			Annotations: map[string]string{AnnotationTitle: a.Name},
		})
	}
	return m
}

// packLayers are the blobs of one host's pack, as its manifest names them: media types and titles follow from their places.
// A plain pack has no key files; a sealed one has that of the passphrase, and then may have that of the SSH host key.
func packLayers(host string, layers []Descriptor) []Descriptor {
	kinds := []struct{ mediaType, title string }{
		{MediaTypeSealedPack, PackRef(host)},
		{MediaTypePassphrase, PackRef(host) + ".passphrase"},
		{MediaTypeSSHHostKey, PackRef(host) + ".sshhostkey"},
	}
	if len(layers) == 1 {
		kinds[0].mediaType = MediaTypePack
	}
	var out []Descriptor
	for i, l := range layers {
		out = append(out, Descriptor{MediaType: kinds[i].mediaType, Digest: l.Digest, Size: l.Size,
			Annotations: map[string]string{AnnotationTitle: kinds[i].title}})
	}
	return out
}

// mostPackLayers is the pack with both key files. What is for any host that joins is for the passphrase alone.
func mostPackLayers(host string) int {
	if host == JoinPack {
		return 2
	}
	return 3
}

// packManifest makes the manifest of one host's pack.
func packManifest(host string, layers []Descriptor) Manifest {
	return Manifest{
		SchemaVersion: 2, MediaType: MediaTypeManifest, ArtifactType: ArtifactTypePack,
		Config: descriptorOf(MediaTypeEmpty, []byte(emptyConfig)), Layers: packLayers(host, layers),
		Annotations: map[string]string{AnnotationHost: host},
	}
}

// imageIndex wraps an image's manifest. skopeo 1.9.3 does not find a Docker manifest that is named directly; wrapped it does.
func imageIndex(manifest Descriptor, p Platform) Index {
	return Index{SchemaVersion: 2, MediaType: MediaTypeIndex, Manifests: []Descriptor{{
		MediaType: manifest.MediaType, Digest: manifest.Digest, Size: manifest.Size,
		Platform: &ImagePlatform{Architecture: p.Arch, OS: p.OS},
	}}}
}

// PackRef is the ref name of a host's pack.
func PackRef(host string) string { return "host-" + host }

func rootAnnotations(role *RoleIndex) map[string]string {
	return map[string]string{
		AnnotationCluster: role.Cluster.ID,
		AnnotationSerial:  strconv.FormatInt(role.Cluster.Serial, 10),
	}
}

// rootIndex makes the root from the descriptors of the role manifest, the pack manifests and the image indexes, in this
// order; each has its ref name.
func rootIndex(role *RoleIndex, manifests []Descriptor) Index {
	return Index{
		SchemaVersion: 2, MediaType: MediaTypeIndex, ArtifactType: ArtifactTypeBundle,
		Manifests: manifests, Annotations: rootAnnotations(role),
	}
}

// topIndex makes index.json: it points to the root and repeats the ref names, which readers look for only here. That of a
// renewal bundle says so; nothing else does, as everything below is the whole bundle's.
func topIndex(rootDesc Descriptor, root *Index, renewal bool) Index {
	rootDesc.MediaType, rootDesc.ArtifactType = MediaTypeIndex, ArtifactTypeBundle
	idx := Index{
		SchemaVersion: 2, MediaType: MediaTypeIndex, ArtifactType: ArtifactTypeBundle,
		Manifests: append([]Descriptor{rootDesc}, root.Manifests...),
	}
	if renewal {
		idx.Annotations = map[string]string{AnnotationPart: PartRenewal}
	}
	return idx
}

// named gives d a ref name and an artifact type.
func named(d Descriptor, ref, artifactType string) Descriptor {
	d.ArtifactType = artifactType
	d.Annotations = map[string]string{AnnotationRefName: ref}
	return d
}

// blobPath is where a blob lies in the layout.
func blobPath(d Digest) string { return blobDir + d.Hex() }

const (
	layoutName = "oci-layout"
	indexName  = "index.json"
	blobDir    = "blobs/sha256/"
)

// StoredBlob is one blob of a bundle.
type StoredBlob struct {
	Digest Digest // of the stored bytes
	Size   int64  // stored bytes
	Name   string // what it is, for people: "kubelet", "image k8s.gcr.io/pause:3.2, layer 1 of 1"
	Secret bool   // a host pack or one of its key files
	// Bulk is what a renewal bundle leaves out: a program, a package, the config or a layer of an image, and nothing else.
	Bulk bool
}

// Path is where the blob lies in the layout, below the bundle's directory: "blobs/sha256/" and 64 hex digits.
func (s StoredBlob) Path() string { return blobPath(s.Digest) }

// order compares two blobs by their place in the tar: small ones first.
func (s StoredBlob) order(o StoredBlob) int {
	switch {
	case s.Size != o.Size:
		return int(min(max(s.Size-o.Size, -1), 1))
	default:
		return bytes.Compare(s.Digest[:], o.Digest[:])
	}
}

func layerName(ref string, i, n int) string {
	return fmt.Sprintf("image %s, layer %d of %d", ref, i+1, n)
}

// imageBlobs lists the blobs of an image, its manifest first, and checks that it is the image that the role index names.
func imageBlobs(want Image, manifest Descriptor, data []byte) ([]StoredBlob, error) {
	m, err := parseImageManifest(data)
	if err != nil {
		return nil, err
	}
	if m.Config.Digest != want.ID {
		return nil, fmt.Errorf("the image's ID is %s, the role index says %s", m.Config.Digest.Short(), want.ID.Short())
	}
	if err := checkLayers(m.Layers); err != nil {
		return nil, err
	}
	blobs := []StoredBlob{
		{Digest: manifest.Digest, Size: manifest.Size, Name: "image " + want.Ref + ", manifest"},
		{Digest: m.Config.Digest, Size: m.Config.Size, Name: "image " + want.Ref + ", config", Bulk: true},
	}
	for i, l := range m.Layers {
		blobs = append(blobs, StoredBlob{Digest: l.Digest, Size: l.Size, Name: layerName(want.Ref, i, len(m.Layers)), Bulk: true})
	}
	return blobs, nil
}

// uniqueRefs refuses two manifests of one name.
func uniqueRefs(manifests []Descriptor) error {
	seen := map[string]bool{}
	for _, d := range manifests {
		ref := d.Annotations[AnnotationRefName]
		if seen[ref] {
			return fmt.Errorf("ref name %q stands for two manifests", ref)
		}
		seen[ref] = true
	}
	return nil
}
