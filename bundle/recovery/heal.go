package recovery

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// Healing is what Heal found and did.
type Healing struct {
	Record  *Record
	Block   int64   // bytes
	Faults  []Fault // everything that was not right at the first reading, ascending
	Copied  int     // blocks that came from another copy beside the file
	Rebuilt int     // blocks that came from parity
	Power   int     // good parity blocks: how many blocks could be rebuilt
	Files   []FileDamage
	Notes   []string // about files: renamed, doubled, longer than they should be
}

// Bad is the number of blocks that are not right on the medium.
func (h *Healing) Bad() int {
	n := 0
	for _, f := range h.Faults {
		if f.Verdict != RightLater {
			n++
		}
	}
	return n
}

// FileDamage is what is wrong with one file of a medium.
type FileDamage struct {
	Name    string // as it is there; "" when it is missing
	Want    string // what it should be called
	Blocks  int    // it should hold
	Bad     int    // of these
	Missing int64  // bytes at its end that are not there
}

// String says it to people.
func (d FileDamage) String() string {
	switch {
	case d.Name == "":
		return d.Want + " is missing"
	case d.Bad == d.Blocks && d.Missing == 0 && d.Blocks > 1:
		return fmt.Sprintf("%s is of another build, or another file: none of its %d blocks is right", d.Name, d.Blocks)
	case d.Missing > 0:
		return fmt.Sprintf("%s is cut short by %d bytes; %d of %d blocks are bad", d.Name, d.Missing, d.Bad, d.Blocks)
	}
	return fmt.Sprintf("%s: %d of %d blocks are bad", d.Name, d.Bad, d.Blocks)
}

// BeyondError says that there is more damage than the record can repair.
type BeyondError struct {
	Path  string
	Bad   int // blocks
	Power int // blocks that can be repaired
	Files []FileDamage
	Again []string // what to copy again: one file if that is enough
}

func (e *BeyondError) Error() string {
	var texts []string
	for _, f := range e.Files {
		texts = append(texts, f.String())
	}
	return fmt.Sprintf("%s: %d blocks are bad and its recovery record can repair %d: %s; copy again: %s", e.Path, e.Bad, e.Power, strings.Join(texts, ", "), list(e.Again))
}

// OtherBuildError says that a record belongs to another file than the one beside it.
type OtherBuildError struct{ Path, Record string }

func (e *OtherBuildError) Error() string {
	return fmt.Sprintf("%s and %s are of two builds: no block of the one is in the other; copy both again", e.Path, e.Record)
}

// ErrNoRecord is the cause when a file has no recovery record beside it.
var ErrNoRecord = errors.New("there is no recovery record beside it")

func list(names []string) string { return strings.Join(names, ", ") }

func are(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return list(names) + " are"
}

// Heal compares all of the file with its record, looks for what is wrong in other copies of it and in the parity, and from
// then on ReadAt gives every byte as it was. Nothing is written to the medium: what was repaired is kept in memory, or in
// a file without a name when it is more than 8 MiB. Errors: ErrNoRecord, *RecordError, *FormatError, *OtherBuildError,
// *BeyondError. With the last two, and when nothing was wrong, the healing says what was found. advance gets the
// bytes that are through: the size of the file for the comparison, and once more for parity.
func (p *Pieces) Heal(ctx context.Context, advance func(int64)) (*Healing, error) {
	return p.heal(ctx, false, advance)
}

// Examine finds out what Heal would find and whether it would succeed, and repairs nothing: the errors are the same.
func (p *Pieces) Examine(ctx context.Context, advance func(int64)) (*Healing, error) {
	return p.heal(ctx, true, advance)
}

func (p *Pieces) heal(ctx context.Context, only bool, advance func(int64)) (*Healing, error) {
	if advance == nil {
		advance = func(int64) {}
	}
	rec, err := p.record()
	if err != nil {
		return nil, err
	}
	defer rec.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.again(rec); err != nil {
		return nil, err
	}
	w := &healer{p: p, rec: rec, only: only, out: newScratch(rec.BlockSize()), h: &Healing{Record: &rec.Record, Block: rec.BlockSize(), Notes: p.notes(rec)}}
	err = w.run(ctx, advance)
	if err != nil || only {
		return w.h, errors.Join(err, w.out.close())
	}
	p.healed = &healed{size: rec.Size, block: rec.BlockSize(), scratch: w.out}
	return w.h, nil
}

