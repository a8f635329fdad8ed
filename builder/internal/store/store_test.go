package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"offgrid/bundle"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// tree lists the regular files of a store but for the locks.
func tree(t *testing.T, s *Store) []string {
	t.Helper()
	var list []string
	if err := s.each(t.Context(), ".", func(name string, _ fs.FileInfo) error {
		rel, err := filepath.Rel(s.dir, name)
		if !strings.HasSuffix(rel, "lock") && rel != "format" {
			list = append(list, rel)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

const hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // printf hello | sha256sum

func TestPutKeepsOnlyWhatWasPromised(t *testing.T) {
	want, err := bundle.ParseDigest("sha256:" + hello)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		summary, content string
		size             int64
		err              string
	}{
		{"right", "hello", 5, ""},
		{"right, size not known", "hello", SizeUnknown, ""},
		{"other bytes", "hellO", 5, "content for the store: sha256 is "},
		{"one byte more", "hello!", 5, "storing 2cf24dba5fb0: got more, want 5 bytes"},
		{"one byte less", "hell", 5, "storing 2cf24dba5fb0: got 4, want 5 bytes"},
		{"nothing", "", 5, "storing 2cf24dba5fb0: got 0, want 5 bytes"},
	} {
		s := open(t, t.TempDir())
		err := s.Put(t.Context(), strings.NewReader(c.content), want, c.size)
		var files []string
		if c.err == "" {
			files = []string{"blobs/sha256/2c/" + hello}
		}
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.HasPrefix(err.Error(), c.err)) {
			t.Errorf("%s: got %v, want %q", c.summary, err, c.err)
		}
		if got := tree(t, s); !slices.Equal(got, files) {
			t.Errorf("%s: store holds %q, want %q", c.summary, got, files)
		}
	}
}

func TestPutOfWhatIsThereReadsNothing(t *testing.T) {
	s := open(t, t.TempDir())
	d, err := s.PutBytes(t.Context(), []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), iotestErr{}, d, 5); err != nil {
		t.Errorf("got %v", err)
	}
	info, err := os.Stat(s.Path(d))
	if err != nil || info.Mode() != 0o444 {
		t.Errorf("mode %v, %v; want -r--r--r--", info.Mode(), err)
	}
}

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, errors.New("must not be read") }

func TestAFullDiskIsNamedAndLeavesNothing(t *testing.T) {
	s := open(t, t.TempDir())
	s.wrap = func(w io.Writer) io.Writer { return &fullDisk{w, 3} }
	_, err := s.PutBytes(t.Context(), []byte("hello"))
	want := `writing to the store: the disk that holds the store "` + s.dir + `" is full: no space left on device`
	if err == nil || err.Error() != want {
		t.Errorf("error:\n got %v\nwant %s", err, want)
	}
	if got := tree(t, s); got != nil {
		t.Errorf("store holds %q", got)
	}
	p, err := s.Partial(t.Context(), "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Write([]byte("hello")); err == nil || err.Error() != want || p.Size() != 3 {
		t.Errorf("partial: %d bytes, error:\n got %v\nwant %s", p.Size(), err, want)
	}
}

type fullDisk struct {
	w    io.Writer
	room int
}

func (f *fullDisk) Write(p []byte) (int, error) {
	n, err := f.w.Write(p[:min(f.room, len(p))])
	f.room -= n
	if err == nil && n < len(p) {
		err = syscall.ENOSPC
	}
	return n, err
}

