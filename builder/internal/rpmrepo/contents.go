package rpmrepo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"offgrid/builder/internal/solver"
)

// Tags of the header (rpm's lib/rpmtag.h).
const (
	tagFileModes    = 1030
	tagFileDigests  = 1035
	tagFileLinks    = 1036
	tagFileFlags    = 1037
	tagRequireFlags = 1048
	tagRequireNames = 1049
	tagRequireEVRs  = 1050
	tagDirIndexes   = 1116
	tagBaseNames    = 1117
	tagDirNames     = 1118
	tagCompressor   = 1125

	typeInt16 = 3

	fileGhost = 1 << 6 // not in the payload: only owned
	modeType  = 0o170000
	modeDir   = 0o040000
	modeLink  = 0o120000

	maxArray = 1 << 20 // entries; a kernel's sources have 60,000 files
)

// Held is a file that a package holds.
type Held struct {
	Path   string
	Mode   uint16
	Digest string // of a regular file's content, hex
	Link   string // where a symbolic link leads
	Ghost  bool   // owned, but not brought along
}

// Contents is what a package's own header says of it.
type Contents struct {
	Requires   []solver.Dep // what it wants of rpm itself and of others
	Files      []Held
	Compressor string // of the payload: "gzip", "xz"
}

// ReadContents reads the header of a package, whose bytes were verified before.
func ReadContents(r io.ReadSeeker) (*Contents, error) {
	head, _, err := openHeader(r)
	if err != nil {
		return nil, fmt.Errorf("reading a package: %w", err)
	}
	c := &Contents{}
	c.Compressor, _ = head.text(tagCompressor)
	if c.Requires, err = head.requires(); err == nil {
		c.Files, err = head.files()
	}
	if err != nil {
		return nil, fmt.Errorf("reading a package: %w", err)
	}
	return c, nil
}

// openHeader reads the header and leaves r at the payload.
func openHeader(r io.ReadSeeker) (head, sig *header, err error) {
	if _, err := r.Seek(leadSize, io.SeekStart); err != nil {
		return nil, nil, err
	}
	if sig, err = readHeader(r, maxSigStore); err != nil {
		return nil, nil, err
	}
	if pad := -len(sig.raw) & 7; pad > 0 {
		if _, err := io.CopyN(io.Discard, r, int64(pad)); err != nil {
			return nil, nil, fmt.Errorf("reading a header: %w", io.ErrUnexpectedEOF)
		}
	}
	head, err = readHeader(r, maxHeadStore)
	return head, sig, err
}

// texts returns an array of strings; nil when the tag is not there.
func (h *header) texts(tag uint32) ([]string, error) {
	v, n, ok := h.find(tag, typeStrings)
	if !ok {
		return nil, nil
	}
	if uint64(n) > uint64(len(v)) || n > maxArray {
		return nil, fmt.Errorf("its header has an array of %d texts in %d bytes, the limit is %d", n, len(v), maxArray)
	}
	list := make([]string, 0, n)
	for range n {
		end := bytes.IndexByte(v, 0)
		if end < 0 {
			return nil, errors.New("a text in its header has no end")
		}
		list = append(list, string(v[:end]))
		v = v[end+1:]
	}
	return list, nil
}

// numbers returns an array of integers of 16 or 32 bits, of which there must be so many; nil when the tag is not there.
func (h *header) numbers(tag, kind uint32, want int) ([]uint32, error) {
	v, n, ok := h.find(tag, kind)
	if !ok {
		return nil, nil
	}
	size := uint64(4)
	if kind == typeInt16 {
		size = 2
	}
	if uint64(n)*size > uint64(len(v)) || int(n) != want {
		return nil, fmt.Errorf("its header has an array of %d numbers, want %d", n, want)
	}
	list := make([]uint32, n)
	for i := range list {
		if size == 2 {
			list[i] = uint32(binary.BigEndian.Uint16(v[2*i:]))
		} else {
			list[i] = binary.BigEndian.Uint32(v[4*i:])
		}
	}
	return list, nil
}

func (h *header) requires() ([]solver.Dep, error) {
	return h.deps(tagRequireNames, tagRequireFlags, tagRequireEVRs)
}

