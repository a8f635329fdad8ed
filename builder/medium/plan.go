package medium

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/bundle/medium"
	"offgrid/bundle/recovery"
)

const sumsName = "SHA256SUMS"

// SourceError says that a directory is not a finished dist/.
type SourceError struct {
	Dir string
	Err error
}

func (e *SourceError) Error() string {
	return fmt.Sprintf("%s is not what a finished build left: %v", e.Dir, e.Err)
}
func (e *SourceError) Unwrap() error { return e.Err }

// piece is one file that the medium is to have.
type piece struct {
	name string
	size int64
	mode os.FileMode
	sum  string // sha256 in hex
	from string // file that it is a stretch of; "" when data is all
	at   int64
	data []byte
}

func (p *piece) open() (io.ReadCloser, error) {
	if p.from == "" {
		return io.NopCloser(bytes.NewReader(p.data)), nil
	}
	f, err := os.Open(p.from)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, p.at, p.size), f}, nil
}

// text is a piece that is made here.
func text(name, content string) piece {
	sum := sha256.Sum256([]byte(content))
	return piece{name: name, size: int64(len(content)), mode: 0o600, sum: hex.EncodeToString(sum[:]), data: []byte(content)}
}

// source is one file of dist/.
type source struct {
	name, path, sum string
	size            int64
	mode            os.FileMode
}

