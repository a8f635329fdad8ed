package rpmrepo

import (
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"offgrid/builder/internal/solver"
	"offgrid/bundle"
)

// More tags of the header.
const (
	tagSummary       = 1004
	tagDescription   = 1005
	tagBuildTime     = 1006
	tagInstalledSize = 1009
	tagVendor        = 1011
	tagLicense       = 1014
	tagGroup         = 1016
	tagURL           = 1020
	tagSourceRPM     = 1044
	tagProvideNames  = 1047
	tagConflictFlags = 1053
	tagConflictNames = 1054
	tagConflictEVRs  = 1055
	tagObsoleteNames = 1090
	tagProvideFlags  = 1112
	tagProvideEVRs   = 1113
	tagObsoleteFlags = 1114
	tagObsoleteEVRs  = 1115
)

// Member is a package of a repository that is to be described.
type Member struct {
	Package               // Path is where it lies in the repository
	File    io.ReadSeeker // the package itself
}

// described is a member with what its header says.
type described struct {
	Member
	head       *header
	start, end int64 // of the header, in the file
	contents   *Contents
	lists      [3][]solver.Dep // provides, conflicts, obsoletes
}

// Describe makes the index of a repository as yum and dnf read it: the content of each file by its path, which begins with
// "repodata/". Time is when the repository is said to be made, in seconds since 1970. The same members give the same bytes.
func Describe(members []Member, time int64) (map[string][]byte, error) {
	var list []*described
	for _, m := range members {
		d, err := describe(m)
		if err != nil {
			return nil, fmt.Errorf("describing package %s: %w", m.Package, err)
		}
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b *described) int { return strings.Compare(a.Path, b.Path) })
	files := map[string][]byte{}
	var repomd bytes.Buffer
	fmt.Fprintf(&repomd, "%s<repomd xmlns=\"http://linux.duke.edu/metadata/repo\" xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\">\n<revision>%d</revision>\n", xml.Header, time)
	for _, part := range []struct {
		name, root, space string
		one               func(*bytes.Buffer, *described)
	}{
		{"primary", "metadata", `xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm"`, writePrimary},
		{"filelists", "filelists", `xmlns="http://linux.duke.edu/metadata/filelists"`, writeFilelists},
		{"other", "otherdata", `xmlns="http://linux.duke.edu/metadata/other"`, writeOther},
	} {
		var b bytes.Buffer
		fmt.Fprintf(&b, "%s<%s %s packages=\"%d\">\n", xml.Header, part.root, part.space, len(list))
		for _, d := range list {
			part.one(&b, d)
		}
		fmt.Fprintf(&b, "</%s>\n", part.root)
		packed, err := pack(b.Bytes())
		if err != nil {
			return nil, err
		}
		name := "repodata/" + bundle.DigestOf(packed).Hex() + "-" + part.name + ".xml.gz"
		files[name] = packed
		fmt.Fprintf(&repomd, "<data type=\"%s\">\n  <checksum type=\"sha256\">%s</checksum>\n  <open-checksum type=\"sha256\">%s</open-checksum>\n  <location href=\"%s\"/>\n  <timestamp>%d</timestamp>\n  <size>%d</size>\n  <open-size>%d</open-size>\n</data>\n",
			part.name, bundle.DigestOf(packed).Hex(), bundle.DigestOf(b.Bytes()).Hex(), name, time, len(packed), b.Len())
	}
	repomd.WriteString("</repomd>\n")
	files["repodata/repomd.xml"] = repomd.Bytes()
	return files, nil
}

func pack(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	return b.Bytes(), err
}

