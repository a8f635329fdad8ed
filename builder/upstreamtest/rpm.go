package upstreamtest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"path"
	"strings"

	"offgrid/bundle"
)

// RPM is a package to be made: small, but in rpm's own form.
type RPM struct {
	Name, Version, Release, Arch string
	License, Vendor              string // "": the header does not say
	Epoch                        int
	Payload                      []byte // gzip or not: nobody unpacks it here
	SignHeader                   func(header []byte) []byte
	HeaderTag                    uint32 // 268 (RSA) or 267 (DSA) for SignHeader
	SignAll                      func(headerAndPayload []byte) []byte
	AllTag                       uint32 // 1002 (PGP) or 1005 (GPG) for SignAll
	NoPayloadDigest              bool   // as rpm before 4.14

	Provides, Requires, Conflicts, Obsoletes []string // "name" or "name >= 1:2-3"; it provides itself in any case
	Files                                    []RPMFile
	Compressor                               string // of the payload, as its header says; "": nothing is said
}

// RPMFile is a file that a package says it holds.
type RPMFile struct {
	Path   string
	Digest string // of its content, hex; "": it is a directory
}

// FileName returns the name that repositories give the file.
func (r RPM) FileName() string {
	return fmt.Sprintf("%s-%s-%s.%s.rpm", r.Name, r.Version, r.Release, r.Arch)
}

type entry struct {
	tag, kind, count uint32
	value            []byte
}

func text(tag uint32, s string) entry { return entry{tag, 6, 1, append([]byte(s), 0)} }

func number(tag uint32, n int) entry {
	return entry{tag, 4, 1, binary.BigEndian.AppendUint32(nil, uint32(n))}
}

// Bytes makes the file.
func (r RPM) Bytes() []byte {
	sum := sha256.Sum256(r.Payload)
	entries := []entry{number(1003, r.Epoch)} // integers first: they want to be aligned
	if !r.NoPayloadDigest {
		entries = append(entries, number(5093, 8))
	}
	entries = append(entries, text(1000, r.Name), text(1001, r.Version), text(1002, r.Release), text(1021, "linux"), text(1022, r.Arch))
	for tag, s := range []string{1011: r.Vendor, 1014: r.License} {
		if s != "" {
			entries = append(entries, text(uint32(tag), s))
		}
	}
	if !r.NoPayloadDigest {
		e := text(5092, hex.EncodeToString(sum[:]))
		e.kind = 8
		entries = append(entries, e)
	}
	entries = append(entries, r.lists()...)
	if r.Compressor != "" {
		entries = append(entries, text(1125, r.Compressor))
	}
	head := rpmHeader(entries)
	var sigs []entry
	if r.SignHeader != nil {
		s := r.SignHeader(head)
		sigs = append(sigs, entry{r.HeaderTag, 7, uint32(len(s)), s})
	}
	if r.SignAll != nil {
		s := r.SignAll(append(bytes.Clone(head), r.Payload...))
		sigs = append(sigs, entry{r.AllTag, 7, uint32(len(s)), s})
	}
	sigs = append(sigs, entry{1000, 4, 1, binary.BigEndian.AppendUint32(nil, uint32(len(head)+len(r.Payload)))})
	lead := make([]byte, 96)
	copy(lead, []byte{0xed, 0xab, 0xee, 0xdb, 3, 0, 0, 0, 0, 1})
	copy(lead[10:], r.Name)
	copy(lead[76:], []byte{0, 1, 0, 5})
	sig := rpmHeader(sigs)
	sig = append(sig, make([]byte, -len(sig)&7)...)
	return bytes.Join([][]byte{lead, sig, head, r.Payload}, nil)
}

