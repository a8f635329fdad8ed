package sbom

import (
	"fmt"
	"io"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// property begins the names of our properties.
const property = "offgrid:"

// WriteCycloneDX writes the list as CycloneDX 1.5 in JSON: the newest version that most readers know.
func (d *Document) WriteCycloneDX(w io.Writer) error {
	bom := cdx.NewBOM()
	bom.SerialNumber = "urn:uuid:" + d.uuid()
	subject := cdxComponent(d.bundle)
	bom.Metadata = &cdx.Metadata{
		Timestamp:  d.created.Format(time.RFC3339),
		Tools:      &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: d.tool}}},
		Component:  &subject,
		Properties: &[]cdx.Property{{Name: property + "installer", Value: d.aboutInstaller()}},
	}
	var list []cdx.Component
	for _, c := range d.components {
		if c != d.bundle {
			list = append(list, cdxComponent(c))
		}
	}
	bom.Components = &list
	targets := map[string][]string{}
	for _, r := range d.sorted() {
		targets[r.from] = append(targets[r.from], r.to)
	}
	var dependencies []cdx.Dependency
	for _, c := range d.components {
		one := cdx.Dependency{Ref: c.id()}
		if to := targets[c.id()]; len(to) > 0 {
			one.Dependencies = &to
		}
		dependencies = append(dependencies, one)
	}
	bom.Dependencies = &dependencies
	encoder := cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON)
	encoder.SetPretty(true)
	encoder.SetEscapeHTML(false)
	return encoder.EncodeVersion(bom, cdx.SpecVersion1_5)
}

// uuid names the document by what it is made of (RFC 9562, version 8: bits of one's own).
func (d *Document) uuid() string {
	u := d.seed[:16]
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], []byte{u[6]&0x0f | 0x80, u[7]}, []byte{u[8]&0x3f | 0x80, u[9]}, u[10:])
}

func cdxType(k kind) cdx.ComponentType {
	switch k {
	case kindImage:
		return cdx.ComponentTypeContainer
	case kindModule:
		return cdx.ComponentTypeLibrary
	case kindBundle, kindLayer:
		return cdx.ComponentTypeFile
	}
	return cdx.ComponentTypeApplication
}

func cdxComponent(c *component) cdx.Component {
	x := cdx.Component{BOMRef: c.id(), Type: cdxType(c.kind), Name: c.name, Version: c.version, PackageURL: c.purl}
	if c.sha256 != "" {
		x.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: c.sha256}}
	}
	if c.supplier != "" {
		x.Supplier = &cdx.OrganizationalEntity{Name: c.supplier}
	}
	if c.licence != "" {
		x.Licenses = &cdx.Licenses{{License: &cdx.License{Name: c.licence}}}
	}
	properties := []cdx.Property{{Name: property + "kind", Value: string(c.kind)}}
	for _, n := range append([]note{{"file", c.file}, {"source", c.source}}, c.notes...) {
		if n.value != "" {
			properties = append(properties, cdx.Property{Name: property + n.key, Value: n.value})
		}
	}
	x.Properties = &properties
	return x
}
