package recovery_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"offgrid/bundle/recovery"
	damage "offgrid/bundle/recovery/damagetest"
)

const (
	partBlocks = 20
	partSize   = partBlocks * block
)

// inParts writes a file of 2.5 parts and its record with 6 parity blocks, and returns the content of each part.
func inParts(t *testing.T) (path string, content []byte, parts [][]byte) {
	t.Helper()
	path, content = sample(t, 2*partSize+partSize/2-77, 6)
	must(t, os.Remove(path))
	for n := 0; n*partSize < len(content); n++ {
		part := content[n*partSize : min((n+1)*partSize, len(content))]
		parts = append(parts, part)
		write(t, recovery.PartName(path, n+1), part)
	}
	return path, content, parts
}

func TestPartsAreReadInPlaceAsOneFile(t *testing.T) {
	path, content, _ := inParts(t)
	for _, asked := range []string{path, path + ".001", path + ".003"} {
		if h, err := heal(t, asked, content); err != nil || len(h.Faults) > 0 || len(h.Notes) > 0 {
			t.Errorf("%s: %v %+v", asked, err, h)
		}
	}
	must(t, os.Remove(path+recovery.Suffix))
	p, err := recovery.Find(path)
	must(t, err)
	defer p.Close()
	got := make([]byte, len(content))
	if n, err := p.ReadAt(got, 0); err != nil || n != len(content) || different(got, content) >= 0 {
		t.Errorf("without a record: %d bytes, %v", n, err)
	}
	if name, at := p.Locate(partSize + 5); name != "node.bundle.002" || at != 5 {
		t.Errorf("byte %d is in %s at %d", partSize+5, name, at)
	}
}

// TestWhatHappensToPartsIsRecognisedAndNamed: each mishap, without and with damage that parity repairs.
func TestWhatHappensToPartsIsRecognisedAndNamed(t *testing.T) {
	rename := func(from, to string) func(string) error {
		return func(dir string) error {
			return os.Rename(filepath.Join(dir, from), filepath.Join(dir, to))
		}
	}
	for name, c := range map[string]struct {
		spoil func(dir string) error
		again string // what is to be copied again; "" when it is healed
		note  string // what is said of it
	}{
		"a part is missing":          {func(dir string) error { return os.Remove(dir + "/node.bundle.002") }, "node.bundle.002", "node.bundle.002 is missing"},
		"the first is missing":       {func(dir string) error { return os.Remove(dir + "/node.bundle.001") }, "node.bundle.001", "node.bundle.001 is missing"},
		"the last is missing":        {func(dir string) error { return os.Remove(dir + "/node.bundle.003") }, "node.bundle.003", "node.bundle.003 is missing"},
		"a part is half copied":      {func(dir string) error { return damage.Cut(dir+"/node.bundle.002", partSize/2) }, "node.bundle.002", "node.bundle.002 is cut short by 40960 bytes; 10 of 20 blocks are bad"},
		"the first is half copied":   {func(dir string) error { return damage.Cut(dir+"/node.bundle.001", partSize/2) }, "node.bundle.001", "node.bundle.001 is cut short"},
		"a part is a little short":   {func(dir string) error { return damage.Cut(dir+"/node.bundle.002", 3*block) }, "", ""},
		"a part is of another build": {func(dir string) error { return os.WriteFile(dir+"/node.bundle.002", noise(partSize, 9), 0o600) }, "node.bundle.002", "node.bundle.002 is of another build, or another file"},
		"a part has another name":    {rename("node.bundle.002", "node (1).bundle"), "", "node.bundle.002 has another name here: node (1).bundle"},
		"two parts are exchanged": {func(dir string) error {
			return errors.Join(rename("node.bundle.002", "x")(dir), rename("node.bundle.003", "node.bundle.002")(dir), rename("x", "node.bundle.003")(dir))
		}, "", "node.bundle.002 has another name here: node.bundle.003"},
		"all have other names": {func(dir string) error {
			return errors.Join(rename("node.bundle.001", "a")(dir), rename("node.bundle.002", "b")(dir), rename("node.bundle.003", "c")(dir))
		}, "", "node.bundle.001 has another name here: a"},
		"a part is doubled": {func(dir string) error {
			return os.WriteFile(dir+"/node.bundle (1).002", read(t, dir+"/node.bundle.002"), 0o600)
		}, "", "node.bundle (1).002 is a second copy of what node.bundle.002 holds"},
		"a part is doubled, one is bad": {func(dir string) error {
			return errors.Join(os.WriteFile(dir+"/node.bundle (1).002", read(t, dir+"/node.bundle.002"), 0o600), damage.Run(dir+"/node.bundle.002", block, 1, 18, damage.Random(5)))
		}, "", ""},
		"a part has grown":            {func(dir string) error { return damage.Append(dir+"/node.bundle.002", 500, damage.Random(3)) }, "", "node.bundle.002 has 500 bytes more than it should"},
		"the record has another name": {rename("node.bundle.recovery", "node (1).recovery"), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			path, content, _ := inParts(t)
			must(t, c.spoil(filepath.Dir(path)))
			h, err := heal(t, path, content)
			var beyond *recovery.BeyondError
			switch {
			case c.again == "" && err != nil:
				t.Fatalf("not healed: %v", err)
			case c.again != "" && !errors.As(err, &beyond):
				t.Fatalf("%v: want a refusal", err)
			case c.again != "" && strings.Join(beyond.Again, ",") != c.again:
				t.Errorf("copy again %v, want %s", beyond.Again, c.again)
			}
			said := strings.Join(h.Notes, "\n")
			if err != nil {
				said += err.Error()
			}
			if !strings.Contains(said, c.note) {
				t.Errorf("it is said: %s\nwant %s", said, c.note)
			}
			if c.again == "" {
				repairsTo(t, path, content)
			}
		})
	}
}

