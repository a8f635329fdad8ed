package rpmrepo_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"offgrid/builder/internal/rpmrepo"
	"offgrid/builder/internal/solver"
	"offgrid/builder/upstreamtest"
	"offgrid/bundle"
)

func machines() []string { return []string{"x86_64", "noarch"} }

func TestDependenciesAndFilesAreRead(t *testing.T) {
	u := upstreamtest.New(t)
	p := dockerCE()
	p.Provides = []string{"docker-api", "docker = 20.10"}
	p.Requires = []string{"container-selinux >= 2:2.74", "/usr/sbin/groupadd", "libseccomp > 2.3-1", "tar <= 2", "xz < 9"}
	p.Conflicts, p.Obsoletes = []string{"docker"}, []string{"docker-engine"}
	p.Files = []upstreamtest.RPMFile{{Path: "/usr/bin/dockerd", Digest: "00"}, {Path: "/usr/libexec/docker/x", Digest: "00"}}
	other := p
	other.Arch = "i686"
	base := u.Repo("/r", upstreamtest.Repo{RPMs: []upstreamtest.RPM{p, other}})
	c := newClient(t)
	repo, err := rpmrepo.Load(t.Context(), c, rpmrepo.Source{ID: "docker", BaseURL: base, Arches: machines()})
	if err != nil {
		t.Fatal(err)
	}
	evr := func(s string) solver.EVR {
		e, err := solver.ParseEVR(s)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	want := &rpmrepo.Listed{
		Package:  listed(p),
		Provides: []solver.Dep{{Name: "docker-ce", Op: solver.Equal, EVR: evr("3:20.10.24-3.el7")}, {Name: "docker-api"}, {Name: "docker", Op: solver.Equal, EVR: evr("20.10")}},
		Requires: []solver.Dep{{Name: "container-selinux", Op: solver.Greater | solver.Equal, EVR: evr("2:2.74")}, {Name: "/usr/sbin/groupadd"},
			{Name: "libseccomp", Op: solver.Greater, EVR: evr("2.3-1")}, {Name: "tar", Op: solver.Less | solver.Equal, EVR: evr("2")}, {Name: "xz", Op: solver.Less, EVR: evr("9")}},
		Conflicts: []solver.Dep{{Name: "docker"}}, Obsoletes: []solver.Dep{{Name: "docker-engine"}}, Files: []string{"/usr/bin/dockerd"},
	}
	if len(repo.Packages) != 2 || !reflect.DeepEqual(repo.Packages[0], want) {
		t.Fatalf("got %+v\nwant %+v", repo.Packages[0], want)
	}
	if got := repo.Packages[1]; got.Arch != "i686" || got.Requires != nil || got.Files != nil {
		t.Errorf("of another machine's package: %+v", got)
	}
	if err := repo.AddFiles(t.Context(), c, []string{"/usr/libexec/docker/x", "/nowhere"}); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(repo.Packages[0].Files); got != "[/usr/bin/dockerd /usr/libexec/docker/x]" {
		t.Errorf("files %s", got)
	}
}

func TestWhichPathsTheIndexOfPackagesHas(t *testing.T) {
	for path, want := range map[string]bool{"/bin/sh": true, "/usr/sbin/groupadd": true, "/etc/passwd": true, "/usr/lib/sendmail": true, "/usr/libexec/x": false, "/usr/lib64/libc.so.6": false, "/usr/bin/x/y": false} {
		if got := rpmrepo.InPrimary(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

const primaryHead = `<metadata><package type="rpm"><name>a</name><arch>x86_64</arch><version epoch="0" ver="1" rel="1"/><checksum type="sha256">` +
	"0000000000000000000000000000000000000000000000000000000000000001" + `</checksum><size package="1"/><location href="a.rpm"/><format>`

const primaryTail = `</format></package></metadata>`

func TestHostileListsOfPackagesAreRefused(t *testing.T) {
	good := primaryHead + `<requires><entry name="b" flags="EQ" ver="1"/></requires><file>/etc/a</file>` + primaryTail
	for _, c := range []struct{ old, replacement, want string }{
		{"", "", ""},
		{"metadata", "html", "it begins with <html>, want <metadata>"},
		{`href="a.rpm"`, `href="../a.rpm"`, `package "a-1-1.x86_64": its place "../a.rpm" is not a plain path inside the repository`},
		{`href="a.rpm"`, `href="a.rpm" xml:base="http://b"`, `it is said to be at "http://b", outside the repository`},
		{`<location href="a.rpm"/>`, ``, `package "a-1-1.x86_64": it is not said where it lies`},
		{`type="sha256"`, `type="md5"`, `its checksum is "md5", only sha256 is accepted`},
		{`package="1"`, `package="0"`, `its size is 0 bytes`},
		{`ver="1" rel="1"`, `ver="1"`, `its name, version, release or architecture is missing`},
		{`epoch="0"`, `epoch="-1"`, `its epoch "-1" is not a number`},
		{`flags="EQ"`, `flags="XX"`, `its dependency "b" has the flags "XX"`},
		{`name="b"`, `name=""`, `one of its dependencies has no name`},
		{`name="b"`, `name="` + strings.Repeat("b", 5000) + `"`, `a name, version or path has 5000 bytes, the limit is 4096`},
		{`<file>/etc/a</file>`, `<file>etc</file>`, `its file "etc" is not an absolute path`},
		{`<file>/etc/a</file>`, strings.Repeat(`<file>/etc/a</file>`, 65537), `more than 65536 of one package`},
		{`<file>/etc/a</file>`, strings.Repeat("<deep>", 100), `nested more than 64 deep`},
	} {
		err := rpmrepo.ReadPrimary(strings.NewReader(strings.ReplaceAll(good, c.old, c.replacement)), machines(), func(*rpmrepo.Listed) {})
		if c.old == "" {
			err = rpmrepo.ReadPrimary(strings.NewReader(good), machines(), func(*rpmrepo.Listed) {})
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%.80s: got %v, want %s", c.replacement, err, c.want)
		}
	}
}

// blanks is white space without end.
type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestAnIndexThatGrowsWithoutMeasureIsRefused(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, "<metadata>\n")
	for range 40 { // pieces, so that no single text is too long
		io.CopyN(w, blanks{}, 1<<20)
		io.WriteString(w, "<x/>")
	}
	io.WriteString(w, "</metadata>")
	w.Close()
	u := upstreamtest.New(t)
	base := u.Repo("/r", upstreamtest.Repo{RPMs: []upstreamtest.RPM{dockerCE()}, Compress: func([]byte) []byte { return b.Bytes() }, Suffix: ".gz"})
	_, err := rpmrepo.Load(t.Context(), newClient(t), rpmrepo.Source{ID: "docker", BaseURL: base, Arches: machines()})
	if err == nil || !strings.HasSuffix(err.Error(), "it becomes too large when it is opened") {
		t.Errorf("%d bytes: got %v", b.Len(), err)
	}
}

func FuzzReadPrimary(f *testing.F) {
	f.Add([]byte(primaryHead + `<requires><entry name="b" flags="GE" epoch="1" ver="1" rel="2"/></requires><file>/etc/a</file>` + primaryTail))
	f.Fuzz(func(t *testing.T, data []byte) {
		rpmrepo.ReadPrimary(bytes.NewReader(data), machines(), func(l *rpmrepo.Listed) {
			if l.Name == "" || l.Size <= 0 || l.Path == "" || strings.HasPrefix(l.Path, "/") || l.SHA256.IsZero() {
				t.Errorf("%+v", l)
			}
		})
	})
}

func FuzzReadFilelists(f *testing.F) {
	f.Add([]byte(`<filelists><package pkgid="` + strings.Repeat("01", 32) + `" name="a"><version ver="1"/><file>/a</file><file type="dir">/b</file></package></filelists>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		rpmrepo.ReadFilelists(bytes.NewReader(data), map[string]bool{"/a": true}, func(_ bundle.Digest, file string) {
			if file != "/a" {
				t.Errorf("file %q", file)
			}
		})
	})
}
