package rpmrepo

import (
	"bufio"
	"compress/bzip2"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"

	"offgrid/bundle"
)

// Package is an RPM as the repository lists it.
type Package struct {
	Name    string
	Epoch   int
	Version string
	Release string
	Arch    string
	Path    string // below the repository's base address
	SHA256  bundle.Digest
	Size    int64 // bytes
}

// EVR writes epoch, version and release as rpm does: "3:20.10.24-3.el7"; an epoch of 0 is left out.
func (p Package) EVR() string {
	if p.Epoch == 0 {
		return p.Version + "-" + p.Release
	}
	return fmt.Sprintf("%d:%s-%s", p.Epoch, p.Version, p.Release)
}

// String returns the whole name: "docker-ce-3:20.10.24-3.el7.x86_64".
func (p Package) String() string { return p.Name + "-" + p.EVR() + "." + p.Arch }

type packageXML struct {
	Type    string `xml:"type,attr"`
	Name    string `xml:"name"`
	Arch    string `xml:"arch"`
	Version struct {
		Epoch int    `xml:"epoch,attr"`
		Ver   string `xml:"ver,attr"`
		Rel   string `xml:"rel,attr"`
	} `xml:"version"`
	Checksum checksumXML `xml:"checksum"`
	Size     struct {
		Package int64 `xml:"package,attr"`
	} `xml:"size"`
	Location locationXML `xml:"location"`
}

// ReadPrimary reads primary.xml, one package at a time, and calls found for each whose name is wanted.
func ReadPrimary(r io.Reader, wanted map[string]bool, found func(Package)) error {
	d := xml.NewDecoder(bufio.NewReaderSize(&limited{r, maxPrimaryOpened}, 256<<10))
	root := false
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) && root {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading primary.xml: %w", err)
		}
		e, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		if !root {
			if e.Name.Local != "metadata" {
				return fmt.Errorf("reading primary.xml: it begins with <%s>, want <metadata>", e.Name.Local)
			}
			root = true
			continue
		}
		if e.Name.Local != "package" {
			err = d.Skip()
		} else {
			err = onePackage(d, e, wanted, found)
		}
		if err != nil {
			return fmt.Errorf("reading primary.xml: %w", err)
		}
	}
}

func onePackage(d *xml.Decoder, e xml.StartElement, wanted map[string]bool, found func(Package)) error {
	var x packageXML
	if err := d.DecodeElement(&x, &e); err != nil {
		return err
	}
	if x.Type != "rpm" || !wanted[x.Name] {
		return nil
	}
	p := Package{Name: x.Name, Epoch: x.Version.Epoch, Version: x.Version.Ver, Release: x.Version.Rel, Arch: x.Arch, Path: x.Location.Href, Size: x.Size.Package}
	err := x.Location.check()
	if err == nil {
		p.SHA256, err = x.Checksum.digest()
	}
	if err == nil && (p.Size <= 0 || p.Size > maxPackage) {
		err = fmt.Errorf("its size is %d bytes, want 1 to %d", p.Size, maxPackage)
	}
	if err == nil && (p.Version == "" || p.Release == "" || p.Arch == "" || p.Epoch < 0) {
		err = errors.New("its version, release or architecture is missing")
	}
	if err != nil {
		return fmt.Errorf("package %q: %w", p.String(), err)
	}
	found(p)
	return nil
}

// limited fails instead of ending when there is more than the limit.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("it is too large")
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// decompress opens a file as its name says.
func decompress(name string, r io.Reader) (io.ReadCloser, error) {
	switch path.Ext(name) {
	case ".xml":
		return io.NopCloser(r), nil
	case ".gz":
		return bundle.Gunzip(r)
	case ".zst":
		return bundle.Unzstd(r)
	case ".bz2":
		return io.NopCloser(bzip2.NewReader(r)), nil
	case ".xz":
		z, err := openXZ(r)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(z), nil
	}
	return nil, fmt.Errorf("the form of %q is not known, want .gz, .xz, .bz2 or .zst", path.Base(name))
}
