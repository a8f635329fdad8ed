package main

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"offgrid/manifests"
)

func TestTheUnitsThatAreShippedAreOfSystemd219(t *testing.T) {
	templates, err := manifests.Templates()
	if err != nil {
		t.Fatal(err)
	}
	action := regexp.MustCompile(`\{\{[^}]*\}\}`)
	units := 0
	err = fs.WalkDir(templates, ".", func(path string, _ fs.DirEntry, err error) error {
		name := strings.TrimSuffix(path, ".tmpl")
		if err != nil || unitSection(name) == "" {
			return err
		}
		units++
		data, err := fs.ReadFile(templates, path)
		for _, fault := range checkUnit(t, name, action.ReplaceAllString(string(data), "x")) {
			t.Error(fault)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if units < 6 {
		t.Errorf("%d units were found, want those of etcd, three of masters and two of nodes at least", units)
	}
}