// deps returns a list of dependencies, which is kept in three arrays.
func (h *header) deps(nameTag, flagTag, versionTag uint32) ([]solver.Dep, error) {
	names, err := h.texts(nameTag)
	if err != nil {
		return nil, err
	}
	versions, err := h.texts(versionTag)
	if err != nil {
		return nil, err
	}
	flags, err := h.numbers(flagTag, typeInt32, len(names))
	if err != nil {
		return nil, err
	}
	if len(versions) != len(names) || len(flags) != len(names) {
		return nil, errors.New("its header says different numbers of names and versions of dependencies")
	}
	var list []solver.Dep
	for i, name := range names {
		d := solver.Dep{Name: name}
		for bit, op := range map[uint32]solver.Op{2: solver.Less, 4: solver.Greater, 8: solver.Equal} {
			if flags[i]&bit != 0 {
				d.Op |= op
			}
		}
		if versions[i] == "" {
			d.Op = 0
		}
		if d.Op != 0 {
			if d.EVR, err = solver.ParseEVR(versions[i]); err != nil {
				return nil, err
			}
		}
		list = append(list, d)
	}
	return list, nil
}

func (h *header) files() ([]Held, error) {
	names, err := h.texts(tagBaseNames)
	if err != nil || names == nil {
		return nil, err
	}
	dirs, err := h.texts(tagDirNames)
	if err != nil {
		return nil, err
	}
	at, err := h.numbers(tagDirIndexes, typeInt32, len(names))
	if err != nil {
		return nil, err
	}
	modes, err := h.numbers(tagFileModes, typeInt16, len(names))
	if err != nil {
		return nil, err
	}
	flags, err := h.numbers(tagFileFlags, typeInt32, len(names))
	if err != nil {
		return nil, err
	}
	sums, err := h.texts(tagFileDigests)
	if err != nil {
		return nil, err
	}
	links, err := h.texts(tagFileLinks)
	if err != nil {
		return nil, err
	}
	files := make([]Held, len(names))
	for i, name := range names {
		if i >= len(at) || int64(at[i]) >= int64(len(dirs)) || strings.Contains(name, "/") {
			return nil, errors.New("its header names a file without a directory")
		}
		f := Held{Path: dirs[at[i]] + name}
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != strings.TrimSuffix(f.Path, "/") && f.Path != "/" {
			return nil, fmt.Errorf("its header names the file %q", f.Path)
		}
		if i < len(modes) {
			f.Mode = uint16(modes[i])
		}
		if i < len(flags) {
			f.Ghost = flags[i]&fileGhost != 0
		}
		if i < len(sums) {
			f.Digest = sums[i]
		}
		if i < len(links) {
			f.Link = links[i]
		}
		files[i] = f
	}
	return files, nil
}

// Clashes reports whether rpm would refuse two packages because of this path.
func (f Held) Clashes(o Held) bool {
	kind := f.Mode & modeType
	switch {
	case f.Ghost || o.Ghost:
		return false
	case kind != o.Mode&modeType:
		return true
	case kind == modeDir:
		return false
	case kind == modeLink:
		return f.Link != o.Link
	}
	return f.Digest != o.Digest || f.Mode != o.Mode
}

// UnknownToRpm returns what a package asks of rpm itself that rpm 4.11.3, that of CentOS 7.9, does not have (lib/rpmds.c there).
func (c *Contents) UnknownToRpm() []string {
	known := strings.Fields(`VersionedDependencies CompressedFileNames PayloadIsBzip2 PayloadIsXz PayloadIsLzma PayloadFilesHavePrefix
ExplicitPackageProvide HeaderLoadSortsTags ScriptletInterpreterArgs PartialHardlinkSets ConcurrentAccess BuiltinLuaScripts FileDigests
FileCaps ScriptletExpansion TildeInVersions`)
	var unknown []string
	for _, d := range c.Requires {
		feature, ours := strings.CutPrefix(d.Name, "rpmlib(")
		if ours && !slices.Contains(known, strings.TrimSuffix(feature, ")")) || strings.HasPrefix(d.Name, "(") {
			unknown = append(unknown, d.Name)
		}
	}
	return unknown
}
