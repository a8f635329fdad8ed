package builder_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"offgrid/builder"
	"offgrid/bundle"
)

// archiveEntry serves an archive and is the lock's entry for it.
func (s *site) archiveEntry(path string, files map[string][]byte) builder.LockEntry {
	var order []string
	for name := range files {
		order = append(order, name)
	}
	slices.Sort(order)
	data := tarball(files, order...)
	s.up.File(path, data)
	e := builder.LockEntry{ID: "pair", Kind: builder.EntryArchive, Version: "v1", URL: s.up.URL + path, Size: int64(len(data)), SHA256: bundle.DigestOf(data), Vouched: "test"}
	for _, name := range order {
		e.Members = append(e.Members, builder.LockMember{Name: name, Path: name, Size: int64(len(files[name])), SHA256: bundle.DigestOf(files[name])})
	}
	return e
}

// encodes materialises one entry and returns what was encoded for it, sorted.
func (s *site) encodes(t *testing.T, e builder.LockEntry, level bundle.Level) ([]string, *builder.Materials, error) {
	t.Helper()
	s.events = nil
	m, err := builder.Materialise(t.Context(), builder.MaterialiseOptions{
		Lock: &builder.Lock{Entries: []builder.LockEntry{e}}, Store: s.store, Download: quick(), Level: level, Report: s.report,
	})
	list := s.started("encode")
	slices.Sort(list)
	return list, m, err
}

// prose compresses well.
func prose(seed string) []byte {
	random := rand.New(rand.NewPCG(uint64(bundle.DigestOf([]byte(seed))[0]), 1))
	var b bytes.Buffer
	for b.Len() < 300_000 {
		fmt.Fprintf(&b, "%s%x ", seed, random.Uint32N(3000)*2654435761)
	}
	return b.Bytes()
}

func TestOfAChangedArchiveOnlyWhatChangedIsCompressed(t *testing.T) {
	s := newSite(t)
	files := map[string][]byte{"one": prose("1"), "two": prose("2"), "three": prose("3")}
	got, first, err := s.encodes(t, s.archiveEntry("/a.tar.gz", files), bundle.Default)
	if want := []string{"one", "three", "two"}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("encoded %q, want %q, %v", got, want, err)
	}
	files["two"] = prose("changed")
	got, second, err := s.encodes(t, s.archiveEntry("/b.tar.gz", files), bundle.Default)
	if want := []string{"two"}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("of the changed archive %q was encoded, want %q, %v", got, want, err)
	}
	for name, same := range map[string]bool{"one": true, "two": false, "three": true} {
		a, _ := first.Artifact(name)
		b, _ := second.Artifact(name)
		if (a.Blob.Stored == b.Blob.Stored) != same || b.Blob.Digest != bundle.DigestOf(files[name]) {
			t.Errorf("%s: was %+v, is %+v", name, a.Blob, b.Blob)
		}
	}
}

func TestEachLevelIsKeptOnItsOwn(t *testing.T) {
	s := newSite(t)
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	e := s.archiveEntry("/a.tar.gz", map[string][]byte{"one": self[:1<<20]})
	size := map[bundle.Level]int64{}
	for _, level := range []bundle.Level{bundle.Default, bundle.Best, bundle.Default, bundle.Best} {
		got, m, err := s.encodes(t, e, level)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := m.Artifact("one")
		if again := size[level] != 0; again != (got == nil) || again && size[level] != a.Blob.StoredSize {
			t.Errorf("level %d: encoded %q; %d bytes, before %d", level, got, a.Blob.StoredSize, size[level])
		}
		size[level] = a.Blob.StoredSize
	}
	if size[bundle.Best] >= size[bundle.Default] {
		t.Errorf("Best gives %d bytes, Default %d", size[bundle.Best], size[bundle.Default])
	}
}

func TestTheMemberThatIsWrongIsNamedThoughOthersAreReadMeanwhile(t *testing.T) {
	s := newSite(t)
	files := map[string][]byte{"a": prose("a"), "b": prose("b"), "c": prose("c"), "d": prose("d")}
	e := s.archiveEntry("/a.tar.gz", files)
	for i, name := range []string{"a", "b", "c", "d"} {
		wrong := e
		wrong.Members = slices.Clone(e.Members)
		wrong.Members[i].SHA256[0] ^= 1
		_, _, err := s.encodes(t, wrong, bundle.Default)
		if err == nil || !strings.Contains(err.Error(), `member "`+name+`" of the archive: `) || strings.Count(err.Error(), "member ") != 1 {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}
