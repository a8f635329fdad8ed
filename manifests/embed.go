// Package manifests holds the data that goes into the bundle program: the catalogue of what exists upstream, the example
// cluster file, and the templates of what is rendered for hosts.
package manifests

import (
	"embed"
	"io/fs"
)

//go:embed catalogue.yaml cluster.example.yaml install.play.yaml baselines templates
var files embed.FS

// CatalogueName is the name of the built-in catalogue's file.
const CatalogueName = "catalogue.yaml"

// Baseline returns the built-in baseline: what a minimal installation of CentOS 7.9.2009 has (see bundle.Baseline for its
// form). It was put together from public package lists and upgrade logs of such hosts, since nobody has published the list of an
// untouched one: it may be off by a few names.
func Baseline() ([]byte, error) { return files.ReadFile("baselines/centos-7.9.2009.json") }

// Files is the directory of all manifests, read-only.
func Files() fs.FS { return files }

// Catalogue returns the bytes of the built-in catalogue (see package builder/catalogue for its form).
func Catalogue() ([]byte, error) { return files.ReadFile(CatalogueName) }

// ClusterExample returns the example cluster file, commented for an operator.
func ClusterExample() ([]byte, error) { return files.ReadFile("cluster.example.yaml") }

// InstallPlay returns the Ansible play that runs ./install on every host of an inventory.
func InstallPlay() ([]byte, error) { return files.ReadFile("install.play.yaml") }

// Templates is the directory of what is rendered for hosts (see package builder/internal/render).
func Templates() (fs.FS, error) { return fs.Sub(files, "templates") }
