package rpmrepo_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"offgrid/builder/internal/rpmrepo"
	"offgrid/bundle"
)

const metadataSpec = `Name: probe
Version: 1.5
Release: 3.el7
Epoch: 2
Summary: a <probe> & more
License: none
BuildArch: noarch
Provides: virtual = 1:2, /opt/virtual
Requires: bash >= 4, /bin/sh, probe-data
Requires(post): coreutils
Conflicts: other < 3
Obsoletes: older <= 1-1
%description
With "quotes", <tags> and
two lines.
%package data
Summary: data
%description data
Data.
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc/probe.d %{buildroot}/usr/share/probe
echo x >%{buildroot}/usr/bin/probe; echo y >%{buildroot}/etc/probe.conf; echo z >"%{buildroot}/usr/share/probe/a & b"
%post
:
%files
/usr/bin/probe
%config /etc/probe.conf
%dir /etc/probe.d
%ghost /etc/probe.d/ghost
%files data
/usr/share/probe
`

// build makes packages with rpmbuild in dir/Packages.
func build(t *testing.T, dir, spec string) {
	t.Helper()
	for _, tool := range []string{"rpmbuild", "createrepo_c"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not there")
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "p.spec"), []byte(spec), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "rpmbuild", "-bb", "--quiet", "--define", "_topdir "+dir+"/build", "--define", "_rpmdir "+dir+"/Packages",
		"--define", "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm", "--define", "_binary_payload w6.gzdio", filepath.Join(dir, "p.spec")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// members are the packages in dir/Packages.
func members(t *testing.T, dir string) []rpmrepo.Member {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "Packages"))
	if err != nil {
		t.Fatal(err)
	}
	var list []rpmrepo.Member
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, "Packages", e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		name, _ := strings.CutSuffix(e.Name(), "-1.5-3.el7.noarch.rpm")
		list = append(list, rpmrepo.Member{File: bytes.NewReader(data), Package: rpmrepo.Package{
			Name: name, Epoch: 2, Version: "1.5", Release: "3.el7", Arch: "noarch", Path: "Packages/" + e.Name(), SHA256: bundle.DigestOf(data), Size: int64(len(data)),
		}})
	}
	return list
}

// read returns what an index says about packages and files.
func read(t *testing.T, dir string) ([]*rpmrepo.Listed, string) {
	t.Helper()
	repomd, err := os.ReadFile(filepath.Join(dir, "repodata/repomd.xml"))
	if err != nil {
		t.Fatal(err)
	}
	index, err := rpmrepo.ParseRepomd(repomd)
	if err != nil {
		t.Fatal(err)
	}
	open := func(path string) io.Reader {
		data, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	var list []*rpmrepo.Listed
	if err := rpmrepo.ReadPrimary(open(index.Primary.Path), machines(), func(l *rpmrepo.Listed) { list = append(list, l) }); err != nil {
		t.Fatal(err)
	}
	files := ""
	wanted := map[string]bool{"/usr/share/probe/a & b": true, "/etc/probe.d": true, "/etc/probe.d/ghost": true}
	err = rpmrepo.ReadFilelists(open(index.Filelists.Path), wanted, func(pkg bundle.Digest, file string) { files += pkg.Short() + " " + file + "\n" })
	if err != nil {
		t.Fatal(err)
	}
	return list, files
}

func TestOurIndexSaysWhatCreaterepoSays(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, metadataSpec)
	if out, err := exec.CommandContext(t.Context(), "createrepo_c", "--quiet", "--general-compress-type", "gz", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, wantFiles := read(t, dir)
	if err := os.RemoveAll(filepath.Join(dir, "repodata")); err != nil {
		t.Fatal(err)
	}
	files, err := rpmrepo.Describe(members(t, dir), 1700000000)
	if err != nil {
		t.Fatal(err)
	}
	again, err := rpmrepo.Describe(members(t, dir), 1700000000)
	if err != nil || !reflect.DeepEqual(files, again) {
		t.Errorf("twice the same, and other bytes: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "repodata"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, gotFiles := read(t, dir)
	for i := range want {
		sortDeps(want[i])
		sortDeps(got[i])
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("got  %+v %v\nwant %+v %v", *got[i], got[i].Requires, *want[i], want[i].Requires)
		}
	}
	if gotFiles != wantFiles || len(got) != 2 {
		t.Errorf("files:\n%s\nwant:\n%s", gotFiles, wantFiles)
	}
	dnf(t, dir)
}

func sortDeps(l *rpmrepo.Listed) {
	names := map[string]bool{}
	kept := l.Requires[:0]
	for _, d := range l.Requires { // createrepo leaves out what the package has itself and what it says twice
		if !names[d.String()] && d.Name != "/bin/sh" && d.Name != "config(probe)" {
			kept = append(kept, d)
		}
		names[d.String()] = true
	}
	l.Requires = kept
}

// dnf asks dnf what is in the repository.
func dnf(t *testing.T, dir string) {
	t.Helper()
	if _, err := exec.LookPath("dnf"); err != nil {
		t.Log("dnf is not there: it is not asked")
		return
	}
	ask := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "dnf", append([]string{"-q", "--releasever=7", "--repofrompath=probe,file://" + dir, "--disablerepo=*", "--enablerepo=probe",
			"--setopt=cachedir=" + t.TempDir(), "--setopt=reposdir=" + t.TempDir(), "repoquery"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("dnf %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--qf", "%{name} %{evr} %{arch} %{location}"}, "probe 2:1.5-3.el7 noarch Packages/probe-1.5-3.el7.noarch.rpm\nprobe-data 2:1.5-3.el7 noarch Packages/probe-data-1.5-3.el7.noarch.rpm\n"},
		{[]string{"--whatprovides", "/usr/share/probe/a & b", "--qf", "%{name}"}, "probe-data\n"},
		{[]string{"--whatprovides", "virtual = 1:2", "--qf", "%{name}"}, "probe\n"},
		{[]string{"--whatobsoletes", "older = 1", "--qf", "%{summary}"}, "a <probe> & more\n"},
		{[]string{"--conflicts", "probe"}, "other < 3\n"},
	} {
		if got := ask(c.args...); got != c.want {
			t.Errorf("dnf repoquery %q: got %q, want %q", c.args, got, c.want)
		}
	}
}
