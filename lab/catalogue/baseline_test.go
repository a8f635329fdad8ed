package main

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"offgrid/bundle"
	"offgrid/manifests"
)

func TestTheLabsHostsHaveThePackagesOfTheBuiltInBaseline(t *testing.T) {
	list, err := os.Open("../guest/baseline.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	cmd := exec.CommandContext(t.Context(), "../guest/baseline-spec")
	cmd.Stdin = list
	spec, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := baseline(bytes.NewReader(spec), &out); err != nil {
		t.Fatal(err)
	}
	lab, err := bundle.ParseBaseline(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	data, err := manifests.Baseline()
	if err != nil {
		t.Fatal(err)
	}
	built, err := bundle.ParseBaseline(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(lab.Packages) != len(built.Packages) {
		t.Fatalf("the lab has %d packages, the built-in baseline %d", len(lab.Packages), len(built.Packages))
	}
	for i, p := range lab.Packages {
		if p.String() != built.Packages[i].String() {
			t.Errorf("the lab has %s, the built-in baseline %s", p, built.Packages[i])
		}
		if p.Name == "bash" && len(p.Provides) != 3 {
			t.Errorf("bash provides %v", p.Provides)
		}
	}
}
