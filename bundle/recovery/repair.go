package recovery

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Repaired says what Repair did.
type Repaired struct {
	Healing *Healing
	Written []string // files that were written anew, by name
	Renamed []string // files that got their right names back
	Record  bool     // the record was written anew
}

// Nothing reports whether all was right.
func (r *Repaired) Nothing() bool { return len(r.Written)+len(r.Renamed) == 0 && !r.Record }

// SpaceError says that a medium has no room for a file that is to be written beside the damaged one.
type SpaceError struct {
	Dir        string
	Need, Free int64 // bytes
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("%s has %d bytes free, and %d are needed to write the repaired file beside the damaged one", e.Dir, e.Free, e.Need)
}

// Repair mends the file at path on its medium, and its record: each damaged file is written anew beside the old one, synced,
// and put in its place. It can be interrupted at any moment and done again. free tells how many bytes a directory has room
// for; nil, or an answer of false, is not known. Errors are those of Find and Heal, *SpaceError, or the system's.
func Repair(ctx context.Context, path string, free func(dir string) (int64, bool), advance func(int64)) (*Repaired, error) {
	p, err := Find(path)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	res := &Repaired{}
	res.Healing, err = p.Heal(ctx, advance)
	if err != nil {
		return res, err
	}
	if err := p.mend(ctx, res, free); err != nil {
		return res, err
	}
	if len(res.Written)+len(res.Renamed) > 0 {
		if err := proof(ctx, p.Path, res.Healing.Record); err != nil {
			return res, err
		}
	}
	return res, mendRecord(ctx, p.Path, res)
}

// mend gives files their names back and then writes the damaged ones anew.
func (p *Pieces) mend(ctx context.Context, res *Repaired, free func(string) (int64, bool)) error {
	dir := filepath.Dir(p.Path)
	if err := p.rename(dir, res); err != nil {
		return err
	}
	bad := map[string]bool{}
	for _, d := range res.Healing.Files {
		bad[d.Want] = d.Bad > 0
	}
	for i, part := range p.Parts() {
		if !bad[part.Want] && part.Have == part.Length {
			continue
		}
		if room, ok := room(free, dir); ok && room < part.Length {
			return &SpaceError{dir, part.Length, room}
		}
		if err := p.rewrite(ctx, i, filepath.Join(dir, part.Want)); err != nil {
			return err
		}
		res.Written = append(res.Written, part.Want)
	}
	return nil
}

// rename gives files their names back: all of them another name first, since two may have each other's. That name is found
// again by what is in the file, should this be interrupted.
func (p *Pieces) rename(dir string, res *Repaired) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.copies { // what they have is kept by now, and some systems replace no file that is open
		c.file.Close()
	}
	p.copies = nil
	var misnamed []*Part
	for i := range p.parts {
		if part := &p.parts[i]; part.file != nil && part.Name != part.Want {
			misnamed = append(misnamed, part)
		}
	}
	move := func(part *Part, to string) error {
		part.file.Close()
		err := os.Rename(filepath.Join(dir, part.Name), filepath.Join(dir, to))
		if err == nil {
			part.Name = to
			part.file, err = os.Open(filepath.Join(dir, to))
		}
		if err != nil {
			return fmt.Errorf("giving %s its name back: %w", part.Want, err)
		}
		return nil
	}
	for _, part := range misnamed {
		if err := move(part, part.Want+".moving"); err != nil {
			return err
		}
	}
	for _, part := range misnamed {
		if err := move(part, part.Want); err != nil {
			return err
		}
		res.Renamed = append(res.Renamed, part.Want)
	}
	return syncDir(dir)
}

func room(free func(string) (int64, bool), dir string) (int64, bool) {
	if free == nil {
		return 0, false
	}
	return free(dir)
}

// rewrite writes part i anew from the healed bytes.
func (p *Pieces) rewrite(ctx context.Context, i int, target string) error {
	part := p.Parts()[i]
	mode := os.FileMode(0o600)
	if part.file != nil {
		if info, err := part.file.Stat(); err == nil {
			mode = info.Mode().Perm()
		}
	}
	return replaceFile(target, mode, func(f *os.File) error {
		if _, err := io.Copy(f, stoppable{ctx, io.NewSectionReader(p, part.Start, part.Length)}); err != nil {
			return err
		}
		p.letGo(i) // some systems replace no file that is open
		return nil
	})
}

func (p *Pieces) letGo(i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parts[i].file != nil {
		p.parts[i].file.Close()
		p.parts[i].file = nil
	}
}

type stoppable struct {
	ctx context.Context //nolint:containedctx // a reader has no other way to be stopped
	r   io.Reader
}

// Read implements io.Reader.
func (s stoppable) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(b)
}

// proof reads what was written from the medium and compares it with the record.
func proof(ctx context.Context, path string, rec *Record) error {
	p, err := Find(path)
	if err != nil {
		return err
	}
	defer p.Close()
	p.Forget(0, p.Size())
	h := sha256.New()
	if _, err := io.Copy(h, stoppable{ctx, io.NewSectionReader(p, 0, p.Size())}); err != nil {
		return fmt.Errorf("reading back %s: %w", path, err)
	}
	if Sum(h.Sum(nil)) != rec.SHA256 {
		return fmt.Errorf("reading back %s: it is not what was written; the medium does not keep what it is given", path)
	}
	return nil
}

// mendRecord makes a damaged record anew. The file is whole by now.
func mendRecord(ctx context.Context, path string, res *Repaired) error {
	rec, err := openBeside(path)
	if err != nil {
		return err
	}
	damage, err := rec.Check(ctx)
	if err = errors.Join(err, rec.Close()); err != nil || damage.Whole() && rec.Path == path+Suffix {
		return err
	}
	p, err := Find(path)
	if err != nil {
		return err
	}
	defer p.Close()
	_, err = createBeside(ctx, p, Spec{Name: rec.Name, Size: rec.Size, Parity: len(rec.Parity)}, path+Suffix, nil)
	res.Record = err == nil
	return err
}
