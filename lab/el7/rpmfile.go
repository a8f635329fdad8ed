package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Tags of RPM headers that matter here.
const (
	sigDSA  = 267
	sigRSA  = 268
	sigSHA1 = 269
	sigPGP  = 1002
	sigMD5  = 1004
	sigGPG  = 1005

	tagRequireName = 1049
	tagCompressor  = 1125

	headerLimit = 64 << 20 // bytes of one header's data; more is no package
	entryLimit  = 1 << 16
)

// rpmFile is what the headers of a package file say.
type rpmFile struct {
	signatures []int // tags of the signature header, in its order
	requires   []string
	compressor string // "" is gzip
}

// checkPackages holds the package files of an install against what rpm 4.11.3 can take. A file that cannot be read is rpm's
// own business.
func (t *table) checkPackages(p *parsed) error {
	if !installs(p) {
		return nil
	}
	for _, path := range p.operands {
		f, err := readRPM(path)
		if err != nil {
			continue
		}
		if err := t.checkPackage(f); err != nil {
			return fmt.Errorf("package %q: %w", path, err)
		}
	}
	return nil
}

// installs says whether rpm is asked to install. -i is also a question's option.
func installs(p *parsed) bool {
	return p.has("i", "U", "F", "install", "upgrade", "freshen", "reinstall") && !p.has("q", "query", "V", "verify", "e", "erase")
}

// changesPackages says whether rpm is asked to install or to remove.
func changesPackages(t *table, args []string) bool {
	p, err := t.parse(args)
	return err == nil && (installs(p) || p.has("e", "erase") && !p.has("q", "query", "V", "verify"))
}

// checkPackage says what of one package rpm 4.11.3 cannot take.
func (t *table) checkPackage(f *rpmFile) error {
	if f.compressor != "" && !slices.Contains(t.Payload, f.compressor) {
		return fmt.Errorf("its payload is compressed with %s, which rpm 4.11.3 cannot unpack", f.compressor)
	}
	for _, r := range f.requires {
		if name, ok := strings.CutPrefix(r, "rpmlib("); ok && !slices.Contains(t.RPMLib, strings.TrimSuffix(name, ")")) {
			return fmt.Errorf("it requires %s, which rpm 4.11.3 does not provide", r)
		}
		if strings.HasPrefix(r, "(") {
			return fmt.Errorf("it requires %s: rpm 4.11.3 knows no rich dependencies", r)
		}
	}
	if !slices.Contains(f.signatures, sigMD5) && !slices.Contains(f.signatures, sigSHA1) {
		return fmt.Errorf("it has neither of the digests that rpm 4.11.3 verifies (MD5 of all, SHA1 of the header)")
	}
	return nil
}

// readRPM reads the lead and the two headers of a package file.
func readRPM(path string) (*rpmFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return parseRPM(bufio.NewReaderSize(file, 1<<16))
}

func parseRPM(r io.Reader) (*rpmFile, error) {
	lead := make([]byte, 96)
	if _, err := io.ReadFull(r, lead); err != nil {
		return nil, err
	}
	if string(lead[:4]) != "\xed\xab\xee\xdb" {
		return nil, fmt.Errorf("reading package: it has no RPM lead")
	}
	sig, size, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, r, int64(-size&7)); err != nil {
		return nil, err
	}
	head, _, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	f := &rpmFile{}
	for _, e := range sig.entries {
		f.signatures = append(f.signatures, e.tag)
	}
	f.requires = head.strings(tagRequireName)
	if c := head.strings(tagCompressor); len(c) > 0 {
		f.compressor = c[0]
	}
	return f, nil
}

// header is one header structure of a package.
type header struct {
	entries []entry
	data    []byte
}

type entry struct{ tag, kind, offset, count int }

// readHeader reads a header and says how long its data is.
func readHeader(r io.Reader) (*header, int, error) {
	intro := make([]byte, 16)
	if _, err := io.ReadFull(r, intro); err != nil {
		return nil, 0, err
	}
	if string(intro[:4]) != "\x8e\xad\xe8\x01" {
		return nil, 0, fmt.Errorf("reading package: no header where one should be")
	}
	n, size := int64(binary.BigEndian.Uint32(intro[8:])), int64(binary.BigEndian.Uint32(intro[12:]))
	if n > entryLimit || size > headerLimit {
		return nil, 0, fmt.Errorf("reading package: a header of %d entries and %d bytes is too big", n, size)
	}
	body, err := io.ReadAll(io.LimitReader(r, n*16+size))
	if err != nil {
		return nil, 0, err
	}
	if int64(len(body)) < n*16+size {
		return nil, 0, io.ErrUnexpectedEOF
	}
	h := &header{data: body[n*16:]}
	for i := range n {
		e := body[i*16:]
		word := func(at int) int { return int(binary.BigEndian.Uint32(e[at:])) }
		h.entries = append(h.entries, entry{word(0), word(4), word(8), word(12)})
	}
	return h, int(size), nil
}

// strings are the values of a tag that holds text.
func (h *header) strings(tag int) []string {
	i := slices.IndexFunc(h.entries, func(e entry) bool { return e.tag == tag })
	if i < 0 || h.entries[i].offset < 0 || h.entries[i].offset > len(h.data) {
		return nil
	}
	rest := string(h.data[h.entries[i].offset:])
	var all []string
	for range h.entries[i].count {
		s, after, ok := strings.Cut(rest, "\x00")
		if !ok {
			break
		}
		all, rest = append(all, s), after
	}
	return all
}
