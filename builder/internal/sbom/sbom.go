// Package sbom lists what a bundle brings, for the people and programs that watch over known weaknesses: packages, programs
// with the Go modules that are built into them, and container images, as SPDX 2.3 or CycloneDX 1.5.
//
// The list is made of the bundle alone, and nothing of it is run. Same bundle, same bytes: the time in it is that of the
// bundle's serial, and its names come from the root. Rendered texts are left out: they are this site's settings, not
// software, and no database of weaknesses knows them. Of host packs there is nothing.
package sbom

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"offgrid/bundle"
)

// kind is what a component is.
type kind string

const (
	kindBundle  kind = "bundle"
	kindRPM     kind = "rpm"
	kindProgram kind = "program"
	kindModule  kind = "module" // a Go module
	kindImage   kind = "image"
	kindLayer   kind = "layer" // of an image
)

// component is one thing in the list.
type component struct {
	kind     kind
	key      string // unique within its kind
	name     string
	version  string
	purl     string
	sha256   string // hex
	licence  string // as upstream writes it
	supplier string
	source   string // address
	file     string
	notes    []note
}

// note is something that neither format has a field for.
type note struct{ key, value string }

// id names the component within the document: letters, digits, "." and "-".
func (c *component) id() string { return identifier(string(c.kind), c.key) }

// identifier makes a name of the signs that SPDX allows. Where that changes the key, a part of its hash keeps it unique.
func identifier(prefix, key string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, key)
	if plain != key {
		plain += "-" + bundle.DigestOf([]byte(key)).Short()[:8]
	}
	return prefix + "-" + plain
}

// Document is a list of what one bundle brings.
type Document struct {
	root       bundle.Digest
	seed       bundle.Digest // of all that it depends on
	tool       string
	created    time.Time
	bundle     *component
	installer  *component // nil: it was not there to be looked at
	components []*component
	relations  map[relation]bool
}

// relation says that one component contains another, or depends on it.
type relation struct{ from, to, how string }

const (
	contains  = "CONTAINS"
	dependsOn = "DEPENDS_ON"
)

// Options says what goes into the list besides the bundle.
type Options struct {
	Tool      string // program and release that make the list: "offgrid-bundle-0.1.0"
	Installer []byte // the program that installs the bundle; nil: not listed
	// License reads licence and vendor from the header of an RPM whose bytes are verified.
	License func(rpm io.ReadSeeker) (licence, vendor string, err error)
}

// maxProgram bounds the bytes of a program or package that is looked into: it is held in memory.
const maxProgram = 1 << 30

// collector makes a Document.
type collector struct {
	ctx  context.Context
	b    *bundle.Bundle
	opts Options
	doc  *Document
	seen map[string]*component // by id
}

// Collect looks through a bundle. What is not aboard (of a renewal bundle, or of a directory on a host) is listed without
// what is inside. A damaged program or package is an error.
func Collect(ctx context.Context, b *bundle.Bundle, opts Options) (*Document, error) {
	r := &b.Role
	doc := &Document{root: b.RootDigest, tool: opts.Tool, created: created(r.Cluster), relations: map[relation]bool{}}
	doc.seed = bundle.DigestOf(slices.Concat(b.RootDigest[:], digestOf(opts.Installer), []byte(opts.Tool)))
	c := &collector{ctx: ctx, b: b, opts: opts, doc: doc, seen: map[string]*component{}}
	doc.bundle = &component{
		kind: kindBundle, key: r.Role, name: r.Cluster.Name + "/" + r.Role, version: fmt.Sprint(r.Cluster.Serial), sha256: b.RootDigest.Hex(),
		notes: []note{{"cluster", r.Cluster.ID}, {"sha256 is of", "the root index, which names every byte of the bundle"}},
	}
	c.keep(doc.bundle)
	kernel := r.Kernel
	if kernel == nil {
		kernel = &bundle.Kernel{}
	}
	for _, p := range slices.Concat(r.Packages, kernel.Packages) {
		if err := c.rpm(p); err != nil {
			return nil, err
		}
	}
	for _, a := range r.Artifacts {
		if a.Kind != bundle.KindProgram {
			continue
		}
		if err := c.program(a); err != nil {
			return nil, err
		}
	}
	for _, i := range r.Images {
		c.image(i)
	}
	if opts.Installer != nil {
		c.installer()
	}
	slices.SortFunc(doc.components, func(x, y *component) int { return cmp.Compare(x.id(), y.id()) })
	return doc, nil
}

