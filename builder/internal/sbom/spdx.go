package sbom

import (
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// namespace begins the names of our documents. They are names, not addresses: nothing is there.
const namespace = "https://offgrid.invalid/spdx/"

const noAssertion = "NOASSERTION"

// WriteSPDX writes the list as SPDX 2.3 in JSON.
func (d *Document) WriteSPDX(w io.Writer) error {
	doc := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName:      d.bundle.name,
		DocumentNamespace: namespace + d.seed.Hex(),
		DocumentComment:   "Texts that the build rendered and the packs of hosts are not listed. " + d.aboutInstaller(),
		CreationInfo: &spdx.CreationInfo{
			Creators: []common.Creator{{CreatorType: "Tool", Creator: d.tool}},
			Created:  d.created.Format(time.RFC3339),
		},
	}
	licences := map[string]*spdx.OtherLicense{}
	for _, c := range d.components {
		doc.Packages = append(doc.Packages, spdxPackage(c, licences))
	}
	for _, id := range sortedKeys(licences) {
		doc.OtherLicenses = append(doc.OtherLicenses, licences[id])
	}
	doc.Relationships = []*spdx.Relationship{spdxRelation("DOCUMENT", d.bundle.id(), common.TypeRelationshipDescribe)}
	for _, r := range d.sorted() {
		doc.Relationships = append(doc.Relationships, spdxRelation(r.from, r.to, r.how))
	}
	return json.Write(doc, w, json.Indent("  "), json.EscapeHTML(false))
}

func (d *Document) aboutInstaller() string {
	if d.installer == nil {
		return "The installer is not listed: it was not beside the bundle."
	}
	return "The installer is listed, though it lies beside the bundle and not in it."
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func spdxRelation(from, to, how string) *spdx.Relationship {
	return &spdx.Relationship{
		RefA: common.DocElementID{ElementRefID: common.ElementID(from)}, RefB: common.DocElementID{ElementRefID: common.ElementID(to)}, Relationship: how,
	}
}

// purposes are the words of SPDX for our kinds.
func purpose(k kind) string {
	switch k {
	case kindImage:
		return "CONTAINER"
	case kindProgram:
		return "APPLICATION"
	case kindModule:
		return "LIBRARY"
	case kindBundle, kindLayer:
		return "ARCHIVE"
	}
	return "INSTALL"
}

func spdxPackage(c *component, licences map[string]*spdx.OtherLicense) *spdx.Package {
	p := &spdx.Package{
		PackageName: c.name, PackageSPDXIdentifier: common.ElementID(c.id()), PackageVersion: c.version, PackageFileName: c.file,
		PackageDownloadLocation: noAssertion, PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: noAssertion, PackageCopyrightText: noAssertion,
		PackageSupplier: &common.Supplier{Supplier: noAssertion}, PrimaryPackagePurpose: purpose(c.kind),
	}
	if strings.Contains(c.source, "://") && !strings.ContainsFunc(c.source, unicode.IsSpace) {
		p.PackageDownloadLocation = c.source
	}
	if c.sha256 != "" {
		p.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: c.sha256}}
	}
	if c.supplier != "" {
		p.PackageSupplier = &common.Supplier{SupplierType: "Organization", Supplier: c.supplier}
	}
	if c.purl != "" {
		p.PackageExternalReferences = []*spdx.PackageExternalReference{{
			Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: c.purl,
		}}
	}
	if c.licence != "" {
		// What an RPM's header says is not SPDX's grammar of licences: "GPLv2+", "ASL 2.0". It is kept as it is.
		id := identifier("LicenseRef-rpm", c.licence)
		licences[id] = &spdx.OtherLicense{LicenseIdentifier: id, LicenseName: c.licence, ExtractedText: "The header of the package says: " + c.licence}
		p.PackageLicenseDeclared = id
	}
	var lines []string
	for _, n := range c.notes {
		lines = append(lines, n.key+": "+n.value)
	}
	p.PackageComment = strings.Join(lines, "\n")
	return p
}