// Forgo takes a healing back: what is on the medium is read again as it is there.
func (p *Pieces) Forgo() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.healed != nil {
		p.healed.close()
		p.healed = nil
	}
}

// Ranges joins faults of blocks beside each other into stretches of one verdict.
func (h *Healing) Ranges() []Fault {
	var ranges []Fault
	for _, f := range h.Faults {
		if n := len(ranges) - 1; n >= 0 && ranges[n].Verdict == f.Verdict && ranges[n].Offset+ranges[n].Length == f.Offset {
			ranges[n].Length += f.Length
			continue
		}
		ranges = append(ranges, f)
	}
	return ranges
}

func (p *Pieces) record() (*RecordFile, error) {
	rec, err := openBeside(p.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", p.Path, ErrNoRecord)
	}
	return rec, err
}

// maxRecords bounds the records under other names that are looked into.
const maxRecords = 64

// openBeside opens the record of the file at path: that of the right name, or any beside it that says it is of this file.
func openBeside(path string) (*RecordFile, error) {
	rec, err := Open(path + Suffix)
	if !errors.Is(err, fs.ErrNotExist) {
		return rec, err
	}
	others, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*"+Suffix))
	for _, other := range others[:min(len(others), maxRecords)] {
		rec, otherErr := Open(other)
		if otherErr != nil {
			continue
		}
		if rec.Name == filepath.Base(path) {
			return rec, nil
		}
		rec.Close()
	}
	return nil, err
}

// again looks for the parts once more, this time by what is in them, and forgets an earlier healing.
func (p *Pieces) again(rec *RecordFile) error {
	old := Pieces{parts: p.parts, copies: p.copies, healed: p.healed}
	p.parts, p.copies, p.healed = nil, nil, nil
	if err := p.assemble(rec); err != nil {
		p.parts, p.copies = old.parts, old.copies
		return err
	}
	return old.Close()
}

// notes says what is odd about the files but does no harm.
func (p *Pieces) notes(rec *RecordFile) []string {
	var notes []string
	for _, part := range p.parts {
		if part.file != nil && part.Name != part.Want {
			notes = append(notes, fmt.Sprintf("%s has another name here: %s", part.Want, part.Name))
		}
		if part.Have > part.Length {
			notes = append(notes, fmt.Sprintf("%s has %d bytes more than it should; they are ignored", part.Name, part.Have-part.Length))
		}
	}
	for _, c := range p.copies {
		name, _ := p.locate(c.Start)
		notes = append(notes, fmt.Sprintf("%s is a second copy of what %s holds", c.Name, name))
	}
	if extra := rec.Extra(); extra > 0 {
		notes = append(notes, fmt.Sprintf("%s has %d bytes more than it should", filepath.Base(rec.Path), extra))
	}
	return notes
}

// healer does the work of one Heal.
type healer struct {
	p    *Pieces
	rec  *RecordFile
	only bool // look, and compute nothing
	out  *scratch
	h    *Healing
}

func (w *healer) run(ctx context.Context, advance func(int64)) error {
	raw := rawPieces{w.p}
	var err error
	w.h.Faults, err = w.rec.Scan(ctx, raw, w.out.put, advance)
	if err != nil {
		return err
	}
	var bad []int
	for _, f := range w.h.Faults {
		if f.Verdict == RightLater {
			continue
		}
		if ok, err := w.fromCopy(f.Block); err != nil {
			return err
		} else if ok {
			w.h.Copied++
			continue
		}
		bad = append(bad, f.Block)
	}
	w.files()
	if len(bad) == 0 {
		return nil
	}
	if len(bad) == len(w.rec.Blocks) && len(bad) > 1 && w.somethingThere() {
		return &OtherBuildError{w.p.Path, filepath.Base(w.rec.Path)}
	}
	broken, err := w.rec.badParity(ctx)
	if err != nil {
		return err
	}
	var good []int
	for j, b := range broken {
		if !b {
			good = append(good, j)
		}
	}
	w.h.Power = len(good)
	if len(bad) > len(good) {
		return w.beyond(bad, len(good))
	}
	if w.only {
		return nil
	}
	return w.rebuild(ctx, bad, good[:len(bad)], advance)
}