func digestOf(data []byte) []byte {
	if data == nil {
		return nil
	}
	d := bundle.DigestOf(data)
	return d[:]
}

// created is the time of the serial: no clock is asked.
func created(c bundle.Cluster) time.Time {
	const lastOfFourDigits = 253402300799 // the year 9999 ends
	if c.Serial > 0 && c.Serial <= lastOfFourDigits {
		return time.Unix(c.Serial, 0).UTC()
	}
	return c.NotBefore.UTC()
}

// keep adds a component once, and returns the one that is in the list.
func (c *collector) keep(x *component) *component {
	if old, ok := c.seen[x.id()]; ok {
		return old
	}
	c.seen[x.id()] = x
	c.doc.components = append(c.doc.components, x)
	return x
}

func (c *collector) relate(from, to *component, how string) {
	c.doc.relations[relation{from.id(), to.id(), how}] = true
}

// sorted lists the relations in a fixed order.
func (d *Document) sorted() []relation {
	return slices.SortedFunc(maps.Keys(d.relations), func(x, y relation) int {
		return cmp.Or(cmp.Compare(x.from, y.from), cmp.Compare(x.how, y.how), cmp.Compare(x.to, y.to))
	})
}

// content returns the verified bytes of an artifact, nil when they are not here or too many.
func (c *collector) content(a bundle.Artifact) ([]byte, error) {
	if !c.b.HasStored(a.Blob.Stored) || a.Blob.Size > maxProgram {
		return nil, nil
	}
	r, err := c.b.Content(c.ctx, a.Blob, a.Name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data := bytes.NewBuffer(make([]byte, 0, a.Blob.Size+bytes.MinRead))
	if _, err := data.ReadFrom(r); err != nil {
		return nil, err
	}
	return data.Bytes(), nil
}

// rpm lists one package.
func (c *collector) rpm(p bundle.Package) error {
	x := &component{kind: kindRPM, key: p.Name + "-" + p.EVR() + "." + p.Arch, name: p.Name, version: p.EVR(), purl: rpmURL(p, c.b.Role.Platform.Family)}
	for _, field := range []note{{"epoch", fmt.Sprint(p.Epoch)}, {"version", p.Version}, {"release", p.Release}, {"arch", p.Arch}} {
		x.notes = append(x.notes, note{"rpm:" + field.key, field.value})
	}
	a, ok := c.b.Artifact(p.Artifact)
	if ok {
		x.sha256, x.source, x.file = a.Blob.Digest.Hex(), a.Source, a.Name
		data, err := c.content(a)
		if err != nil {
			return err
		}
		if data == nil {
			x.notes = append(x.notes, note{"inside", "not looked at: it is not aboard"})
		} else if x.licence, x.supplier, err = c.opts.License(bytes.NewReader(data)); err != nil {
			x.notes = append(x.notes, note{"inside", "its header cannot be read"})
		}
	}
	c.relate(c.doc.bundle, c.keep(x), contains)
	return nil
}

// image lists a container image with its layers.
func (c *collector) image(i bundle.Image) {
	x := &component{
		kind: kindImage, key: i.Ref, name: i.Ref, version: i.Manifest.String(), purl: imageURL(i), sha256: i.Manifest.Hex(),
		notes: []note{{"oci:config", i.ID.String()}, {"sha256 is of", "the image's manifest"}},
	}
	x = c.keep(x)
	c.relate(c.doc.bundle, x, contains)
	blobs, ok := c.b.Image(i.Ref)
	if !ok {
		x.notes = append(x.notes, note{"inside", "not looked at: it is not aboard"})
		return
	}
	for n, l := range blobs.Layers {
		x.notes = append(x.notes, note{fmt.Sprintf("oci:layer:%d", n), l.Digest.String()})
		layer := c.keep(&component{
			kind: kindLayer, key: l.Digest.Hex(), name: l.Digest.String(), sha256: l.Digest.Hex(),
			notes: []note{{"oci:mediaType", l.MediaType}, {"size", fmt.Sprint(l.Size)}},
		})
		c.relate(x, layer, contains)
	}
}
