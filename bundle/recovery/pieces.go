package recovery

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Part is one file of a medium that holds a stretch of the whole.
type Part struct {
	Name   string // of the file as it is there, without a directory; "" when it is missing
	Want   string // what it should be called
	Start  int64  // where its bytes belong in the whole
	Length int64  // how many it should hold
	Have   int64  // how many it holds; more than Length when something was appended

	file *os.File
}

// end is the first byte behind the part.
func (p *Part) end() int64 { return p.Start + p.Length }

// Pieces is a file as it lies on a medium: whole, or in parts. It is read as one. Its methods may be called by several
// goroutines at once.
type Pieces struct {
	Path string // of the whole, which need not be there under this name

	mu     sync.RWMutex
	parts  []Part // ascending, without gaps; a missing part has no file
	size   int64
	healed *healed
	copies []Part // other files that hold the same bytes
}

// MissingError says that a file, or parts of one, are not there.
type MissingError struct {
	Path  string
	Files []string // what is missing, by name
	Here  []string // what is there
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is in parts, and of these %s missing; here: %s", e.Path, are(e.Files), list(e.Here))
}

// Find opens the file at path, or when there is none the parts PATH.001, PATH.002 and so on beside each other. path may also
// name a part. With a recovery record beside it, parts that lack or have another name are found by what is in them, and
// Find succeeds as long as anything is there: Heal says what is wrong. Without a record parts must be complete and equally
// long but the last.
func Find(path string) (*Pieces, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("opening %s: it is not a regular file", path)
	}
	if base, _, ok := cutPart(path); ok && (err != nil || exists(base+Suffix) || partExists(base, 1) && partExists(base, 2)) {
		path, err = base, fs.ErrNotExist
		if exists(base) {
			return Find(base)
		}
	}
	p := &Pieces{Path: path}
	if err == nil {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("opening %s: %w", path, err)
		}
		p.size = info.Size()
		name := filepath.Base(path)
		p.parts = []Part{{Name: name, Want: name, Length: p.size, Have: p.size, file: f}}
		return p, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	rec, err := openBeside(path)
	if err == nil {
		defer rec.Close()
		err = p.assemble(rec)
	} else if err = p.number(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("opening %s: %w", path, err)
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Here reports whether Find would find anything of the file at path.
func Here(path string) bool {
	if exists(path) || partExists(path, 1) || partExists(path, 2) {
		return true
	}
	p, err := Find(path)
	if err != nil {
		return false
	}
	p.Close()
	return true
}

// number opens PATH.001 and so on. They must be complete.
func (p *Pieces) number() error {
	found, err := numbered(p.Path)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return &fs.PathError{Op: "open", Path: p.Path, Err: fs.ErrNotExist}
	}
	missing := &MissingError{Path: p.Path}
	last := 0
	for n := range found {
		last = max(last, n)
	}
	for n := 1; n <= last; n++ {
		name, ok := found[n]
		if !ok {
			missing.Files = append(missing.Files, PartName(filepath.Base(p.Path), n))
			continue
		}
		missing.Here = append(missing.Here, name)
		part, err := openPart(filepath.Dir(p.Path), name)
		if err != nil {
			return err
		}
		part.Start, part.Length = p.size, part.Have
		p.size += part.Have
		p.parts = append(p.parts, part)
	}
	if len(missing.Files) > 0 {
		return missing
	}
	for i, part := range p.parts[:last-1] {
		if part.Have != p.parts[0].Have {
			return &PartSizeError{Path: filepath.Join(filepath.Dir(p.Path), part.Name), Have: part.Have, Others: p.parts[max(0, i-1)].Have}
		}
	}
	if p.parts[last-1].Have > p.parts[0].Have {
		return &PartSizeError{Path: filepath.Join(filepath.Dir(p.Path), p.parts[0].Name), Have: p.parts[0].Have, Others: p.parts[last-1].Have}
	}
	return nil
}

// PartSizeError says that a part has another size than its neighbours: it was not copied whole, or is of another build.
type PartSizeError struct {
	Path         string
	Have, Others int64 // bytes
}

func (e *PartSizeError) Error() string {
	return fmt.Sprintf("%s has %d bytes and the parts beside it have %d: it is cut short, or they are parts of two builds", e.Path, e.Have, e.Others)
}

func openPart(dir, name string) (Part, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return Part{}, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("opening %s: it is not a regular file", f.Name())
	}
	if err != nil {
		f.Close()
		return Part{}, err
	}
	return Part{Name: name, Want: name, Have: info.Size(), file: f}, nil
}

// Size returns the bytes of the whole: what is there, or what the record says once it was asked.
func (p *Pieces) Size() int64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.size
}

// Parts lists the files. The slice is the caller's.
func (p *Pieces) Parts() []Part {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return append([]Part(nil), p.parts...)
}

// Split reports whether the file lies in parts.
func (p *Pieces) Split() bool { return len(p.Parts()) > 1 }

// Locate returns the file that holds byte off of the whole, and the offset in it. The name is that which the file has, or
// should have when it is missing.
func (p *Pieces) Locate(off int64) (name string, at int64) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.locate(off)
}

func (p *Pieces) locate(off int64) (name string, at int64) {
	for _, part := range p.parts {
		if name = part.Name; name == "" {
			name = part.Want
		}
		at = off - part.Start
		if off < part.end() {
			break
		}
	}
	return name, at
}

// Close closes all files.
func (p *Pieces) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, part := range append(p.parts, p.copies...) {
		if part.file != nil {
			errs = append(errs, part.file.Close())
		}
	}
	if p.healed != nil {
		errs = append(errs, p.healed.close())
	}
	p.parts, p.copies, p.healed = nil, nil, nil
	return errors.Join(errs...)
}

// ReadAt implements io.ReaderAt. After Heal what was repaired is read in the place of what is on the medium.
func (p *Pieces) ReadAt(b []byte, off int64) (int, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.healed != nil {
		return p.healed.readAt(rawPieces{p}, b, off)
	}
	return rawPieces{p}.ReadAt(b, off)
}

// Forget drops what the system keeps in memory of a stretch of the whole.
func (p *Pieces) Forget(off, n int64) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	rawPieces{p}.Forget(off, n)
}

// rawPieces reads what is on the medium. The caller holds the lock.
type rawPieces struct{ p *Pieces }

// ReadAt implements io.ReaderAt.
func (r rawPieces) ReadAt(b []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("reading before the beginning")
	}
	for _, part := range r.p.parts {
		if off >= part.end() || len(b) == n {
			continue
		}
		want := min(int64(len(b)-n), part.end()-off)
		m, err := readPart(&part, b[n:n+int(want)], off-part.Start)
		n, off = n+m, off+int64(m)
		if int64(m) < want {
			return n, err
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// readPart reads from one part. Too little is an error.
func readPart(part *Part, b []byte, at int64) (int, error) {
	if part.file == nil {
		return 0, fmt.Errorf("%s: %w", part.Want, ErrAbsent)
	}
	n, err := part.file.ReadAt(b, at)
	if n == len(b) {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s: it ends at byte %d: %w", part.Name, at+int64(n), io.ErrUnexpectedEOF)
	}
	return n, err
}

// Forget implements Source.
func (r rawPieces) Forget(off, n int64) {
	for _, part := range r.p.parts {
		if part.file == nil || off >= part.end() || off+n <= part.Start {
			continue
		}
		from := max(off-part.Start, 0)
		Forget(part.file, from, min(off+n, part.end())-part.Start-from)
	}
}