func rpmHeader(entries []entry) []byte {
	var index, store []byte
	for _, e := range entries {
		if e.kind == 4 || e.kind == 3 {
			store = append(store, make([]byte, -len(store)&3)...)
		}
		for _, n := range []uint32{e.tag, e.kind, uint32(len(store)), e.count} {
			index = binary.BigEndian.AppendUint32(index, n)
		}
		store = append(store, e.value...)
	}
	b := []byte{0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0}
	b = binary.BigEndian.AppendUint32(b, uint32(len(entries)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(store)))
	return append(append(b, index...), store...)
}

// lists are the header's arrays: dependencies and files.
func (r RPM) lists() []entry {
	var all []entry
	deps := func(list []string, name, flags, version uint32) {
		var names, versions []string
		var numbers []int
		for _, d := range list {
			n, op, evr := splitDep(d)
			names, versions = append(names, n), append(versions, evr)
			numbers = append(numbers, map[string]int{"": 0, "<": 2, ">": 4, "=": 8, "<=": 10, ">=": 12}[op])
		}
		if names != nil {
			all = append(all, array32(flags, numbers), texts(name, names), texts(version, versions))
		}
	}
	deps(r.provides(), 1047, 1112, 1113)
	deps(r.Requires, 1049, 1048, 1050)
	deps(r.Conflicts, 1054, 1053, 1055)
	deps(r.Obsoletes, 1090, 1114, 1115)
	var dirs, names, sums []string
	var at, modes []int
	for _, f := range r.Files {
		dirs, names, sums = append(dirs, path.Dir(f.Path)+"/"), append(names, path.Base(f.Path)), append(sums, f.Digest)
		at = append(at, len(dirs)-1)
		mode := 0o100644
		if f.Digest == "" {
			mode = 0o040755
		}
		modes = append(modes, mode)
	}
	if names != nil {
		all = append(all, array32(1116, at), array16(1030, modes), texts(1117, names), texts(1118, dirs), texts(1035, sums))
	}
	return all
}

func (r RPM) provides() []string {
	evr := r.Version + "-" + r.Release
	if r.Epoch > 0 {
		evr = fmt.Sprintf("%d:%s", r.Epoch, evr)
	}
	return append([]string{r.Name + " = " + evr}, r.Provides...)
}

func splitDep(s string) (name, op, evr string) {
	if f := strings.Fields(s); len(f) == 3 {
		return f[0], f[1], f[2]
	}
	return s, "", ""
}

func texts(tag uint32, list []string) entry {
	return entry{tag, 8, uint32(len(list)), []byte(strings.Join(list, "\x00") + "\x00")}
}

func array32(tag uint32, list []int) entry {
	e := entry{tag: tag, kind: 4, count: uint32(len(list))}
	for _, n := range list {
		e.value = binary.BigEndian.AppendUint32(e.value, uint32(n))
	}
	return e
}

func array16(tag uint32, list []int) entry {
	e := entry{tag: tag, kind: 3, count: uint32(len(list))}
	for _, n := range list {
		e.value = binary.BigEndian.AppendUint16(e.value, uint16(n))
	}
	return e
}

// Repo is a yum repository to be served.
type Repo struct {
	RPMs     []RPM
	Compress func([]byte) []byte        // of primary.xml; nil: gzip
	Suffix   string                     // of its name; "": ".gz"
	Sign     func(repomd []byte) []byte // repomd.xml.asc; nil: none
	File     func(RPM) []byte           // what is served as a package; nil: the package
}