// somethingThere reports whether blocks were read at all.
func (w *healer) somethingThere() bool {
	return slices.ContainsFunc(w.h.Faults, func(f Fault) bool { return f.Verdict == BadCopy || f.Verdict == BadReader })
}

// rebuild computes the bad blocks and checks each before it counts.
func (w *healer) rebuild(ctx context.Context, bad, parity []int, advance func(int64)) error {
	for _, i := range bad {
		if err := w.out.reserve(i); err != nil {
			return err
		}
	}
	src := &healed{size: w.rec.Size, block: w.rec.BlockSize(), scratch: w.out} // blocks of copies are there already
	r := &reconstruction{rec: w.rec, src: readerFunc(func(b []byte, off int64) (int, error) { return src.readAt(rawPieces{w.p}, b, off) }), bad: bad, parity: parity}
	if err := r.run(ctx, func(n int, at int64, b []byte) error { return w.out.write(bad[n], at, b) }, advance); err != nil {
		return err
	}
	buf := make([]byte, w.rec.BlockSize())
	for _, i := range bad {
		_, length := w.rec.span(i)
		if err := w.out.read(i, 0, buf[:length]); err != nil {
			return err
		}
		if Sum(sha256.Sum256(buf[:length])) != w.rec.Blocks[i] {
			return fmt.Errorf("repairing %s: block %d is still wrong after it was computed: what was read for it has changed meanwhile; the reader or the memory is bad", w.p.Path, i)
		}
	}
	w.h.Rebuilt = len(bad)
	return nil
}

type readerFunc func(b []byte, off int64) (int, error)

// ReadAt implements io.ReaderAt.
func (f readerFunc) ReadAt(b []byte, off int64) (int, error) { return f(b, off) }

// fromCopy looks for block i in the other copies.
func (w *healer) fromCopy(i int) (bool, error) {
	offset, length := w.rec.span(i)
	buf := make([]byte, length)
	for _, c := range w.p.copies {
		if offset < c.Start || offset+length > c.end() {
			continue
		}
		if n, _ := c.file.ReadAt(buf, offset-c.Start); int64(n) == length && Sum(sha256.Sum256(buf)) == w.rec.Blocks[i] {
			return true, w.out.put(i, buf)
		}
	}
	return false, nil
}

// files sums up the damage of each file.
func (w *healer) files() {
	for _, part := range w.p.parts {
		d := FileDamage{Name: part.Name, Want: part.Want, Missing: max(part.Length-part.Have, 0)}
		first, last := part.Start/w.rec.BlockSize(), (part.end()-1)/w.rec.BlockSize()
		d.Blocks = int(last - first + 1)
		for _, f := range w.h.Faults {
			if int64(f.Block) >= first && int64(f.Block) <= last && f.Verdict != RightLater {
				d.Bad++
			}
		}
		if d.Bad > 0 || part.Name != part.Want {
			w.h.Files = append(w.h.Files, d)
		}
	}
}

// beyond names the one file that is worth copying again: with it whole, parity does the rest.
func (w *healer) beyond(bad []int, power int) error {
	e := &BeyondError{Path: w.p.Path, Bad: len(bad), Power: power}
	var all []string
	for _, d := range w.h.Files {
		if d.Bad == 0 {
			continue
		}
		e.Files = append(e.Files, d)
		all = append(all, d.Want)
		if len(bad)-d.Bad <= power && len(e.Again) == 0 {
			e.Again = []string{d.Want}
		}
	}
	if len(e.Again) == 0 {
		e.Again = all
	}
	return e
}
