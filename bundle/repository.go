package bundle

import (
	"strconv"
	"strings"
)

// The yum repository of a role, for people: the role's packages below RepositoryPackages, and their index, which is aboard as
// text artifacts whose names begin with RepositoryPrefix. The installer uses neither.
const (
	RepositoryPrefix   = "yum/"
	RepositoryPackages = "Packages/"
)

// RepositoryFile is one file of the repository.
type RepositoryFile struct {
	Path     string // below the repository's directory: "repodata/repomd.xml", "Packages/chrony-3.4-1.el7.x86_64.rpm"
	Artifact Artifact
}

// RepositoryFiles lists the files of the role's yum repository, repomd.xml last: it says that the others are there. None when
// the role has no packages.
func (b *Bundle) RepositoryFiles() []RepositoryFile {
	const head = "repodata/repomd.xml"
	var files []RepositoryFile
	var last *RepositoryFile
	for _, a := range b.Role.Artifacts {
		path, index := strings.CutPrefix(a.Name, RepositoryPrefix)
		switch {
		case path == head && index:
			last = &RepositoryFile{path, a}
		case index:
			files = append(files, RepositoryFile{path, a})
		case a.Kind == KindPackage:
			files = append(files, RepositoryFile{RepositoryPackages + a.Name, a})
		}
	}
	if last == nil {
		return nil
	}
	return append(files, *last)
}

// EVR writes epoch, version and release as rpm prints them; an epoch of 0 is left out.
func (p Package) EVR() string {
	if p.Epoch > 0 {
		return strconv.Itoa(p.Epoch) + ":" + p.Version + "-" + p.Release
	}
	return p.Version + "-" + p.Release
}