// Repo serves the repository under base, which begins with "/", and returns its address.
func (u *Upstream) Repo(base string, r Repo) string {
	var b, f strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="%d">
`, len(r.RPMs))
	fmt.Fprintf(&f, "<filelists xmlns=\"http://linux.duke.edu/metadata/filelists\" packages=\"%d\">\n", len(r.RPMs))
	for _, p := range r.RPMs {
		data := r.file(p)
		place := "Packages/" + p.FileName()
		u.File(path.Join(base, place), data)
		sum := bundle.DigestOf(data).Hex()
		fmt.Fprintf(&b, `<package type="rpm"><name>%s</name><arch>%s</arch><version epoch="%d" ver="%s" rel="%s"/>
<checksum type="sha256" pkgid="YES">%s</checksum><summary>test</summary><size package="%d" installed="1" archive="1"/>
<location href="%s"/><format><rpm:license>MIT</rpm:license>%s</format></package>
`, p.Name, p.Arch, p.Epoch, p.Version, p.Release, sum, len(data), place, p.format())
		fmt.Fprintf(&f, "<package pkgid=%q name=%q arch=%q><version epoch=\"%d\" ver=%q rel=%q/>", sum, p.Name, p.Arch, p.Epoch, p.Version, p.Release)
		for _, file := range p.Files {
			fmt.Fprintf(&f, "<file>%s</file>", file.Path)
		}
		f.WriteString("</package>\n")
	}
	b.WriteString("</metadata>\n")
	f.WriteString("</filelists>\n")
	suffix := ".gz"
	compress := gzipped
	if r.Compress != nil {
		compress, suffix = r.Compress, r.Suffix
	}
	repomd := fmt.Appendf(nil, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<repomd xmlns=\"http://linux.duke.edu/metadata/repo\"><revision>1</revision>\n")
	for _, part := range []struct{ kind, content string }{{"filelists", f.String()}, {"primary", b.String()}} {
		packed := compress([]byte(part.content))
		sum := bundle.DigestOf(packed).Hex()
		place := "repodata/" + sum + "-" + part.kind + ".xml" + suffix
		u.File(path.Join(base, place), packed)
		repomd = fmt.Appendf(repomd, `<data type="%s"><checksum type="sha256">%s</checksum><open-checksum type="sha256">%s</open-checksum>
<location href="%s"/><timestamp>1</timestamp><size>%d</size><open-size>%d</open-size></data>
`, part.kind, sum, bundle.DigestOf([]byte(part.content)).Hex(), place, len(packed), len(part.content))
	}
	repomd = append(repomd, "</repomd>\n"...)
	u.File(path.Join(base, "repodata/repomd.xml"), repomd)
	if r.Sign != nil {
		u.File(path.Join(base, "repodata/repomd.xml.asc"), r.Sign(repomd))
	}
	return u.URL + base
}

func (r Repo) file(p RPM) []byte {
	if r.File != nil {
		return r.File(p)
	}
	return p.Bytes()
}

// format is what primary.xml says about dependencies, and about those files that it names.
func (r RPM) format() string {
	var b strings.Builder
	for _, l := range []struct {
		key  string
		list []string
	}{{"provides", r.provides()}, {"requires", r.Requires}, {"conflicts", r.Conflicts}, {"obsoletes", r.Obsoletes}} {
		if l.list == nil {
			continue
		}
		fmt.Fprintf(&b, "<rpm:%s>", l.key)
		for _, d := range l.list {
			name, op, evr := splitDep(d)
			if strings.HasPrefix(name, "rpmlib(") {
				continue
			}
			fmt.Fprintf(&b, `<rpm:entry name="%s"`, name)
			if op != "" {
				epoch, rest, ok := strings.Cut(evr, ":")
				if !ok {
					epoch, rest = "0", evr
				}
				version, release, _ := strings.Cut(rest, "-")
				fmt.Fprintf(&b, ` flags="%s" epoch="%s" ver="%s"`, map[string]string{"<": "LT", ">": "GT", "=": "EQ", "<=": "LE", ">=": "GE"}[op], epoch, version)
				if release != "" {
					fmt.Fprintf(&b, ` rel="%s"`, release)
				}
			}
			b.WriteString("/>")
		}
		fmt.Fprintf(&b, "</rpm:%s>", l.key)
	}
	for _, f := range r.Files {
		if strings.HasPrefix(f.Path, "/etc/") || strings.HasSuffix(path.Dir(f.Path), "bin") {
			fmt.Fprintf(&b, "<file>%s</file>", f.Path)
		}
	}
	return b.String()
}

func gzipped(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(content)
	w.Close()
	return b.Bytes()
}
