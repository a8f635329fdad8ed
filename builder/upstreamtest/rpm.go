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
	Epoch                        int
	Payload                      []byte // gzip or not: nobody unpacks it here
	SignHeader                   func(header []byte) []byte
	HeaderTag                    uint32 // 268 (RSA) or 267 (DSA) for SignHeader
	SignAll                      func(headerAndPayload []byte) []byte
	AllTag                       uint32 // 1002 (PGP) or 1005 (GPG) for SignAll
	NoPayloadDigest              bool   // as rpm before 4.14
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
	if !r.NoPayloadDigest {
		e := text(5092, hex.EncodeToString(sum[:]))
		e.kind = 8
		entries = append(entries, e)
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
		if e.kind == 4 {
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

// Repo is a yum repository to be served.
type Repo struct {
	RPMs     []RPM
	Compress func([]byte) []byte        // of primary.xml; nil: gzip
	Suffix   string                     // of its name; "": ".gz"
	Sign     func(repomd []byte) []byte // repomd.xml.asc; nil: none
}

// Repo serves the repository under base, which begins with "/", and returns its address.
func (u *Upstream) Repo(base string, r Repo) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="%d">
`, len(r.RPMs))
	for _, p := range r.RPMs {
		data := p.Bytes()
		place := "Packages/" + p.FileName()
		u.File(path.Join(base, place), data)
		fmt.Fprintf(&b, `<package type="rpm"><name>%s</name><arch>%s</arch><version epoch="%d" ver="%s" rel="%s"/>
<checksum type="sha256" pkgid="YES">%s</checksum><summary>test</summary><size package="%d" installed="1" archive="1"/>
<location href="%s"/><format><rpm:license>MIT</rpm:license></format></package>
`, p.Name, p.Arch, p.Epoch, p.Version, p.Release, bundle.DigestOf(data).Hex(), len(data), place)
	}
	b.WriteString("</metadata>\n")
	primary := []byte(b.String())
	packed, suffix := gzipped(primary), ".gz"
	if r.Compress != nil {
		packed, suffix = r.Compress(primary), r.Suffix
	}
	sum := bundle.DigestOf(packed).Hex()
	place := "repodata/" + sum + "-primary.xml" + suffix
	u.File(path.Join(base, place), packed)
	repomd := fmt.Appendf(nil, `<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>1</revision>
<data type="filelists"><checksum type="sha256">%s</checksum><location href="repodata/none"/></data>
<data type="primary"><checksum type="sha256">%s</checksum><open-checksum type="sha256">%s</open-checksum>
<location href="%s"/><timestamp>1</timestamp><size>%d</size><open-size>%d</open-size></data>
</repomd>
`, sum, sum, bundle.DigestOf(primary).Hex(), place, len(packed), len(primary))
	u.File(path.Join(base, "repodata/repomd.xml"), repomd)
	if r.Sign != nil {
		u.File(path.Join(base, "repodata/repomd.xml.asc"), r.Sign(repomd))
	}
	return u.URL + base
}

func gzipped(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(content)
	w.Close()
	return b.Bytes()
}
