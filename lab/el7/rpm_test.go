package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// field is one tag of a header: text, or bytes when kind is 7.
type field struct {
	tag, kind int
	values    []string
}

// headerBytes writes a header structure.
func headerBytes(fields ...field) []byte {
	var index, data bytes.Buffer
	for _, f := range fields {
		for _, v := range []uint32{uint32(f.tag), uint32(f.kind), uint32(data.Len()), uint32(len(f.values))} {
			_ = binary.Write(&index, binary.BigEndian, v)
		}
		for _, v := range f.values {
			data.WriteString(v + "\x00")
		}
	}
	out := []byte("\x8e\xad\xe8\x01\x00\x00\x00\x00")
	out = binary.BigEndian.AppendUint32(out, uint32(len(fields)))
	out = binary.BigEndian.AppendUint32(out, uint32(data.Len()))
	return append(append(out, index.Bytes()...), data.Bytes()...)
}

// packageBytes writes a package without a payload.
func packageBytes(compressor string, sigs []int, requires ...string) []byte {
	lead := append([]byte("\xed\xab\xee\xdb\x03\x00"), make([]byte, 90)...)
	var sig []field
	for _, tag := range sigs {
		sig = append(sig, field{tag, 7, []string{"sig"}})
	}
	s := headerBytes(sig...)
	for len(s)%8 != 0 {
		s = append(s, 0)
	}
	fields := []field{{tagRequireName, 8, requires}}
	if compressor != "" {
		fields = append(fields, field{tagCompressor, 6, []string{compressor}})
	}
	return append(append(lead, s...), headerBytes(fields...)...)
}

func TestPackagesThatRPM4113CannotTakeAreRefused(t *testing.T) {
	both := []int{sigSHA1, sigMD5}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"zstd":  {packageBytes("zstd", both, "rpmlib(PayloadIsZstd)"), "its payload is compressed with zstd, which rpm 4.11.3 cannot unpack"},
		"large": {packageBytes("xz", both, "bash", "rpmlib(LargeFiles)"), "it requires rpmlib(LargeFiles), which rpm 4.11.3 does not provide"},
		"rich":  {packageBytes("gzip", both, "rpmlib(RichDependencies)"), "it requires rpmlib(RichDependencies), which rpm 4.11.3 does not provide"},
		"caret": {packageBytes("gzip", both, "rpmlib(CaretInVersions)"), "it requires rpmlib(CaretInVersions), which rpm 4.11.3 does not provide"},
		"words": {packageBytes("gzip", both, "(a or b)"), "it requires (a or b): rpm 4.11.3 knows no rich dependencies"},
		"bare":  {packageBytes("gzip", []int{sigRSA}, "bash"), "it has neither of the digests that rpm 4.11.3 verifies (MD5 of all, SHA1 of the header)"},
		"good":  {packageBytes("xz", both, "bash", "rpmlib(PayloadIsXz)", "rpmlib(FileDigests)", "rpmlib(TildeInVersions)"), ""},
		"plain": {packageBytes("", both, "bash"), ""},
		"none":  {[]byte("not a package"), ""},
	} {
		path := filepath.Join(t.TempDir(), name+".rpm")
		if err := os.WriteFile(path, c.data, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, how := range []string{"-U", "-i", "-F", "--upgrade", "-Uvh"} {
			got := ""
			if err := checkLine(t, "rpm "+how+" --test "+path); err != nil {
				got = strings.TrimPrefix(err.Error(), `package "`+path+`": `)
			}
			if got != c.want {
				t.Errorf("%s of %s: %q, want %q", how, name, got, c.want)
			}
		}
		if err := checkLine(t, "rpm -qpi "+path); err != nil {
			t.Errorf("a question about %s: %v", name, err)
		}
	}
}

func TestRPMKPrintsTheLineOf4113(t *testing.T) {
	all := []int{256, sigRSA, sigSHA1, 1000, sigPGP, sigMD5, 1007}
	signed := "x.rpm:\n    Header V4 RSA/SHA256 Signature, key ID f4a80eb5: %1\n    Header SHA256 digest: OK\n    Header SHA1 digest: %2\n" +
		"    Payload SHA256 digest: OK\n    V4 RSA/SHA256 Signature, key ID f4a80eb5: %1\n    MD5 digest: %3\n"
	say := func(sig, sha1, md5 string) string {
		return strings.NewReplacer("%1", sig, "%2", sha1, "%3", md5).Replace(signed)
	}
	for name, c := range map[string]struct {
		tags   []int
		said   string
		failed bool
		want   string
	}{
		"signed":   {all, say("OK", "OK", "OK"), false, "x.rpm: rsa sha1 (md5) pgp md5 OK\n"},
		"no key":   {all, say("NOKEY", "OK", "OK"), true, "x.rpm: RSA sha1 ((MD5) PGP) md5 NOT OK (MISSING KEYS: (MD5) PGP#f4a80eb5) \n"},
		"bad":      {all, say("BAD", "OK", "BAD"), true, "x.rpm: RSA sha1 (MD5) PGP MD5 NOT OK\n"},
		"unsigned": {[]int{sigSHA1, sigMD5}, "x.rpm:\n    Header SHA1 digest: OK\n    MD5 digest: OK\n", false, "x.rpm: sha1 md5 OK\n"},
		"silent":   {[]int{sigSHA1, sigMD5}, "", true, "x.rpm: SHA1 MD5 NOT OK\n"},
	} {
		got, ok := oldLine("x.rpm", c.tags, c.said, c.failed)
		if got != c.want || ok == c.failed {
			t.Errorf("%s: %q (well: %v), want %q", name, got, ok, c.want)
		}
	}
}

func TestAHeaderThatClaimsTooMuchIsNoPackage(t *testing.T) {
	data := packageBytes("gzip", []int{sigMD5}, "bash")
	for name, broken := range map[string][]byte{
		"cut short":  data[:len(data)-4],
		"many tags":  append(append([]byte{}, data[:104]...), "\xff\xff\xff\xff\x00\x00\x00\x01"...),
		"much data":  append(append([]byte{}, data[:104]...), "\x00\x00\x00\x01\xff\xff\xff\xff"...),
		"no header":  append(append([]byte{}, data[:96]...), make([]byte, 64)...),
		"only lead":  data[:96],
		"nothing":    nil,
		"other text": bytes.Repeat([]byte("x"), 200),
	} {
		if _, err := parseRPM(bytes.NewReader(broken)); err == nil {
			t.Errorf("%s: read as a package", name)
		}
	}
}

func FuzzPackageHeadersAreReadWithoutAPanic(f *testing.F) {
	f.Add(packageBytes("gzip", []int{sigSHA1, sigMD5}, "bash", "rpmlib(LargeFiles)"))
	f.Add(packageBytes("zstd", nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := parseRPM(io.LimitReader(bytes.NewReader(data), 1<<20))
		_ = err
	})
}
