package bundle

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Media types. Those of ours end in the number of the format.
const (
	MediaTypeIndex    = "application/vnd.oci.image.index.v1+json"
	MediaTypeManifest = "application/vnd.oci.image.manifest.v1+json"
	MediaTypeEmpty    = "application/vnd.oci.empty.v1+json"

	MediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"

	ArtifactTypeBundle = "application/vnd.offgrid.bundle.v1" // index.json and the root
	ArtifactTypeRole   = "application/vnd.offgrid.role.v1"
	ArtifactTypePack   = "application/vnd.offgrid.hostpack.v1"

	MediaTypeRoleIndex    = "application/vnd.offgrid.role.index.v1+json"
	MediaTypeDelta        = "application/vnd.offgrid.delta.v1+json"
	MediaTypePack         = "application/vnd.offgrid.hostpack.v1+json" // a plain one
	MediaTypeSealedPack   = "application/vnd.offgrid.hostpack.v1+age"
	MediaTypePassphrase   = "application/vnd.offgrid.hostpack.passphrase.v1+age"
	MediaTypeSSHHostKey   = "application/vnd.offgrid.hostpack.sshhostkey.v1+age"
	MediaTypeArtifactRaw  = "application/vnd.offgrid.artifact.v1"
	MediaTypeArtifactZstd = "application/vnd.offgrid.artifact.v1+zstd"

	ArtifactTypeSignature = "application/vnd.offgrid.signature.v1" // in a registry
	MediaTypeSignature    = "application/vnd.offgrid.signature.v1+minisign"
)

// Annotation keys.
const (
	AnnotationRefName = "org.opencontainers.image.ref.name"
	AnnotationTitle   = "org.opencontainers.image.title"
	AnnotationCluster = "offgrid.cluster" // cluster id
	AnnotationSerial  = "offgrid.serial"  // decimal
	AnnotationHost    = "offgrid.host"    // host name, on a host pack
	AnnotationPart    = "offgrid.part"    // PartRenewal or PartDelta, on the index.json of a bundle that is not whole
	AnnotationDelta   = "offgrid.delta"   // digest of the delta index, beside PartDelta
)

// PartRenewal says that index.json is that of a renewal bundle.
const PartRenewal = "renewal"

// PartDelta says that index.json is that of a delta bundle.
const PartDelta = "delta"

// formatPrefix comes before the format number in the artifact type of index.json, in every format.
const formatPrefix = "application/vnd.offgrid.bundle.v"

// ociLayout is the content of the member oci-layout.
const ociLayout = `{"imageLayoutVersion":"1.0.0"}` + "\n"

// emptyConfig is the content of the config blob of a host pack's manifest, as OCI has it for manifests without a config.
const emptyConfig = "{}"

// Descriptor points to a blob.
type Descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       Digest            `json:"digest"`
	Size         int64             `json:"size"` // bytes
	ArtifactType string            `json:"artifactType,omitempty"`
	Platform     *ImagePlatform    `json:"platform,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// ImagePlatform is what a container image runs on.
type ImagePlatform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

// Index is an OCI image index: index.json, the root, and the wrapper of each image.
type Index struct {
	SchemaVersion int               `json:"schemaVersion"` // 2
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Manifests     []Descriptor      `json:"manifests"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// Manifest is an OCI image manifest, of the role or of a host pack.
type Manifest struct {
	SchemaVersion int               `json:"schemaVersion"` // 2
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        Descriptor        `json:"config"`
	Layers        []Descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// ImageManifest is what both kinds of image manifest, OCI and Docker schema 2, have in common. Other fields are theirs.
type ImageManifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"` // "" is allowed by OCI
	Config        Descriptor   `json:"config"`
	Layers        []Descriptor `json:"layers"`
}

// parseImageManifest reads an image's manifest: somebody else's JSON, so unknown fields are let pass.
func parseImageManifest(data []byte) (*ImageManifest, error) {
	if len(data) > MaxIndexJSON {
		return nil, fmt.Errorf("image manifest: %d bytes are more than the limit of %d", len(data), MaxIndexJSON)
	}
	var m ImageManifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("image manifest: %w", err)
	}
	if m.SchemaVersion != 2 || m.Config.Digest.IsZero() {
		return nil, fmt.Errorf("image manifest: schema version %d with config %s is not an image's", m.SchemaVersion, m.Config.Digest.Short())
	}
	if len(m.Layers) > MaxLayers {
		return nil, fmt.Errorf("image manifest: %d layers are more than the limit of %d", len(m.Layers), MaxLayers)
	}
	for _, d := range append([]Descriptor{m.Config}, m.Layers...) {
		if d.Digest.IsZero() || d.Size < 0 || d.Size > MaxBlobSize {
			return nil, fmt.Errorf("image manifest: blob %s of %d bytes", d.Digest.Short(), d.Size)
		}
	}
	return &m, nil
}

// indexFormat finds the format number in index.json without understanding the rest, which may be of a newer format.
func indexFormat(data []byte) (int, bool) {
	var v struct {
		ArtifactType string `json:"artifactType"`
	}
	if json.Unmarshal(data, &v) != nil {
		return 0, false
	}
	digits, ok := strings.CutPrefix(v.ArtifactType, formatPrefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && n >= 0 && strconv.Itoa(n) == digits
}