// sources reads dist/SHA256SUMS.
func sources(dir string) ([]source, error) {
	data, err := os.ReadFile(filepath.Join(dir, sumsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &SourceError{dir, errors.New("it has no " + sumsName)}
	}
	if err != nil {
		return nil, err
	}
	line := regexp.MustCompile(`^([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9._-]{0,200})$`)
	var all []source
	for text := range strings.Lines(string(data)) {
		m := line.FindStringSubmatch(strings.TrimSuffix(text, "\n"))
		if m == nil {
			return nil, &SourceError{dir, fmt.Errorf("%s has the line %q", sumsName, text)}
		}
		s := source{name: m[2], path: filepath.Join(dir, m[2]), sum: m[1]}
		info, err := os.Stat(s.path)
		if err != nil {
			return nil, &SourceError{dir, err}
		}
		s.size, s.mode = info.Size(), info.Mode().Perm()
		all = append(all, s)
	}
	if len(all) == 0 {
		return nil, &SourceError{dir, errors.New(sumsName + " names no file")}
	}
	return all, nil
}

// clash refuses names that are one and the same on a medium that does not tell capitals from small letters.
func clash(pieces []piece) error {
	seen := map[string]string{}
	for _, p := range pieces {
		if other, ok := seen[strings.ToLower(p.name)]; ok {
			return fmt.Errorf("%s and %s are one name on a medium that does not tell capitals from small letters", other, p.name)
		}
		seen[strings.ToLower(p.name)] = p.name
	}
	return nil
}

// partSize is how long the parts of a file must be on the medium; 0: it stays whole.
func partSize(size, largest, asked int64) (int64, error) {
	limit := asked
	if limit == 0 && largest > 0 && size > largest {
		limit = largest
	}
	if limit == 0 || size <= limit {
		return 0, nil
	}
	block := recovery.BlockSize(size)
	part := limit / block * block
	if part == 0 || (size+part-1)/part > 999 {
		return 0, fmt.Errorf("parts of %d bytes are too small for a file of %d bytes: there may be 999 of them, of at least %d bytes each", limit, size, block)
	}
	return part, nil
}

// split makes the pieces of a file and takes their digests, and the file's, which must be what dist/ says.
func (s *source) split(ctx context.Context, part int64) ([]piece, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	whole := sha256.New()
	length := part
	if length == 0 {
		length = max(s.size, 1)
	}
	var pieces []piece
	for at := int64(0); at < max(s.size, 1); at += length {
		p := piece{name: s.name, size: min(length, s.size-at), mode: s.mode, from: s.path, at: at}
		if part > 0 {
			p.name = recovery.PartName(s.name, len(pieces)+1)
		}
		h := sha256.New()
		if _, err := io.Copy(io.MultiWriter(whole, h), bundle.Stoppable(ctx, io.NewSectionReader(f, at, p.size))); err != nil {
			return nil, fmt.Errorf("reading %s: %w", s.path, err)
		}
		p.sum = hex.EncodeToString(h.Sum(nil))
		pieces = append(pieces, p)
	}
	if got := hex.EncodeToString(whole.Sum(nil)); got != s.sum {
		return nil, &SourceError{filepath.Dir(s.path), fmt.Errorf("%s has another sha256 than %s says", s.name, sumsName)}
	}
	return pieces, nil
}

// layout is everything that the medium is to hold.
type layout struct {
	pieces []piece
	list   medium.Manifest
	split  []string // files that are in parts
}

func (l *layout) size() (n int64) {
	for _, p := range l.pieces {
		n += p.size
	}
	return n
}

func (l *layout) names() []string {
	names := []string{medium.Name}
	for _, p := range l.pieces {
		names = append(names, p.name)
	}
	return names
}

// plan makes the layout: every file of dist/, its record, the run sheet and the sums of all. Records are made in scratch.
func (w *writer) plan(ctx context.Context) (*layout, error) {
	l := &layout{list: medium.Manifest{Format: medium.Format, State: medium.Writing, Files: []medium.File{}}}
	sheet := &sheet{}
	if err := sheet.trust(w.sources); err != nil {
		return nil, err
	}
	for _, s := range w.sources {
		part, err := partSize(s.size, w.fs.Largest, w.opts.PartSize)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		pieces, err := s.split(ctx, part)
		if err != nil {
			return nil, err
		}
		if part > 0 {
			l.split = append(l.split, s.name)
		}
		entry := medium.File{Name: s.name, Size: s.size, SHA256: s.sum, PartSize: part, Record: s.size > 0}
		if entry.Roots, err = sheet.add(&s, pieces); err != nil {
			return nil, err
		}
		l.pieces = append(l.pieces, pieces...)
		if entry.Record {
			record, err := w.record(ctx, &s)
			if err != nil {
				return nil, err
			}
			l.pieces = append(l.pieces, record)
		}
		l.list.Files = append(l.list.Files, entry)
	}
	for _, t := range []piece{text("RUNSHEET.txt", sheet.text()), text("RUNSHEET.html", sheet.html())} {
		l.pieces = append(l.pieces, t)
		l.list.Files = append(l.list.Files, medium.File{Name: t.name, Size: t.size, SHA256: t.sum})
	}
	slices.SortFunc(l.pieces, func(a, b piece) int { return strings.Compare(a.name, b.name) })
	var sums strings.Builder
	for _, p := range l.pieces {
		fmt.Fprintf(&sums, "%s  %s\n", p.sum, p.name)
	}
	t := text(sumsName, sums.String())
	l.pieces = append(l.pieces, t)
	l.list.Files = append(l.list.Files, medium.File{Name: t.name, Size: t.size, SHA256: t.sum})
	slices.SortFunc(l.list.Files, func(a, b medium.File) int { return strings.Compare(a.Name, b.Name) })
	return l, clash(l.pieces)
}

// record makes the recovery record of a file of dist/ in the scratch directory.
func (w *writer) record(ctx context.Context, s *source) (piece, error) {
	src, err := os.Open(s.path)
	if err != nil {
		return piece{}, err
	}
	defer src.Close()
	path := filepath.Join(w.scratch, s.name+recovery.Suffix)
	dst, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return piece{}, err
	}
	w.begin("parity", s.name, 2*s.size)
	_, err = recovery.Create(ctx, dst, src, recovery.Spec{Name: s.name, Size: s.size, Parity: recovery.ParityBlocks(s.size, w.opts.Parity)}, w.advance)
	if err = errors.Join(err, dst.Close()); err != nil {
		return piece{}, err
	}
	w.end()
	sum, size, err := digestFile(ctx, path)
	return piece{name: s.name + recovery.Suffix, size: size, mode: 0o600, sum: sum, from: path}, err
}

func digestFile(ctx context.Context, path string) (string, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	recovery.Forget(f, 0, 0)
	h := sha256.New()
	n, err := io.Copy(h, bundle.Stoppable(ctx, f))
	return hex.EncodeToString(h.Sum(nil)), n, err
}

// isBundle reports whether a file of dist/ is a bundle by its name.
func isBundle(name string) bool { return filepath.Ext(name) == ".bundle" }
