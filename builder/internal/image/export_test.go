package image

import (
	"github.com/google/go-containerregistry/pkg/v1/types"

	"offgrid/bundle"
)

// Check reads a manifest or list as Resolve does.
func Check(data []byte, header string, platform bundle.Platform) error {
	kind, err := mediaType(data, header)
	if err != nil {
		return err
	}
	if types.MediaType(kind).IsIndex() {
		_, err := choose(data, platform)
		return err
	}
	return readManifest(data, &Image{})
}
