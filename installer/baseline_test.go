package installer_test

import (
	"strings"
	"testing"

	"offgrid/bundle"
	"offgrid/installer/hosttest"
	"offgrid/installer/sitetest"
)

// el7Baseline is what rpm 4.11 prints for a baseline: an empty list is "(none)". A key stands among the packages.
const el7Baseline = "P\tzlib\t0\t1.2.7\t18.el7\tx86_64\np\tzlib\t8\t1.2.7-18.el7\n\nr\trpmlib(FileDigests)\t16777226\t4.6.0-1\nr\tlibc.so.6()(64bit)\t0\t\n\n(none)\n(none)\nf\t/usr/lib64/libz.so.1\n\n" +
	"P\tgpg-pubkey\t0\tf4a80eb5\t53a7ff4b\t(none)\np\tgpg(CentOS-7 Key (CentOS 7 Official Signing Key))\t8\t4:24c6a8a7f4a80eb5-53a7ff4b\n\n(none)\n(none)\n(none)\n(none)\n" +
	"P\tdbus\t1\t1.10.24\t15.el7\tx86_64\np\tdbus\t8\t1:1.10.24-15.el7\n\nr\t/bin/sh\t1280\t\nr\t/bin/sh\t5120\t\nr\tdbus-libs\t12\t1:1.10.24-15.el7\n\nc\tcups\t2\t1:1.1.20\n\no\tdbus-old\t10\t0.9\n\n" +
	"f\t/etc/dbus-1\nf\t/usr/bin/dbus-daemon\nf\t/usr/share/doc/dbus\n\n"

func TestABaselineIsWhatRPMSaysWithoutKeysAndWithoutWhatNobodyAsksFor(t *testing.T) {
	s := sitetest.New(t)
	h := s.Hosts["20.0.0.103"]
	h.Script("rpm -qa", hosttest.Says(el7Baseline))
	b, err := s.Session("20.0.0.103").Baseline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"format": 1, "os": "centos-7.9.2009", "packages": [
{"name":"dbus","epoch":1,"version":"1.10.24","release":"15.el7","arch":"x86_64","provides":[{"name":"dbus","flags":"=","evr":"1:1.10.24-15.el7"}],` +
		`"requires":[{"name":"/bin/sh"},{"name":"dbus-libs","flags":">=","evr":"1:1.10.24-15.el7"}],"conflicts":[{"name":"cups","flags":"<","evr":"1:1.1.20"}],` +
		`"obsoletes":[{"name":"dbus-old","flags":"<=","evr":"0.9"}],"files":["/etc/dbus-1","/usr/bin/dbus-daemon"]},
{"name":"zlib","epoch":0,"version":"1.2.7","release":"18.el7","arch":"x86_64","provides":[{"name":"zlib","flags":"=","evr":"1.2.7-18.el7"}],` +
		`"requires":[{"name":"libc.so.6()(64bit)"}],"conflicts":[],"obsoletes":[],"files":[]}
]}
`
	if string(data) != want {
		t.Errorf("got\n%s\nwant\n%s", data, want)
	}
	if _, err := bundle.ParseBaseline(data); err != nil {
		t.Errorf("the build cannot read it: %v", err)
	}
}

func TestABaselineOfADamagedDatabaseIsAnError(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "it names no package",
		"P\tzlib\tx\t1\t1\tnoarch\n":          `epoch "x" is no number`,
		"P\tzlib\t0\t1\n":                     "a package has 4 fields, want 6",
		"p\tzlib\t8\t1\n":                     "stands before any package",
		"P\ta\t0\t1\t1\tnoarch\nz\t1\n":       "a line with 2 fields is not understood",
		"P\ta\t0\t1\t1\tnoarch\np\ta\t=\t1\n": `flags "=" of "a" are no number`,
	} {
		s := sitetest.New(t)
		s.Hosts["20.0.0.103"].Script("rpm -qa", hosttest.Says(text))
		_, err := s.Session("20.0.0.103").Baseline(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}
