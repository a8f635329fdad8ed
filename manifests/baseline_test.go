package manifests_test

import (
	"testing"

	"offgrid/bundle"
	"offgrid/manifests"
)

func TestTheBuiltInBaselineIsAMinimalCentOS(t *testing.T) {
	data, err := manifests.Baseline()
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.ParseBaseline(data)
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.Bytes()
	if err != nil || string(again) != string(data) {
		t.Errorf("it is not as this program writes it: %v", err)
	}
	have := map[string]string{}
	for _, p := range b.Packages {
		have[p.Name] = p.EVR() + "." + p.Arch
	}
	if b.OS != "centos-7.9.2009" || len(b.Packages) != 298 || len(have) != 298 {
		t.Errorf("%s with %d packages", b.OS, len(b.Packages))
	}
	for name, want := range map[string]string{"glibc": "2.17-317.el7.x86_64", "dracut": "033-572.el7.x86_64", "tar": "2:1.26-35.el7.x86_64", "dhclient": "12:4.2.5-82.el7.centos.x86_64", "bind-export-libs": "32:9.11.4-26.P2.el7.x86_64",
		"kernel": "3.10.0-1160.el7.x86_64", "tzdata": "2020a-1.el7.noarch", "chrony": "", "perl": "", "libseccomp": "", "policycoreutils-python": ""} {
		if have[name] != want {
			t.Errorf("%s: got %q, want %q", name, have[name], want)
		}
	}
}
