package rpmrepo

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"offgrid/builder/internal/solver"
	"offgrid/builder/internal/xmlscan"
)

// Limits on what an index of packages may say. CentOS 7 os has 10,072 packages with 250,000 dependencies; a kernel-devel has
// 20,000 files, of which the index of packages names few.
const (
	maxPackages     = 200_000
	maxPerPackage   = 65_536    // dependencies or files of one package
	maxDependencies = 8_000_000 // of all
	maxText         = 4096      // bytes of one name, version or path
)

// ReadPrimary reads primary.xml, one package at a time, and calls found for each. Of packages for machines other than arches
// only the name is read, sources are left out.
func ReadPrimary(r io.Reader, arches []string, found func(*Listed)) error {
	p := &primaryReader{s: xmlscan.New(r), arches: arches, texts: map[string]string{}}
	if err := eachPackage(p.s, "metadata", func() error { return p.one(found) }); err != nil {
		return fmt.Errorf("reading primary.xml: %w", err)
	}
	return nil
}

// eachPackage calls one at the start of each package of a document.
func eachPackage(s *xmlscan.Scanner, root string, one func() error) error {
	packages := 0
	for {
		kind, err := s.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case kind != xmlscan.Start:
		case s.Depth() == 1 && string(s.Name()) != root:
			return fmt.Errorf("it begins with <%.40s>, want <%s>", s.Name(), root)
		case s.Depth() == 2 && string(s.Name()) == "package":
			if packages++; packages > maxPackages {
				return fmt.Errorf("it has more than %d packages", maxPackages)
			}
			err = one()
		case s.Depth() == 2:
			err = s.Skip()
		}
		if err != nil {
			return err
		}
	}
}

type primaryReader struct {
	s      *xmlscan.Scanner
	arches []string
	texts  map[string]string // each text is kept once: names and versions repeat
	total  int               // dependencies and files so far
}

// text keeps a text.
func (p *primaryReader) text(b []byte) (string, error) {
	if len(b) > maxText {
		return "", fmt.Errorf("a name, version or path has %d bytes, the limit is %d", len(b), maxText)
	}
	if s, ok := p.texts[string(b)]; ok {
		return s, nil
	}
	s := string(b)
	p.texts[s] = s
	return s, nil
}

func (p *primaryReader) attr(name string) (string, error) {
	b, err := p.s.Attr(name)
	if err != nil {
		return "", err
	}
	return p.text(b)
}

func (p *primaryReader) content() (string, error) {
	b, err := p.s.Content()
	if err != nil {
		return "", err
	}
	return p.text(b)
}

// one reads a package whose start was read.
func (p *primaryReader) one(found func(*Listed)) error {
	kind, err := p.attr("type")
	if err != nil {
		return err
	}
	if kind != "rpm" {
		return p.s.Skip()
	}
	l := &Listed{}
	for depth := p.s.Depth() - 1; p.s.Depth() > depth; {
		next, err := p.s.Next()
		if err != nil {
			return err
		}
		if next != xmlscan.Start {
			continue
		}
		if err := p.element(l); err != nil {
			return fmt.Errorf("package %q: %w", l.Package, err)
		}
	}
	if l.Arch == "src" || l.Arch == "nosrc" {
		return nil
	}
	if err := l.check(); err != nil {
		return err
	}
	if !slices.Contains(p.arches, l.Arch) {
		l.Provides, l.Requires, l.Conflicts, l.Obsoletes, l.Files = nil, nil, nil, nil, nil
	}
	found(l)
	return nil
}

