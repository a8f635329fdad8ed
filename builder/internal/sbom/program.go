package sbom

import (
	"bytes"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"offgrid/bundle"
)

// maxModules bounds the Go modules of a program; the largest of Kubernetes has some 300.
const maxModules = 4096

// program lists a program, with the Go modules that are built into it when it says so.
func (c *collector) program(a bundle.Artifact) error {
	x := &component{
		kind: kindProgram, key: a.Name, name: a.Name, version: a.Version, sha256: a.Blob.Digest.Hex(), source: a.Source,
		purl: genericURL(a.Name, a.Version, a.Blob.Digest),
	}
	for _, f := range c.b.Role.Files {
		if f.Artifact == a.Name && x.file == "" {
			x.file = f.Path
		}
	}
	data, err := c.content(a)
	if err != nil {
		return err
	}
	c.relate(c.doc.bundle, c.keep(x), contains)
	if data == nil {
		x.notes = append(x.notes, note{"inside", "not looked at: it is not aboard"})
		return nil
	}
	c.inside(x, data)
	return nil
}

// installer lists the program that installs the bundle.
func (c *collector) installer() {
	d := bundle.DigestOf(c.opts.Installer)
	x := c.keep(&component{
		kind: kindProgram, key: "offgrid-install", name: "install", sha256: d.Hex(), file: "install", purl: genericURL("offgrid-install", "", d),
		notes: []note{{"use", "installs the bundle; it lies beside it"}},
	})
	c.doc.installer = x
	c.relate(c.doc.bundle, x, dependsOn)
	c.inside(x, c.opts.Installer)
}

// inside lists the modules of a Go program, read from its bytes.
func (c *collector) inside(x *component, data []byte) {
	info, err := readBuildInfo(data)
	if err != nil {
		x.notes = append(x.notes, note{"inside", "unknown: it is no Go program, or its build information was removed"})
		return
	}
	x.notes = append(x.notes, note{"go:version", info.GoVersion})
	if info.Path != "" {
		x.notes = append(x.notes, note{"go:package", info.Path})
	}
	library := c.keep(&component{kind: kindModule, key: "stdlib@" + info.GoVersion, name: "stdlib", version: info.GoVersion, purl: moduleURL("stdlib", strings.TrimPrefix(info.GoVersion, "go"))})
	c.relate(x, library, dependsOn)
	modules := info.Deps
	if info.Main.Path != "" {
		modules = slices.Concat([]*debug.Module{&info.Main}, modules)
	}
	if len(modules) > maxModules {
		x.notes = append(x.notes, note{"go:modules", fmt.Sprintf("the first %d of %d", maxModules, len(modules))})
		modules = modules[:maxModules]
	}
	for _, m := range modules {
		c.relate(x, c.module(m), dependsOn)
	}
}

// readBuildInfo reads what the linker wrote. The reader is the standard library's, for files that nobody vouched for.
func readBuildInfo(data []byte) (info *debug.BuildInfo, err error) {
	defer func() { // debug/elf and its like are not written for every hostile file
		if recover() != nil {
			err = errors.New("its build information cannot be read")
		}
	}()
	return buildinfo.Read(bytes.NewReader(data))
}

// module lists a Go module once per version and sum, however many programs hold it.
func (c *collector) module(m *debug.Module) *component {
	used := m
	if m.Replace != nil {
		used = m.Replace
	}
	x := &component{kind: kindModule, key: m.Path + "@" + used.Version, name: m.Path, version: used.Version, purl: moduleURL(used.Path, used.Version)}
	if used != m {
		x.key += "=>" + used.Path
		x.notes = append(x.notes, note{"go:replacedBy", used.Path + "@" + used.Version})
	}
	if used.Sum != "" {
		x.key += "#" + used.Sum
		// The sum of go.sum is a sha256 of the list of the module's files and their sums; other tools give it as the module's too.
		x.sha256 = hexSum(used.Sum)
		x.notes = append(x.notes, note{"go:sum", used.Sum})
	}
	if x.version == "(devel)" { // the program's own module, built from a directory
		x.version = ""
	}
	return c.keep(x)
}

// hexSum turns "h1:..." into hex digits; "" when it is no such sum.
func hexSum(sum string) string {
	text, ok := strings.CutPrefix(sum, "h1:")
	raw, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(raw) != 32 {
		return ""
	}
	return hex.EncodeToString(raw)
}
