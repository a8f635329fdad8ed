package bundle

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// What was released under a number stays readable: the files in testdata/vN are only added to, never made anew. Each was written
// by newSample of its time.
func TestBundlesOfEveryReleasedFormatOpenAndAreWhole(t *testing.T) {
	paths, err := filepath.Glob("testdata/v*/*.bundle")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"testdata/v1/node.bundle": "sha256:7964f7051f80e7005a74391868d96f76eca328fc8047ea29bbe2ea3a0bddc67c",
	}
	if len(paths) != len(want) {
		t.Errorf("the files are %q, want %d of them", paths, len(want))
	}
	for path, digest := range want {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := DigestOf(data).String(); got != digest {
			t.Errorf("%s was changed: it has digest %s, want %s", path, got, digest)
		}
		b, err := OpenReaderAt(path, bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if faults := b.Verify(t.Context(), nil); len(faults) > 0 {
			t.Errorf("%s: %v", path, faults)
		}
		if b.Role.Role != RoleNode || b.Role.Format != 1 || len(b.PackHosts()) != 2 || len(b.Role.Images) != 2 {
			t.Errorf("%s: role %q of format %d with packs of %q and %d images", path, b.Role.Role, b.Role.Format, b.PackHosts(), len(b.Role.Images))
		}
		b.Close()
	}
}