func (p *primaryReader) element(l *Listed) (err error) {
	switch string(p.s.Name()) {
	case "name":
		l.Name, err = p.content()
	case "arch":
		l.Arch, err = p.content()
	case "version":
		var evr solver.EVR
		evr, err = p.version()
		l.Epoch, l.Version, l.Release = evr.Epoch, evr.Version, evr.Release
	case "checksum":
		var c checksumXML
		if c.Type, err = p.attr("type"); err == nil {
			if c.Hex, err = p.content(); err == nil {
				l.SHA256, err = c.digest()
			}
		}
	case "size":
		var text string
		if text, err = p.attr("package"); err == nil {
			l.Size, err = strconv.ParseInt(text, 10, 64)
		}
	case "location":
		var where locationXML
		if where.Href, err = p.attr("href"); err == nil {
			where.Base, err = p.attr("base")
		}
		if err == nil {
			err = where.check()
		}
		l.Path = where.Href
	case "provides":
		l.Provides, err = p.dependencies()
	case "requires":
		l.Requires, err = p.dependencies()
	case "conflicts":
		l.Conflicts, err = p.dependencies()
	case "obsoletes":
		l.Obsoletes, err = p.dependencies()
	case "file":
		err = p.file(l)
	case "format":
	default:
		err = p.s.Skip()
	}
	return err
}

// version reads epoch, ver and rel of an element.
func (p *primaryReader) version() (evr solver.EVR, err error) {
	epoch, err := p.attr("epoch")
	if err != nil {
		return evr, err
	}
	if evr.Version, err = p.attr("ver"); err != nil {
		return evr, err
	}
	if evr.Release, err = p.attr("rel"); err != nil {
		return evr, err
	}
	if epoch == "" {
		return evr, nil
	}
	n, err := strconv.ParseInt(epoch, 10, 32)
	if err != nil || n < 0 {
		return evr, fmt.Errorf("its epoch %q is not a number", epoch)
	}
	evr.Epoch = int(n)
	return evr, nil
}

func (p *primaryReader) file(l *Listed) error {
	path, err := p.content()
	if err != nil {
		return err
	}
	if !strings.HasPrefix(path, "/") {
		return fmt.Errorf("its file %q is not an absolute path", path)
	}
	l.Files = append(l.Files, path)
	return p.count(len(l.Files))
}

// count adds one dependency or file to what there is; n is how many the package has.
func (p *primaryReader) count(n int) error {
	if p.total++; n > maxPerPackage || p.total > maxDependencies {
		return fmt.Errorf("there are more than %d dependencies or files, or more than %d of one package", maxDependencies, maxPerPackage)
	}
	return nil
}

// dependencies reads the entries of an element.
func (p *primaryReader) dependencies() ([]solver.Dep, error) {
	var list []solver.Dep
	for depth := p.s.Depth() - 1; p.s.Depth() > depth; {
		kind, err := p.s.Next()
		if err != nil {
			return nil, err
		}
		if kind != xmlscan.Start {
			continue
		}
		if string(p.s.Name()) != "entry" {
			return nil, fmt.Errorf("<%.40s> stands among its dependencies", p.s.Name())
		}
		d, err := p.dependency()
		if err != nil {
			return nil, err
		}
		if len(list) > 0 && d == list[len(list)-1] { // once as a requirement of a script, once of the package
			continue
		}
		list = append(list, d)
		if err := p.count(len(list)); err != nil {
			return nil, err
		}
	}
	return slices.Clip(list), nil
}

func (p *primaryReader) dependency() (d solver.Dep, err error) {
	if d.Name, err = p.attr("name"); err != nil {
		return d, err
	}
	if d.Name == "" {
		return d, errors.New("one of its dependencies has no name")
	}
	flags, err := p.s.Attr("flags")
	if err != nil || len(flags) == 0 {
		return d, err
	}
	switch string(flags) {
	case "EQ":
		d.Op = solver.Equal
	case "LT":
		d.Op = solver.Less
	case "LE":
		d.Op = solver.Less | solver.Equal
	case "GT":
		d.Op = solver.Greater
	case "GE":
		d.Op = solver.Greater | solver.Equal
	default:
		return d, fmt.Errorf("its dependency %q has the flags %.20q", d.Name, flags)
	}
	if d.EVR, err = p.version(); err == nil && d.EVR.Version == "" {
		d.Op, d.EVR = 0, solver.EVR{}
	}
	return d, err
}
