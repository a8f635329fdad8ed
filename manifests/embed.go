// Package manifests holds the data that goes into the bundle program: the catalogue of what exists upstream, the example
// cluster file, and the templates of what is rendered for hosts.
package manifests

import (
	"embed"
	"io/fs"
)

//go:embed catalogue.yaml cluster.example.yaml templates
var files embed.FS

// CatalogueName is the name of the built-in catalogue's file.
const CatalogueName = "catalogue.yaml"

// Files is the directory of all manifests, read-only.
func Files() fs.FS { return files }

// Catalogue returns the bytes of the built-in catalogue (see package builder/catalogue for its form).
func Catalogue() ([]byte, error) { return files.ReadFile(CatalogueName) }

// ClusterExample returns the example cluster file, commented for an operator.
func ClusterExample() ([]byte, error) { return files.ReadFile("cluster.example.yaml") }

// Templates is the directory of what is rendered for hosts (see package builder/internal/render).
func Templates() (fs.FS, error) { return fs.Sub(files, "templates") }
