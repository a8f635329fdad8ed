package recovery

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxParts bounds the parts of a file: their numbers have three digits.
	maxParts = 999
	// maxBeside bounds the files of a directory that are looked into for parts under other names.
	maxBeside = 4096
)

// PartName returns the name of part n of a file, from 1 on. Sorted by name the parts are in order: `cat NAME.0* > NAME`.
func PartName(name string, n int) string { return fmt.Sprintf("%s.%03d", name, n) }

// cutPart takes the number off a part's name.
func cutPart(path string) (base string, n int, ok bool) {
	ext := filepath.Ext(path)
	n, err := strconv.Atoi(strings.TrimPrefix(ext, "."))
	if err != nil || len(ext) != 4 || n < 1 || n > maxParts {
		return "", 0, false
	}
	return strings.TrimSuffix(path, ext), n, true
}

func partExists(path string, n int) bool { return exists(PartName(path, n)) }

// numbered returns the parts of a file by number, by their names alone.
func numbered(path string) (map[int]string, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	found := map[int]string{}
	for _, e := range entries {
		if base, n, ok := cutPart(e.Name()); ok && base == filepath.Base(path) && !e.IsDir() {
			found[n] = e.Name()
		}
	}
	return found, nil
}

// candidate is a file that holds a stretch of the whole, by what is in it or by its name.
type candidate struct {
	Part
	placed bool // by its first block; otherwise by its name alone
	probes int  // how many of three blocks are right there
}

// assemble finds the file, or its parts, with the help of the record. The whole must not be open yet; the parts that are
// chosen are, and other files with the same content are kept as copies.
func (p *Pieces) assemble(rec *RecordFile) error {
	found, err := p.candidates(rec)
	if err != nil {
		return err
	}
	length := partLength(rec, found, filepath.Base(p.Path))
	if length == 0 {
		return &fs.PathError{Op: "open", Path: p.Path, Err: fs.ErrNotExist}
	}
	base := filepath.Base(p.Path)
	p.size = rec.Size
	for start := int64(0); start < rec.Size; start += length {
		want := base
		if length < rec.Size {
			want = PartName(base, int(start/length)+1)
		}
		part := Part{Want: want, Start: start, Length: min(length, rec.Size-start)}
		best := -1
		for i, c := range found {
			if c.file == nil || c.Start != start || c.Name != want && c.probes == 0 {
				continue
			}
			if best < 0 || better(c, found[best], want) {
				best = i
			}
		}
		if best >= 0 {
			part.Name, part.Have, part.file = found[best].Name, found[best].Have, found[best].file
			found[best].file = nil
		}
		p.parts = append(p.parts, part)
	}
	for _, c := range found {
		switch {
		case c.file == nil:
		case c.probes > 0:
			c.Length = min(c.Have, rec.Size-c.Start)
			p.copies = append(p.copies, c.Part)
		default:
			c.file.Close()
		}
	}
	return nil
}

// better reports whether a is to be taken rather than b: it has the right name and not only that, or more of it is right.
// What the one lacks is taken from the other later.
func better(a, b candidate, want string) bool {
	if x, y := a.Name == want && a.probes > 0, b.Name == want && b.probes > 0; x != y {
		return x
	}
	if a.probes != b.probes {
		return a.probes > b.probes
	}
	return a.Have > b.Have
}

