package bundle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"offgrid/bundle/progress"
	"offgrid/bundle/recovery"
)

// A bundle file may lie in parts, and may have a recovery record beside it: package recovery. Here it is said which artifact
// a damaged stretch belongs to, and what was repaired is read again as strictly as everything else.

// openPieces opens the bundles in the file at path, whole or in parts.
func openPieces(path string, o Options) ([]*Bundle, error) {
	pieces, err := recovery.Find(path)
	if err != nil {
		return nil, partError(path, err)
	}
	for _, part := range pieces.Parts() {
		if part.Name == "" || part.Have < part.Length {
			err := absentPart(pieces, part)
			pieces.Close()
			return nil, err
		}
	}
	all, err := openIn(pieces, pieces, o)
	if err != nil {
		pieces.Close()
		return nil, err
	}
	return all, nil
}

// openIn opens the bundles in a file that is open: all of it, or what lies behind a program.
func openIn(pieces *recovery.Pieces, closer io.Closer, o Options) ([]*Bundle, error) {
	part, found, err := FindAppended(pieces.Path, pieces, pieces.Size())
	if err != nil {
		return nil, err
	}
	if !found {
		part = Appended{Size: pieces.Size()}
	}
	return openArchive(pieces.Path, pieces, part, closer, o)
}

// partError turns what is wrong with the parts of a bundle into damage.
func partError(path string, err error) error {
	var missing *recovery.MissingError
	var size *recovery.PartSizeError
	switch {
	case errors.As(err, &missing):
		return &DamageError{Path: missing.Path, Artifact: "part " + missing.Files[0], Err: err}
	case errors.As(err, &size):
		return &DamageError{Path: path, Artifact: "part " + filepath.Base(size.Path), Offset: min(size.Have, size.Others), Err: err}
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("opening bundle: %w", err)
	}
	return err
}

// absentPart is the damage of a part that is missing or cut short.
func absentPart(pieces *recovery.Pieces, part recovery.Part) error {
	err := fmt.Errorf("%w: %d of %d bytes", ErrCutShort, part.Have, part.Length)
	name := part.Name
	if name == "" {
		name, err = part.Want, errors.New("the file is missing")
	}
	return &DamageError{Path: pieces.Path, Artifact: "part " + name, Offset: part.Start + part.Have, Length: part.Length - part.Have, Verdict: recovery.Absent, Err: err}
}

// pieces returns the files of the bundle; nil for a directory, and for a bundle that is not read from files.
func (b *Bundle) pieces() *recovery.Pieces {
	if a, ok := b.src.(*archive); ok {
		p, _ := a.r.(*recovery.Pieces)
		return p
	}
	return nil
}

// Parts lists the files in which the bundle lies when there are several.
func (b *Bundle) Parts() []recovery.Part {
	if p := b.pieces(); p != nil && p.Split() {
		return p.Parts()
	}
	return nil
}

// place completes a damage with the part in which it lies.
func (b *Bundle) place(e *DamageError) *DamageError {
	if p := b.pieces(); p != nil && p.Split() && e.Part == "" {
		e.Part, e.PartOffset = p.Locate(e.Offset)
	}
	return e
}

// source is e's bytes as package recovery reads them again.
func (e *extent) source() recovery.Source {
	if s, ok := e.r.(recovery.Source); ok {
		return s
	}
	return plainSource{e.r}
}

// plainSource cannot be asked to forget.
type plainSource struct{ io.ReaderAt }

func (plainSource) Forget(int64, int64) {}

// judge reads n bytes from off on in e again, which should have the digest want; err is what was wrong with them.
func (e *extent) judge(off, n int64, want Digest, err error) recovery.Verdict {
	var wrong *DigestError
	got := Digest{}
	if errors.As(err, &wrong) {
		got, err = wrong.Got, nil
	}
	src := e.source()
	return recovery.Judge(func() (recovery.Sum, error) {
		src.Forget(e.offset+off, n)
		h := sha256.New()
		m, err := io.Copy(h, io.NewSectionReader(src, e.offset+off, n))
		if err == nil && m < n {
			err = io.ErrUnexpectedEOF
		}
		return recovery.Sum(h.Sum(nil)), err
	}, recovery.Sum(want), recovery.Sum(got), err)
}

// OpenAllRepairing is OpenWith for a file that may be damaged: what cannot be read is taken from other copies beside it or made
// from its recovery record, in memory. Nothing is written to the medium. What was done is reported as warnings.
func OpenAllRepairing(ctx context.Context, path string, o Options, report progress.Func) ([]*Bundle, error) {
	all, err := OpenWith(path, o)
	var damage *DamageError
	var not *NotABundleError
	if err == nil || !errors.As(err, &damage) && !errors.As(err, &not) {
		return all, err
	}
	pieces, findErr := recovery.Find(path)
	if findErr != nil {
		return nil, err
	}
	healing, healErr := pieces.Heal(ctx, repairProgress(pieces, report))
	if healErr != nil {
		pieces.Close()
		if errors.Is(healErr, recovery.ErrNoRecord) {
			return nil, err
		}
		return nil, errors.Join(err, healErr)
	}
	all, openErr := openIn(pieces, pieces, o)
	if openErr != nil {
		pieces.Close()
		return nil, errors.Join(err, openErr)
	}
	warn(report, err.Error())
	tell(all, healing, report)
	return all, nil
}

