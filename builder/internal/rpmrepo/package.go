package rpmrepo

import (
	"fmt"
	"strconv"

	"offgrid/builder/internal/solver"
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
	s := p.Version + "-" + p.Release
	if p.Epoch != 0 {
		s = strconv.Itoa(p.Epoch) + ":" + s
	}
	return s
}

// String returns the whole name: "docker-ce-3:20.10.24-3.el7.x86_64".
func (p Package) String() string { return p.Name + "-" + p.EVR() + "." + p.Arch }

// Listed is a package with what the repository's index says about its dependencies. Of packages for other machines there is
// only the name.
type Listed struct {
	Package
	Provides  []solver.Dep
	Requires  []solver.Dep
	Conflicts []solver.Dep
	Obsoletes []solver.Dep
	Files     []string // those that the index of packages has: programs and /etc; others are in the index of files
}

// Solvable returns the package for the solver, as one of a repository ("" for an installed one) and with the caller's number.
func (l *Listed) Solvable(repository string, tag int) *solver.Package {
	return &solver.Package{
		Name: l.Name, EVR: solver.EVR{Epoch: l.Epoch, Version: l.Version, Release: l.Release}, Arch: l.Arch, Repository: repository,
		Provides: l.Provides, Requires: l.Requires, Conflicts: l.Conflicts, Obsoletes: l.Obsoletes, Files: l.Files, Tag: tag,
	}
}

// check refuses a package that cannot be one. On it hangs what is fetched.
func (p Package) check() error {
	switch {
	case p.Name == "" || p.Version == "" || p.Release == "" || p.Arch == "" || p.Epoch < 0:
		return fmt.Errorf("package %q: its name, version, release or architecture is missing", p)
	case p.Size <= 0:
		return fmt.Errorf("package %q: its size is %d bytes", p, p.Size)
	case p.SHA256.IsZero():
		return fmt.Errorf("package %q: it has no checksum", p)
	case p.Path == "":
		return fmt.Errorf("package %q: it is not said where it lies", p)
	}
	return nil
}