// describe reads a member's header.
func describe(m Member) (*described, error) {
	d := &described{Member: m}
	head, _, err := openHeader(m.File)
	if err != nil {
		return nil, err
	}
	if d.end, err = m.File.Seek(0, io.SeekCurrent); err != nil {
		return nil, err
	}
	d.head, d.start = head, d.end-int64(len(head.raw))
	d.contents = &Contents{}
	if d.contents.Requires, err = head.requires(); err != nil {
		return nil, err
	}
	if d.contents.Files, err = head.files(); err != nil {
		return nil, err
	}
	for i, tags := range [][3]uint32{{tagProvideNames, tagProvideFlags, tagProvideEVRs}, {tagConflictNames, tagConflictFlags, tagConflictEVRs}, {tagObsoleteNames, tagObsoleteFlags, tagObsoleteEVRs}} {
		if d.lists[i], err = head.deps(tags[0], tags[1], tags[2]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// escaped writes text into XML.
func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(strings.ToValidUTF8(s, "?"))) // a strings.Builder takes everything
	return b.String()
}

func (d *described) text(tag uint32) string {
	s, ok := d.head.text(tag)
	if !ok {
		v, _, found := d.head.find(tag, typeI18N)
		if end := bytes.IndexByte(v, 0); found && end >= 0 {
			s = string(v[:end])
		}
	}
	return escaped(s)
}

// identity opens the element of a package in the lists of files and of changes.
func (d *described) identity(b *bytes.Buffer) {
	fmt.Fprintf(b, "<package pkgid=\"%s\" name=\"%s\" arch=\"%s\">\n  <version epoch=\"%d\" ver=\"%s\" rel=\"%s\"/>\n", d.SHA256.Hex(), escaped(d.Name), escaped(d.Arch), d.Epoch, escaped(d.Version), escaped(d.Release))
}

func writePrimary(b *bytes.Buffer, d *described) {
	built, _ := d.head.number(tagBuildTime)
	installed, _ := d.head.number(tagInstalledSize)
	fmt.Fprintf(b, "<package type=\"rpm\">\n  <name>%s</name>\n  <arch>%s</arch>\n  <version epoch=\"%d\" ver=\"%s\" rel=\"%s\"/>\n  <checksum type=\"sha256\" pkgid=\"YES\">%s</checksum>\n",
		escaped(d.Name), escaped(d.Arch), d.Epoch, escaped(d.Version), escaped(d.Release), d.SHA256.Hex())
	fmt.Fprintf(b, "  <summary>%s</summary>\n  <description>%s</description>\n  <packager/>\n  <url>%s</url>\n  <time file=\"%d\" build=\"%d\"/>\n  <size package=\"%d\" installed=\"%d\" archive=\"%d\"/>\n  <location href=\"%s\"/>\n",
		d.text(tagSummary), d.text(tagDescription), d.text(tagURL), built, built, d.Size, installed, installed, escaped(d.Path))
	fmt.Fprintf(b, "  <format>\n    <rpm:license>%s</rpm:license>\n    <rpm:vendor/>\n    <rpm:group>%s</rpm:group>\n    <rpm:buildhost/>\n    <rpm:sourcerpm>%s</rpm:sourcerpm>\n    <rpm:header-range start=\"%d\" end=\"%d\"/>\n",
		d.text(tagLicense), d.text(tagGroup), d.text(tagSourceRPM), d.start, d.end)
	writeDeps(b, "provides", d.lists[0])
	writeDeps(b, "requires", slices.DeleteFunc(slices.Clone(d.contents.Requires), func(r solver.Dep) bool { return strings.HasPrefix(r.Name, "rpmlib(") }))
	writeDeps(b, "conflicts", d.lists[1])
	writeDeps(b, "obsoletes", d.lists[2])
	for _, f := range d.contents.Files {
		if InPrimary(f.Path) {
			writeFile(b, "    ", f)
		}
	}
	b.WriteString("  </format>\n</package>\n")
}

func writeDeps(b *bytes.Buffer, key string, list []solver.Dep) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "    <rpm:%s>\n", key)
	for _, d := range list {
		fmt.Fprintf(b, "      <rpm:entry name=\"%s\"", escaped(d.Name))
		if d.Op != 0 {
			word := map[string]string{"<": "LT", "<=": "LE", "=": "EQ", ">=": "GE", ">": "GT"}[d.Op.String()]
			fmt.Fprintf(b, " flags=\"%s\" epoch=\"%d\" ver=\"%s\"", word, d.EVR.Epoch, escaped(d.EVR.Version))
			if d.EVR.Release != "" {
				fmt.Fprintf(b, " rel=\"%s\"", escaped(d.EVR.Release))
			}
		}
		b.WriteString("/>\n")
	}
	fmt.Fprintf(b, "    </rpm:%s>\n", key)
}

func writeFile(b *bytes.Buffer, indent string, f Held) {
	kind := ""
	switch {
	case f.Ghost:
		kind = ` type="ghost"`
	case f.Mode&modeType == modeDir:
		kind = ` type="dir"`
	}
	fmt.Fprintf(b, "%s<file%s>%s</file>\n", indent, kind, escaped(path.Clean(f.Path)))
}

func writeFilelists(b *bytes.Buffer, d *described) {
	d.identity(b)
	for _, f := range d.contents.Files {
		writeFile(b, "  ", f)
	}
	b.WriteString("</package>\n")
}

func writeOther(b *bytes.Buffer, d *described) {
	d.identity(b)
	b.WriteString("</package>\n")
}
