package bundle_test

import (
	"strings"
	"testing"

	"offgrid/bundle"
)

const smallBaseline = `{"format": 1, "os": "centos-7.9.2009", "packages": [
{"name":"bash","epoch":0,"version":"4.2.46","release":"34.el7","arch":"x86_64","provides":[{"name":"bash","flags":"=","evr":"4.2.46-34.el7"},{"name":"config(bash)","flags":"<=","evr":"1"}],"obsoletes":[],"files":["/bin/sh"]},
{"name":"tar","epoch":2,"version":"1.26","release":"35.el7","arch":"x86_64"}
]}
`

func TestABaselineIsWrittenAsItWasRead(t *testing.T) {
	b, err := bundle.ParseBaseline([]byte(smallBaseline))
	if err != nil {
		t.Fatal(err)
	}
	if b.OS != "centos-7.9.2009" || len(b.Packages) != 2 || b.Packages[1].String() != "tar-2:1.26-35.el7.x86_64" || b.Packages[1].Provides != nil {
		t.Errorf("got %+v", b)
	}
	b.Packages[0], b.Packages[1] = b.Packages[1], b.Packages[0]
	got, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != smallBaseline {
		t.Errorf("got %s\nwant %s", got, smallBaseline)
	}
}

func TestABaselineIsReadStrictly(t *testing.T) {
	for _, c := range []struct{ name, old, replacement, want string }{
		{"another format", `"format": 1`, `"format": 2`, `reading baseline: its format is not 1, which this program reads; make it anew with "./install baseline" of this release`},
		{"no format", `"format": 1, `, ``, `reading baseline: its format is not 1`},
		{"something unknown", `"epoch":2`, `"epoch":2,"vendor":"x"`, `unknown field "vendor"`},
		{"something after the end", "]}\n", "]} {}", `after top-level value`},
		{"not sorted", `"name":"tar"`, `"name":"acl"`, `"acl-2:1.26-35.el7.x86_64" must come before "bash-4.2.46-34.el7.x86_64"`},
		{"no release", `"release":"35.el7"`, `"release":""`, `package 1 "tar": its release has 0 bytes`},
		{"a blank", `"name":"tar"`, `"name":"tar x"`, `its name "tar x" holds a blank`},
		{"a negative epoch", `"epoch":2`, `"epoch":-1`, `its epoch is -1`},
		{"flags without version", `"evr":"1"`, `"evr":""`, `the capability "config(bash)" has flags "<=" and version ""`},
		{"unknown flags", `"flags":"<="`, `"flags":"=="`, `has flags "=="`},
		{"a relative file", `"/bin/sh"`, `"bin/sh"`, `its file "bin/sh" is not an absolute path`},
		{"no packages", smallBaseline, `{"format":1,"os":"x","packages":[]}`, `it has 0 packages`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := bundle.ParseBaseline([]byte(strings.Replace(smallBaseline, c.old, c.replacement, 1)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func FuzzBaseline(f *testing.F) {
	f.Add([]byte(smallBaseline))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := bundle.ParseBaseline(data)
		if err != nil {
			return
		}
		out, err := b.Bytes()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := bundle.ParseBaseline(out)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, out)
		}
		if len(again.Packages) != len(b.Packages) {
			t.Errorf("%d packages became %d", len(b.Packages), len(again.Packages))
		}
	})
}
