package rpmrepo_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"offgrid/builder/internal/rpmrepo"
	"offgrid/builder/upstreamtest"
)

// run runs a program with its own GnuPG home.
func run(t *testing.T, home string, argv ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "GNUPGHOME="+home, "HOME="+home, "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return string(out)
}

const spec = `Name: probe
Epoch: 2
Version: 1.5
Release: 3.el7
Summary: probe
License: MIT
BuildArch: noarch
%description
probe
%install
mkdir -p %{buildroot}/opt && echo probe > %{buildroot}/opt/probe
%files
/opt/probe
`

// TestRealToolsAndWeAgree makes a package, signs it, makes a repository of it and signs that, all with the
// distribution's own programs, for both kinds of keys that el7's vendors use.
func TestRealToolsAndWeAgree(t *testing.T) {
	for _, tool := range []string{"rpmbuild", "rpmsign", "gpg", "createrepo_c"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	gpg, err := exec.LookPath("gpg")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"rsa2048", "dsa1024"} {
		t.Run(kind, func(t *testing.T) {
			home, err := os.MkdirTemp("", "gpg") // a short path: it holds a socket
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
				os.RemoveAll(home)
			})
			run(t, home, "gpg", "--batch", "--passphrase", "", "--quick-gen-key", "probe@example.org", kind, "sign", "never")
			list := run(t, home, "gpg", "--batch", "--with-colons", "--list-keys")
			fingerprint := strings.Split(list[strings.Index(list, "\nfpr:")+1:], ":")[9]
			run(t, home, "gpg", "--batch", "--armor", "--output", home+"/key", "--export", fingerprint)
			file, err := os.ReadFile(home + "/key")
			if err != nil {
				t.Fatal(err)
			}
			key, err := rpmrepo.ParseKey(file, fingerprint, true)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			os.WriteFile(dir+"/probe.spec", []byte(spec), 0o600)
			run(t, home, "rpmbuild", "-bb", "--define", "_topdir "+dir+"/top", "--define", "_rpmdir "+dir+"/repo", dir+"/probe.spec")
			rpm := dir + "/repo/noarch/probe-1.5-3.el7.noarch.rpm"
			// --rpmv3 adds what el7's own packages carry: a signature over header and payload.
			run(t, home, "rpmsign", "--define", "_gpg_name "+fingerprint, "--define", "__gpg "+gpg, "--rpmv3", "--addsign", rpm)
			run(t, home, "createrepo_c", dir+"/repo")
			run(t, home, "gpg", "--batch", "--armor", "--digest-algo", "SHA256", "--detach-sign", dir+"/repo/repodata/repomd.xml")
			u := upstreamtest.New(t)
			filepath.WalkDir(dir+"/repo", func(name string, e os.DirEntry, err error) error {
				if err == nil && !e.IsDir() {
					data, _ := os.ReadFile(name)
					u.File(strings.TrimPrefix(name, dir), data)
				}
				return err
			})
			repo, err := rpmrepo.Load(t.Context(), newClient(t), rpmrepo.Source{ID: "probe", BaseURL: u.URL + "/repo", Key: key, Signed: true, Arches: []string{"noarch"}})
			if err != nil {
				t.Fatal(err)
			}
			if len(repo.Packages) != 1 || repo.Packages[0].String() != "probe-2:1.5-3.el7.noarch" {
				t.Fatalf("got %+v", repo.Packages)
			}
			found := repo.Packages[0].Package
			data, err := os.ReadFile(rpm)
			if err != nil {
				t.Fatal(err)
			}
			if covers, err := check(t, data, found, key); err != nil || covers != "header and payload" {
				t.Errorf("covers %q, %v", covers, err)
			}
			data[len(data)-1] ^= 1
			if _, err := check(t, data, found, key); err == nil {
				t.Error("last byte flipped: no error")
			}
		})
	}
}