// repairProgress reports how far a comparison with the record has come.
func repairProgress(p *recovery.Pieces, report progress.Func) func(int64) {
	item, total, done, said := filepath.Base(p.Path), 2*p.Size(), int64(0), int64(0)
	return func(n int64) {
		if done += n; done-said >= 1<<22 {
			said = done
			report.Report(progress.Event{Phase: "repair", Item: item, Kind: progress.Advance, Done: done, Total: max(total, done)})
		}
	}
}

func warn(report progress.Func, text string) {
	report.Report(progress.Event{Phase: "repair", Kind: progress.Warn, Text: text})
}

// tell reports a healing: every damaged stretch with what lies there, and what became of it.
func tell(all []*Bundle, h *recovery.Healing, report progress.Func) {
	for _, line := range Describe(all, h) {
		warn(report, line)
	}
	if n := h.Bad(); n > 0 {
		warn(report, fmt.Sprintf("%s: %d of %d blocks are bad; %d were made again from the recovery record, %d taken from another copy; the medium stays as it is", all[0].Path, n, len(h.Record.Blocks), h.Rebuilt, h.Copied))
	}
}

// maxRanges bounds the damaged stretches that are described one by one.
const maxRanges = 20

// Describe says for people what a healing found: each damaged stretch with its part and the artifacts that lie there, and
// what is odd about the files. all are the bundles of the file, at least one.
func Describe(all []*Bundle, h *recovery.Healing) []string {
	var lines []string
	b := all[0]
	ranges := h.Ranges()
	for _, r := range ranges[:min(len(ranges), maxRanges)] {
		e := b.place(&DamageError{Path: b.Path, Artifact: at(all, r.Offset, r.Length), Offset: r.Offset, Length: r.Length, Err: errors.New(r.Verdict.String())})
		lines = append(lines, e.Error())
	}
	if n := len(ranges) - maxRanges; n > 0 {
		lines = append(lines, fmt.Sprintf("%s: and %d more stretches", b.Path, n))
	}
	return append(lines, h.Notes...)
}

// at names what lies in a stretch of the file.
func at(all []*Bundle, off, n int64) string {
	first, count := "", 0
	seen := map[Digest]bool{}
	for _, b := range all {
		a, ok := b.src.(*archive)
		for _, s := range b.blobs {
			if !ok || seen[s.Digest] {
				continue
			}
			if e, ok := a.blobs[s.Digest]; ok && e.offset < off+n && off < e.offset+e.size {
				seen[s.Digest] = true
				if count++; count == 1 {
					first = s.Name
				}
			}
		}
	}
	switch count {
	case 0:
		return "the tar around the artifacts"
	case 1:
		return first
	}
	return fmt.Sprintf("%s and %d more", first, count-1)
}

// Heal makes the file of the bundle readable where it is damaged, from other copies beside it or its recovery record, without
// writing to the medium. The bundle stays the one that was opened: a record that would make another one of it is refused. Errors are
// those of recovery.Pieces.Heal.
func (b *Bundle) Heal(ctx context.Context, report progress.Func) error {
	p := b.pieces()
	if p == nil {
		return fmt.Errorf("%s: %w", b.Path, recovery.ErrNoRecord)
	}
	healing, err := p.Heal(ctx, repairProgress(p, report))
	if err != nil {
		if healing != nil {
			for _, line := range Describe([]*Bundle{b}, healing) {
				warn(report, line)
			}
		}
		return err
	}
	again, err := openIn(p, nil, Options{Trust: b.trust})
	if err == nil && !slices.ContainsFunc(again, func(o *Bundle) bool { return o.RootDigest == b.RootDigest }) {
		err = &recovery.OtherBuildError{Path: b.Path, Record: filepath.Base(b.Path) + recovery.Suffix}
	}
	if err != nil {
		p.Forgo()
		return err
	}
	tell(again, healing, report)
	return nil
}

// Examine is Heal without repairing: it says what is bad and whether the record could repair it.
func (b *Bundle) Examine(ctx context.Context, report progress.Func) (*recovery.Healing, error) {
	p := b.pieces()
	if p == nil {
		return nil, fmt.Errorf("%s: %w", b.Path, recovery.ErrNoRecord)
	}
	return p.Examine(ctx, repairProgress(p, report))
}

// VerifyAllRepairing is VerifyAll for bundles that are about to be used: what a second reading or the recovery record can
// repair is reported as a warning and is no fault. The bundles are of one file.
func VerifyAllRepairing(ctx context.Context, bundles []*Bundle, report progress.Func) []error {
	faults := serious(VerifyAll(ctx, bundles, report), report)
	if len(faults) == 0 || ctx.Err() != nil {
		return faults
	}
	switch err := bundles[0].Heal(ctx, report); {
	case errors.Is(err, recovery.ErrNoRecord):
		return faults
	case err != nil:
		return append(faults, err)
	}
	return serious(VerifyAll(ctx, bundles, report), report)
}

// serious leaves out the faults of the reader that a second reading set right. Whatever is used is compared with its digest
// once more.
func serious(faults []error, report progress.Func) []error {
	var left []error
	for _, f := range faults {
		var damage *DamageError
		if errors.As(f, &damage) && damage.Verdict == recovery.RightLater {
			warn(report, f.Error())
			continue
		}
		left = append(left, f)
	}
	return left
}