func TestAPartialDownloadSurvivesAndIsHeldByOne(t *testing.T) {
	s := open(t, t.TempDir())
	p, err := s.Partial(t.Context(), "key", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Reset(Origin{URL: "https://a.example/x", Validator: `"1"`}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write([]byte("hel")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	waited := false
	if _, err := s.Partial(ctx, "key", func() { waited = true }); !errors.Is(err, context.DeadlineExceeded) || !waited {
		t.Errorf("second holder: %v, waited %v", err, waited)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if p, err = s.Partial(t.Context(), "key", nil); err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.Size() != 3 || p.Origin() != (Origin{"https://a.example/x", `"1"`}) {
		t.Errorf("found %d bytes from %+v", p.Size(), p.Origin())
	}
	if _, err := p.Write([]byte("lo")); err != nil {
		t.Fatal(err)
	}
	d, err := p.Hash(t.Context())
	if err != nil || d.Hex() != hello {
		t.Fatalf("got %s, %v", d, err)
	}
	if err := p.Commit(d); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, s); !slices.Equal(got, []string{"blobs/sha256/2c/" + hello}) {
		t.Errorf("store holds %q", got)
	}
}

func TestARecordThatWasDamagedIsNotThere(t *testing.T) {
	s := open(t, t.TempDir())
	key := RecordKey("a", "b")
	if key == RecordKey("ab", "") {
		t.Error("keys of different questions are the same")
	}
	if _, ok := s.Record(key); ok {
		t.Error("found a record that was never put")
	}
	if err := s.PutRecord(key, []byte(`{"x":1}`)); err != nil {
		t.Fatal(err)
	}
	if got, ok := s.Record(key); !ok || string(got) != `{"x":1}` {
		t.Errorf("got %q, %v", got, ok)
	}
	name := s.recordPath(key)
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(name, 0o644)
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		os.WriteFile(name, bad, 0o644)
		if got, ok := s.Record(key); ok {
			t.Fatalf("byte %d flipped: got %q", i, got)
		}
	}
}

func TestVerifyFindsABlobThatChanged(t *testing.T) {
	s := open(t, t.TempDir())
	d, err := s.PutBytes(t.Context(), []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(s.Path(d), 0o644)
	os.WriteFile(s.Path(d), []byte("hellO"), 0o644)
	var bad *bundle.DigestError
	if err := s.Verify(t.Context(), d); !errors.As(err, &bad) || bad.Name != s.Path(d) {
		t.Errorf("got %v", err)
	}
	var out bytes.Buffer
	if err := s.Export(t.Context(), &out, nil); !errors.As(err, &bad) {
		t.Errorf("export: got %v", err)
	}
	if err := s.Discard(d); err != nil || s.Has(d) {
		t.Errorf("discard: %v, there %v", err, s.Has(d))
	}
}

func TestAnExportedStoreIsTheSameAfterImport(t *testing.T) {
	s := open(t, t.TempDir())
	for _, c := range []string{"hello", "world", ""} {
		if _, err := s.PutBytes(t.Context(), []byte(c)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutRecord(RecordKey("q"), []byte("answer")); err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := s.Export(t.Context(), &first, nil); err != nil {
		t.Fatal(err)
	}
	other := open(t, t.TempDir())
	n, err := other.Import(t.Context(), bytes.NewReader(first.Bytes()))
	if err != nil || n != (Imported{Blobs: 3, Records: 1, Bytes: 10}) {
		t.Fatalf("imported %+v, %v", n, err)
	}
	if err := other.Export(t.Context(), &second, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) || !slices.Equal(tree(t, s), tree(t, other)) {
		t.Errorf("exports differ: %q and %q", tree(t, s), tree(t, other))
	}
}

func TestADamagedExportPutsNothingWrongIntoTheStore(t *testing.T) {
	s := open(t, t.TempDir())
	if _, err := s.PutBytes(t.Context(), []byte("hello")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.Export(t.Context(), &out, nil); err != nil {
		t.Fatal(err)
	}
	raw := out.Bytes()
	at := bytes.Index(raw, []byte("hello\x00"))
	for _, bad := range [][]byte{
		append(append(bytes.Clone(raw[:at]), 'j'), raw[at+1:]...),
		raw[:at+2],
		bytes.Replace(raw, []byte("offgrid store 1"), []byte("offgrid store 2"), 1),
		nil,
	} {
		other := open(t, t.TempDir())
		if _, err := other.Import(t.Context(), bytes.NewReader(bad)); err == nil {
			t.Errorf("%d bytes: want an error", len(bad))
		}
		if got := tree(t, other); got != nil {
			t.Errorf("store holds %q", got)
		}
	}
}

func TestGCKeepsWhatIsNamedOrUsedLately(t *testing.T) {
	s := open(t, t.TempDir())
	var d [3]bundle.Digest
	old := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, c := range []string{"named", "old", "used"} {
		var err error
		if d[i], err = s.PutBytes(t.Context(), []byte(c)); err != nil {
			t.Fatal(err)
		}
		os.Chtimes(s.Path(d[i]), old, old)
	}
	f, err := s.Open(d[2])
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	os.WriteFile(filepath.Join(s.dir, "tmp", "blob-1"), []byte("killed"), 0o600)
	keep := Keep{Blobs: map[bundle.Digest]bool{d[0]: true}, After: old.Add(time.Hour)}
	other := open(t, s.dir)
	if _, err := s.GC(t.Context(), keep); err == nil || err.Error() != `cleaning the store "`+s.dir+`": another process uses it` {
		t.Errorf("with another user: %v", err)
	}
	other.Close()
	got, err := s.GC(t.Context(), keep)
	if err != nil || got != (Removed{Blobs: 1, Bytes: 3 + 6}) {
		t.Errorf("removed %+v, %v", got, err)
	}
	if !s.Has(d[0]) || s.Has(d[1]) || !s.Has(d[2]) {
		t.Errorf("left: %v %v %v, want true false true", s.Has(d[0]), s.Has(d[1]), s.Has(d[2]))
	}
}

func TestWhatKilledProcessesLeftGoesAwayWithTime(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	dead, alive := filepath.Join(dir, "tmp", "blob-1"), filepath.Join(dir, "tmp", "blob-2")
	for _, name := range []string{dead, alive} {
		if err := os.WriteFile(name, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-2 * time.Hour)
	os.Chtimes(dead, old, old)
	if got, want := tree(t, open(t, dir)), []string{filepath.Join("tmp", "blob-2")}; !slices.Equal(got, want) {
		t.Errorf("left %q, want %q", got, want)
	}
}

func TestAStoreOfAnotherFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir).Close()
	os.WriteFile(filepath.Join(dir, "format"), []byte("offgrid store 2\n"), 0o644)
	_, err := Open(dir)
	want := `opening store "` + dir + `": its format is "offgrid store 2", this program knows "offgrid store 1"`
	if err == nil || err.Error() != want {
		t.Errorf("error:\n got %v\nwant %s", err, want)
	}
}
