package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"strings"
	"testing"

	"offgrid/builder/internal/archive"
)

func pack(members ...*tar.Header) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range members {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len("content of " + h.Name))
		}
		if err := w.WriteHeader(h); err != nil {
			panic(err)
		}
		if h.Typeflag == tar.TypeReg {
			io.WriteString(w, "content of "+h.Name)
		}
	}
	w.Close()
	z.Close()
	return b.Bytes()
}

func read(t *testing.T, data []byte, wanted ...string) (map[string]string, error) {
	got := map[string]string{}
	err := archive.Read(t.Context(), bytes.NewReader(data), wanted, func(m archive.Member, r io.Reader) error {
		b, err := io.ReadAll(r)
		got[m.Path] = string(b)
		if err == nil && int64(len(b)) != m.Size {
			t.Errorf("%s: %d bytes, size says %d", m.Path, len(b), m.Size)
		}
		return err
	})
	return got, err
}

func TestOnlyWantedMembersAreHandedOut(t *testing.T) {
	data := pack(&tar.Header{Name: "./etcd/", Typeflag: tar.TypeDir}, &tar.Header{Name: "./etcd/etcd"}, &tar.Header{Name: "etcd/README"}, &tar.Header{Name: "etcd/etcdctl"})
	got, err := read(t, data, "etcd/etcdctl", "etcd/etcd")
	want := map[string]string{"etcd/etcd": "content of ./etcd/etcd", "etcd/etcdctl": "content of etcd/etcdctl"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
}

func TestAnArchivesFaultsAreNamed(t *testing.T) {
	for _, c := range []struct {
		summary string
		members []*tar.Header
		err     string
	}{
		{"missing", []*tar.Header{{Name: "b"}}, `the archive has no "a", "z"`},
		{"up", []*tar.Header{{Name: "x/../../a"}}, `the archive has a member "x/../../a", which leads out of it`},
		{"absolute", []*tar.Header{{Name: "/a"}}, `the archive has a member "/a", which leads out of it`},
		{"twice", []*tar.Header{{Name: "a"}, {Name: "./a"}}, `the archive has "a" twice`},
		{"link", []*tar.Header{{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"}}, `member "a" of the archive is no regular file`},
		{"hard link", []*tar.Header{{Name: "a", Typeflag: tar.TypeLink, Linkname: "b"}}, `member "a" of the archive is no regular file`},
	} {
		if _, err := read(t, pack(c.members...), "z", "a"); err == nil || err.Error() != c.err {
			t.Errorf("%s: got %v, want %s", c.summary, err, c.err)
		}
	}
}

func TestACutArchiveIsAnError(t *testing.T) {
	data := pack(&tar.Header{Name: "a"}, &tar.Header{Name: "b"})
	for n := range len(data) - 8 {
		if got, err := read(t, data[:n], "a", "b"); err == nil && got["b"] != "content of b" {
			t.Fatalf("cut at %d: no error, got %q", n, got)
		}
	}
}

func TestReadingEndsAfterTheLastWantedMember(t *testing.T) {
	data := pack(&tar.Header{Name: "a"}, &tar.Header{Name: "../b"})
	if got, err := read(t, data, "a"); err != nil || got["a"] != "content of a" {
		t.Errorf("got %q, %v", got, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(pack(&tar.Header{Name: "a"}))
	f.Add(pack(&tar.Header{Name: "b"}, &tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "b"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := read(t, data, "a")
		if _, ok := got["a"]; err == nil && !ok {
			t.Error("no error and no member")
		}
		if err != nil && strings.TrimSpace(err.Error()) == "" {
			t.Error("an error without a text")
		}
	})
}