// repairsTo repairs and insists on every part under its right name.
func repairsTo(t *testing.T, path string, content []byte) {
	t.Helper()
	if _, err := recovery.Repair(t.Context(), path, nil, nil); err != nil {
		t.Fatalf("repair: %v", err)
	}
	for n := 0; n*partSize < len(content); n++ {
		got := read(t, recovery.PartName(path, n+1))
		if want := content[n*partSize : min((n+1)*partSize, len(content))]; string(got) != string(want) {
			t.Errorf("part %d is not what it was", n+1)
		}
	}
	if h, err := heal(t, path, content); err != nil || len(h.Faults) > 0 {
		t.Errorf("after the repair: %v %+v", err, h)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

func TestPartsWithoutARecordMustBeCompleteAndEquallyLong(t *testing.T) {
	path, _, _ := inParts(t)
	must(t, os.Remove(path+recovery.Suffix))
	must(t, os.Rename(path+".002", path+".2"))
	var missing *recovery.MissingError
	if _, err := recovery.Find(path); !errors.As(err, &missing) || missing.Files[0] != "node.bundle.002" {
		t.Errorf("a part is missing: %v", err)
	}
	must(t, os.Rename(path+".2", path+".002"))
	must(t, damage.Cut(path+".002", 1))
	var size *recovery.PartSizeError
	if _, err := recovery.Find(path); !errors.As(err, &size) || filepath.Base(size.Path) != "node.bundle.002" {
		t.Errorf("a part is short: %v", err)
	}
	if _, err := recovery.Find(filepath.Join(filepath.Dir(path), "master.bundle")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing is there: %v", err)
	}
}

func TestAWholeFileUnderAnotherNameIsFound(t *testing.T) {
	path, content := sample(t, 40*block, 3)
	must(t, os.Rename(path, filepath.Join(filepath.Dir(path), "node (1).bundle")))
	if h, err := heal(t, path, content); err != nil || len(h.Notes) != 1 {
		t.Errorf("%v %+v", err, h)
	}
	if _, err := recovery.Repair(t.Context(), path, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); different(got, content) >= 0 {
		t.Error("it did not get its name back")
	}
}

func TestTwoBadCopiesMakeAGoodOne(t *testing.T) {
	path, content := sample(t, 40*block, 0)
	other := filepath.Join(filepath.Dir(path), "node (1).bundle")
	write(t, other, content)
	must(t, damage.Run(path, block, 10, 15, damage.Random(1)))
	must(t, damage.Run(other, block, 26, 13, damage.Random(2)))
	if h, err := heal(t, path, content); err != nil || h.Copied != 15 {
		t.Errorf("%v %+v", err, h)
	}
}
