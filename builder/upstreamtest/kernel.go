package upstreamtest

import (
	"fmt"
	"path"
	"strings"
)

// CpioFile is a file of a payload.
type CpioFile struct{ Path, Content string }

// Cpio packs files as the payload of a package, not compressed.
func Cpio(files ...CpioFile) []byte {
	var b strings.Builder
	add := func(name, content string, mode int) {
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0)
		b.WriteString(name + "\x00")
		for b.Len()%4 > 0 {
			b.WriteByte(0)
		}
		b.WriteString(content)
		for b.Len()%4 > 0 {
			b.WriteByte(0)
		}
	}
	for _, f := range files {
		add("."+f.Path, f.Content, 0o100644)
	}
	add("TRAILER!!!", "", 0)
	return []byte(b.String())
}

// Kernel makes the package of a kernel with modules as files ("net/netfilter/nf_x.ko.xz") and others that are built in.
func Kernel(name, version, release string, modules, builtin []string) RPM {
	top := "/lib/modules/" + version + "-" + release + ".x86_64/"
	p := RPM{Name: name, Version: version, Release: release, Arch: "x86_64", Compressor: "gzip"}
	files := []CpioFile{{"/boot/vmlinuz-" + version + "-" + release + ".x86_64", "kernel"}}
	for _, m := range modules {
		files = append(files, CpioFile{top + "kernel/" + m, "module " + path.Base(m)})
	}
	files = append(files, CpioFile{top + "modules.builtin", "kernel/" + strings.Join(builtin, "\nkernel/") + "\n"})
	for _, f := range files {
		p.Files = append(p.Files, RPMFile{Path: f.Path, Digest: "00"})
	}
	p.Payload = gzipped(Cpio(files...))
	return p
}
