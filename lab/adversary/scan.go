package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// deepest is how often something is unpacked that lay in something unpacked.
const deepest = 4

// scanner looks for needles.
type scanner struct {
	needles needles
	first   [1 << 16]bool // whether a needle begins with these two bytes
	hits    map[string]hit
	bytes   int64 // looked at, unpacked ones included
}

// hit is a secret that was found.
type hit struct {
	File   string `json:"file"` // with how it was unpacked: "node.bundle, gzip at 5120"
	Offset int    `json:"offset"`
	Secret string `json:"secret"` // which, never what
}

// secrets looks in every file of a directory.
func secrets(pki, dir string, lines *json.Encoder) (bool, error) {
	all, count, err := collect(pki)
	if err != nil {
		return false, err
	}
	s := &scanner{needles: all, hits: map[string]hit{}}
	for _, list := range all {
		for _, n := range list {
			s.first[binary.LittleEndian.Uint16(n.bytes)] = true
		}
	}
	files := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return s.look(name, data, 0)
	})
	if err == nil && files == 0 {
		err = fmt.Errorf("%s: there is nothing to look at", dir)
	}
	if err != nil {
		return false, err
	}
	for _, h := range s.hits {
		if err := lines.Encode(h); err != nil {
			return false, err
		}
	}
	return len(s.hits) > 0, lines.Encode(map[string]any{"secrets": count, "files": files, "bytes": s.bytes, "found": len(s.hits)})
}

// look searches some bytes, and what is packed in them.
func (s *scanner) look(name string, data []byte, depth int) error {
	s.bytes += int64(len(data))
	for i := 0; i+shortest <= len(data); i++ {
		if !s.first[binary.LittleEndian.Uint16(data[i:])] {
			continue
		}
		for _, n := range s.needles[binary.LittleEndian.Uint64(data[i:])] {
			if bytes.HasPrefix(data[i:], n.bytes) {
				if _, seen := s.hits[name+n.what]; !seen {
					s.hits[name+n.what] = hit{name, i, n.what}
				}
			}
		}
	}
	if depth == deepest {
		return nil
	}
	if err := s.unpack(name, data, depth); err != nil {
		return err
	}
	return s.decode(name, data, depth)
}

// unpack looks into everything that begins like gzip or zstd, wherever it begins.
func (s *scanner) unpack(name string, data []byte, depth int) error {
	for i := 0; i+10 < len(data); i++ {
		var plain []byte
		var kind string
		switch {
		case bytes.HasPrefix(data[i:], []byte{0x1f, 0x8b, 8}):
			kind = "gzip"
			r, err := gzip.NewReader(bytes.NewReader(data[i:]))
			if err != nil {
				continue
			}
			r.Multistream(false)
			plain, _ = io.ReadAll(r) // what was not one gives what it gave
		case bytes.HasPrefix(data[i:], []byte{0x28, 0xb5, 0x2f, 0xfd}):
			kind = "zstd"
			cmd := exec.Command("zstd", "-dc", "--no-check")
			cmd.Stdin = bytes.NewReader(data[i:])
			out, err := cmd.Output()
			if _, ran := err.(*exec.ExitError); err != nil && !ran {
				return fmt.Errorf("unpacking %s: %w", name, err)
			}
			plain = out
		}
		if len(plain) == 0 {
			continue
		}
		if err := s.look(fmt.Sprintf("%s, %s at %d", name, kind, i), plain, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// run64 is a run of base64 that could hold a secret.
var run64 = regexp.MustCompile(`[A-Za-z0-9+/_-]{24,}={0,2}`)

// decode looks into what is base64: keys in kubeconfigs are so, and files in host packs. A run may be a text or a number
// as well; then nothing is found in it.
func (s *scanner) decode(name string, data []byte, depth int) error {
	for _, at := range run64.FindAllIndex(data, -1) {
		text := bytes.TrimRight(data[at[0]:at[1]], "=")
		text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("-"), []byte("+")), []byte("_"), []byte("/"))
		text = text[:len(text)-len(text)%4]
		plain := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		if n, err := base64.StdEncoding.Decode(plain, text); err == nil {
			if err := s.look(fmt.Sprintf("%s, base64 at %d", name, at[0]), plain[:n], depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
