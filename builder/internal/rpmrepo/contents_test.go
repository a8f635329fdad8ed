package rpmrepo_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"offgrid/builder/internal/rpmrepo"
	"offgrid/builder/upstreamtest"
)

func TestWhatAHeaderSaysIsRead(t *testing.T) {
	p := dockerCE()
	p.Requires = []string{"tar", "rpmlib(PayloadIsZstd) <= 5.4.18-1", "rpmlib(FileDigests) <= 4.6.0-1", "x >= 1:2-3", "(a)"}
	p.Files = []upstreamtest.RPMFile{{Path: "/usr/bin/dockerd", Digest: "ab"}, {Path: "/etc/docker"}}
	c, err := rpmrepo.ReadContents(bytes.NewReader(p.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.Requires); got != "[tar rpmlib(PayloadIsZstd) <= 5.4.18-1 rpmlib(FileDigests) <= 4.6.0-1 x >= 1:2-3 (a)]" {
		t.Errorf("requires %s", got)
	}
	if got := fmt.Sprintf("%+v", c.Files); got != "[{Path:/usr/bin/dockerd Mode:33188 Digest:ab Link: Ghost:false} {Path:/etc/docker Mode:16877 Digest: Link: Ghost:false}]" {
		t.Errorf("files %s", got)
	}
	if got := fmt.Sprint(c.UnknownToRpm()); got != "[rpmlib(PayloadIsZstd) (a)]" {
		t.Errorf("unknown %s", got)
	}
}

func TestFilesClashAsRpmSays(t *testing.T) {
	file, other := rpmrepo.Held{Mode: 0o100644, Digest: "a"}, rpmrepo.Held{Mode: 0o100644, Digest: "b"}
	dir, link, away := rpmrepo.Held{Mode: 0o040755}, rpmrepo.Held{Mode: 0o120777, Link: "x"}, rpmrepo.Held{Mode: 0o120777, Link: "y"}
	ghost, program := rpmrepo.Held{Mode: 0o100644, Ghost: true}, rpmrepo.Held{Mode: 0o100755, Digest: "a"}
	for i, c := range []struct {
		a, b rpmrepo.Held
		want bool
	}{{file, file, false}, {file, other, true}, {file, program, true}, {dir, dir, false}, {dir, rpmrepo.Held{Mode: 0o040700}, false}, {dir, link, true}, {link, link, false}, {link, away, true}, {file, ghost, false}, {file, dir, true}} {
		if c.a.Clashes(c.b) != c.want || c.b.Clashes(c.a) != c.want {
			t.Errorf("case %d: want %v", i, c.want)
		}
	}
}

func TestAKernelsModulesAreReadOffItsPackage(t *testing.T) {
	k := upstreamtest.Kernel("kernel-lt", "5.4.278", "1.el7.elrepo", []string{"net/netfilter/ipvs/ip_vs_rr.ko.xz", "net/bridge/br-netfilter.ko", "fs/x.ko.gz"}, []string{"fs/overlayfs/overlay.ko", "lib/crc-t10dif.ko"})
	got, err := rpmrepo.ReadKernel(t.Context(), bytes.NewReader(k.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if want := "{5.4.278-1.el7.elrepo.x86_64 [br_netfilter crc_t10dif ip_vs_rr overlay x]}"; fmt.Sprint(*got) != want {
		t.Errorf("got %v\nwant %s", *got, want)
	}
	for name, c := range map[string]struct {
		edit func(*upstreamtest.RPM)
		want string
	}{
		"no kernel":            {func(p *upstreamtest.RPM) { *p = dockerCE() }, "it has no modules below /lib/modules"},
		"payload cut short":    {func(p *upstreamtest.RPM) { p.Payload = p.Payload[:len(p.Payload)/2] }, "unexpected EOF"},
		"payload without list": {func(p *upstreamtest.RPM) { p.Payload, p.Compressor = upstreamtest.Cpio(), "gzip" }, "gzip"},
		"unknown compression":  {func(p *upstreamtest.RPM) { p.Compressor = "zstd" }, `its payload is packed with "zstd", rpm of CentOS 7 knows gzip and xz`},
		"two kernels": {func(p *upstreamtest.RPM) {
			p.Files = append(p.Files, upstreamtest.RPMFile{Path: "/lib/modules/6.1/kernel/x.ko", Digest: "00"})
		}, `it has modules for "5.4.278-1.el7.elrepo.x86_64" and for "6.1"`},
	} {
		p := k
		c.edit(&p)
		if _, err := rpmrepo.ReadKernel(t.Context(), bytes.NewReader(p.Bytes())); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	k.Payload, k.Compressor = toXZ(upstreamtest.Cpio(upstreamtest.CpioFile{Path: "/lib/modules/5.4.278-1.el7.elrepo.x86_64/modules.builtin", Content: "kernel/a-b.ko\n"})), "xz"
	if got, err := rpmrepo.ReadKernel(t.Context(), bytes.NewReader(k.Bytes())); err != nil || !strings.Contains(fmt.Sprint(got.Modules), "a_b") {
		t.Errorf("xz: %v, %v", got, err)
	}
}

// rpmbuild makes a package with an xz payload; what it packs, we read.
func TestAKernelThatRpmbuildPackedIsRead(t *testing.T) {
	if _, err := exec.LookPath("rpmbuild"); err != nil {
		t.Skip("rpmbuild is not there")
	}
	dir := t.TempDir()
	spec := `Name: kernel-lt
Version: 5.4.278
Release: 1.el7.elrepo
Summary: test
License: none
AutoReqProv: no
%description
Test.
%install
top=%{buildroot}/lib/modules/5.4.278-1.el7.elrepo.x86_64
mkdir -p $top/kernel/net $top/kernel/fs %{buildroot}/boot
head -c 3000000 /dev/zero >%{buildroot}/boot/vmlinuz
echo x >$top/kernel/net/ip_vs.ko.xz; echo y >$top/kernel/fs/overlay.ko
echo kernel/net/nf_conntrack.ko >$top/modules.builtin
%files
/boot
/lib/modules
`
	if err := os.WriteFile(filepath.Join(dir, "k.spec"), []byte(spec), 0o644); err != nil {
		t.Fatal(err)
	}
	for payload, compressor := range map[string]string{"w6.gzdio": "gzip", "w2.xzdio": "xz"} {
		out, err := exec.CommandContext(t.Context(), "rpmbuild", "-bb", "--quiet", "--define", "_topdir "+dir, "--define", "_binary_payload "+payload, "--define", "__strip /bin/true", "--define", "debug_package %{nil}", "--target", "x86_64", filepath.Join(dir, "k.spec")).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		f, err := os.Open(filepath.Join(dir, "RPMS/x86_64/kernel-lt-5.4.278-1.el7.elrepo.x86_64.rpm"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		got, err := rpmrepo.ReadKernel(t.Context(), f)
		if err != nil || fmt.Sprint(*got) != "{5.4.278-1.el7.elrepo.x86_64 [ip_vs nf_conntrack overlay]}" {
			t.Errorf("%s: got %v, %v", compressor, got, err)
		}
	}
}

func FuzzReadKernel(f *testing.F) {
	f.Add(upstreamtest.Kernel("kernel-lt", "5.4", "1", []string{"a.ko"}, []string{"b.ko"}).Bytes())
	f.Fuzz(func(t *testing.T, data []byte) { rpmrepo.ReadKernel(t.Context(), bytes.NewReader(data)) })
}
