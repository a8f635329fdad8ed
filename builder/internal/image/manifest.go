package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"offgrid/bundle"
)

// accepted are the forms that we ask for.
func accepted() []string {
	return []string{
		string(types.OCIImageIndex), string(types.DockerManifestList),
		string(types.OCIManifestSchema1), string(types.DockerManifestSchema2),
	}
}

// mediaType finds out what a manifest is: by what it says itself, and by the server's header where it says nothing.
func mediaType(data []byte, header string) (string, error) {
	var m struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType"`
		Manifests     []json.RawMessage `json:"manifests"`
		Config        json.RawMessage   `json:"config"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return "", fmt.Errorf("the manifest is not JSON: %w", err)
	}
	if m.SchemaVersion != 2 {
		return "", fmt.Errorf("the manifest has schema version %d, only 2 is known", m.SchemaVersion)
	}
	kind := m.MediaType
	if kind == "" {
		kind, _, _ = mime.ParseMediaType(header)
	}
	for _, known := range accepted() {
		if kind == known {
			return kind, nil
		}
	}
	switch { // OCI leaves the field out
	case m.Manifests != nil && m.Config == nil && m.MediaType == "":
		return string(types.OCIImageIndex), nil
	case m.Config != nil && m.Manifests == nil && m.MediaType == "":
		return string(types.OCIManifestSchema1), nil
	}
	return "", fmt.Errorf("the manifest has the media type %q, which is not an image's", kind)
}

// choose finds the platform's manifest in a list.
func choose(list []byte, platform bundle.Platform) (Blob, error) {
	index, err := v1.ParseIndexManifest(bytes.NewReader(list))
	if err != nil {
		return Blob{}, fmt.Errorf("reading the list of manifests: %w", err)
	}
	var have []string
	var found *v1.Descriptor
	for i, d := range index.Manifests {
		if d.Platform == nil {
			continue
		}
		have = append(have, d.Platform.String())
		// A variant (v8 and the like) is taken when nothing plainer is there.
		if d.Platform.OS == platform.OS && d.Platform.Architecture == platform.Arch && (found == nil || d.Platform.Variant == "" && found.Platform.Variant != "") {
			found = &index.Manifests[i]
		}
	}
	if found == nil {
		return Blob{}, fmt.Errorf("the list of manifests has none for %s/%s, only for %q", platform.OS, platform.Arch, have)
	}
	return blobOf(*found, maxManifest)
}

// readManifest fills in the config and the layers.
func readManifest(data []byte, img *Image) error {
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return err
	}
	if len(m.Layers) == 0 || len(m.Layers) > maxLayers {
		return fmt.Errorf("it has %d layers, want 1 to %d", len(m.Layers), maxLayers)
	}
	if img.Config, err = blobOf(m.Config, maxManifest); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	for i, l := range m.Layers {
		if !l.MediaType.IsDistributable() {
			return fmt.Errorf("layer %d: it may not be passed on (media type %q)", i+1, l.MediaType)
		}
		b, err := blobOf(l, maxLayer)
		if err != nil {
			return fmt.Errorf("layer %d: %w", i+1, err)
		}
		img.Layers = append(img.Layers, b)
	}
	return nil
}

func blobOf(d v1.Descriptor, limit int64) (Blob, error) {
	digest, err := bundle.ParseDigest(d.Digest.String())
	if err != nil {
		return Blob{}, err
	}
	if d.Size <= 0 || d.Size > limit {
		return Blob{}, fmt.Errorf("its size of %d bytes is outside 1 to %d", d.Size, limit)
	}
	return Blob{MediaType: string(d.MediaType), Digest: digest, Size: d.Size}, nil
}