// candidates looks into every file of the directory that may hold a stretch of the whole.
func (p *Pieces) candidates(rec *RecordFile) ([]candidate, error) {
	dir := filepath.Dir(p.Path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	places := map[Sum]int64{}
	for i := len(rec.Blocks) - 1; i >= 0; i-- {
		places[rec.Blocks[i]], _ = rec.span(i)
	}
	var found []candidate
	base := filepath.Base(p.Path)
	for _, e := range entries[:min(len(entries), maxBeside)] {
		if !e.Type().IsRegular() || strings.HasSuffix(e.Name(), Suffix) || strings.HasPrefix(e.Name(), "."+base) {
			continue
		}
		part, err := openPart(dir, e.Name())
		if err != nil {
			continue
		}
		start, ok := place(rec, places, &part)
		name, n, isPart := cutPart(e.Name())
		named := e.Name() == base || isPart && name == base
		if !ok && !named {
			part.file.Close()
			continue
		}
		part.Start = start
		if !ok {
			part.Start = -int64(n) // by its name alone; a place is found for it once the length of parts is known
		}
		found = append(found, candidate{Part: part, placed: ok})
	}
	byName(rec, found, base)
	for i := range found {
		found[i].probes = probe(rec, &found[i].Part)
	}
	return found, nil
}

// byName gives the parts that were not recognised by their content the places that their numbers say.
func byName(rec *RecordFile, found []candidate, base string) {
	length := partLength(rec, found, base)
	for i := range found {
		if found[i].Start >= 0 {
			continue
		}
		found[i].Start = (-found[i].Start - 1) * max(length, 1)
	}
}

// place finds out by its first block where the bytes of a file belong.
func place(rec *RecordFile, places map[Sum]int64, part *Part) (int64, bool) {
	buf := make([]byte, min(rec.BlockSize(), part.Have))
	if len(buf) == 0 {
		return 0, false
	}
	if n, _ := part.file.ReadAt(buf, 0); n < len(buf) {
		return 0, false
	}
	at, ok := places[sha256.Sum256(buf)]
	return at, ok
}

// probe looks at three blocks of a part: the first, one in the middle, the last whole one.
func probe(rec *RecordFile, part *Part) int {
	block := rec.BlockSize()
	first := int(part.Start / block)
	n := int(min(part.Have, rec.Size-part.Start) / block)
	if part.Start+part.Have >= rec.Size {
		n = len(rec.Blocks) - first
	}
	right := 0
	buf := make([]byte, block)
	for _, k := range []int{0, n / 2, max(n-1, 0)} {
		if first+k >= len(rec.Blocks) || part.Start%block != 0 {
			continue
		}
		_, length := rec.span(first + k)
		if m, _ := part.file.ReadAt(buf[:length], int64(k)*block); int64(m) == length && Sum(sha256.Sum256(buf[:length])) == rec.Blocks[first+k] {
			right++
		}
	}
	return right
}

// partLength finds out how long the parts are: rec.Size when the file is whole, 0 when there is nothing. Each file has a vote:
// its own length when something follows it, its place divided by its number.
func partLength(rec *RecordFile, found []candidate, base string) int64 {
	votes := map[int64]int{}
	for _, c := range found {
		name, n, isPart := cutPart(c.Name)
		named := isPart && name == base
		switch {
		case c.Name == base && c.placed, c.placed && c.Start == 0 && c.Have >= rec.Size:
			votes[rec.Size] += 100
		case c.Name == base:
			votes[rec.Size] += 3
		case !c.placed:
			votes[c.Have]++
		case c.Start+c.Have < rec.Size:
			votes[c.Have] += 4
		}
		switch {
		case !c.placed || c.Start == 0:
		case named && n > 1 && c.Start%int64(n-1) == 0:
			votes[c.Start/int64(n-1)] += 4
		default:
			votes[c.Start]++
		}
	}
	lengths := make([]int64, 0, len(votes))
	for length := range votes {
		if length > 0 && length%rec.BlockSize() == 0 && (rec.Size+length-1)/length <= maxParts || length == rec.Size {
			lengths = append(lengths, length)
		}
	}
	if len(lengths) == 0 {
		if slices.ContainsFunc(found, func(c candidate) bool { return c.file != nil }) {
			return rec.Size
		}
		return 0
	}
	return slices.MaxFunc(lengths, func(a, b int64) int {
		if votes[a] != votes[b] {
			return votes[a] - votes[b]
		}
		return int(min(max(a-b, -1), 1))
	})
}
