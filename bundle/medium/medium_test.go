package medium_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"offgrid/bundle/medium"
)

func sample(state string) *medium.Manifest {
	return &medium.Manifest{Format: medium.Format, State: state, Old: []string{"lb.bundle"}, Files: []medium.File{
		{Name: "node.bundle", Size: 2500, SHA256: strings.Repeat("0", 64), Roots: []string{"sha256:1"}, PartSize: 1000, Record: true},
	}}
}

func TestAListNamesEveryFileOfOurs(t *testing.T) {
	want := []string{"lb.bundle", "node.bundle.001", "node.bundle.002", "node.bundle.003", "node.bundle.recovery", "offgrid.json"}
	if got := sample(medium.Writing).Names(); !slices.Equal(got, want) {
		t.Errorf("ours are %v, want %v", got, want)
	}
}

func TestOnlyABundleOfTheBuildThatWasBeingWrittenMayBeUsed(t *testing.T) {
	for _, c := range []struct {
		state, name  string
		roots        []string
		open, refuse bool
	}{
		{medium.Complete, "other.bundle", []string{"sha256:2"}, false, false},
		{medium.Writing, "node.bundle", []string{"sha256:1"}, true, false},
		{medium.Writing, "node.bundle", []string{"sha256:1", "sha256:2"}, true, true},
		{medium.Writing, "lb.bundle", []string{"sha256:1"}, true, true},
	} {
		dir := t.TempDir()
		data, err := sample(c.state).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, medium.Name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		open, err := medium.Check(filepath.Join(dir, c.name), c.roots)
		var unfinished *medium.UnfinishedError
		if open != c.open || errors.As(err, &unfinished) != c.refuse {
			t.Errorf("%+v: %v, %v", c, open, err)
		}
	}
	if open, err := medium.Check(filepath.Join(t.TempDir(), "node.bundle"), nil); open || err != nil {
		t.Errorf("no list: %v, %v", open, err)
	}
}

// FuzzParse: a list has one form, and what it names lies beside it.
func FuzzParse(f *testing.F) {
	data, err := sample(medium.Complete).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(strings.Replace(string(data), "node.bundle", "../../etc/passwd", 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := medium.Parse(data)
		if err != nil {
			return
		}
		for _, name := range m.Names() {
			if filepath.Base(name) != name {
				t.Errorf("it names %q", name)
			}
		}
	})
}
