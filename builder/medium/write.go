// Package medium writes a finished build to a stick, a disk or a directory from which hosts are installed.
//
// It looks at the file system first, splits what is too large for it, adds recovery records and a run sheet, and says that a
// medium is done only when everything was read back from it. Interrupted and done again it finishes; what is right already
// is not written again; files of an older build are recognised by the list that it left, and files of others are not touched.
package medium

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"offgrid/builder"
	"offgrid/bundle"
	"offgrid/bundle/medium"
	"offgrid/bundle/progress"
)

// Options says what to write where.
type Options struct {
	Source   string // dist/ of a site
	Target   string // directory on the medium; it is made when only its last element is missing
	Parity   int    // percent of each file's size, 0 to 100
	PartSize int64  // bytes at most of each file on the medium; 0: what the file system allows
	Report   progress.Func
}

// Result says what is on the medium.
type Result struct {
	Target  string     `json:"target"`
	System  FileSystem `json:"fileSystem"`
	Same    bool       `json:"sameFileSystem"` // as the source: if a medium was meant, it is not mounted there
	Files   []string   `json:"files"`          // everything of ours, sorted
	Written []string   `json:"written"`        // of these, what was not right already
	Removed []string   `json:"removed"`        // of an older build
	Split   []string   `json:"split"`          // what is in parts
	Bytes   int64      `json:"bytes"`          // of all files
}

// ForeignError says that the medium has files of names that are needed, and that are not ours.
type ForeignError struct {
	Dir   string
	Names []string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s has files that bundle write did not write and would have to replace: %s", e.Dir, strings.Join(e.Names, ", "))
}

// RoomError says that a medium is too small.
type RoomError struct {
	Dir        string
	Need, Free int64 // bytes
}

func (e *RoomError) Error() string {
	return fmt.Sprintf("%s has %d bytes free and %d are needed", e.Dir, e.Free, e.Need)
}

// ReadOnlyError says that a medium takes no writing.
type ReadOnlyError struct{ Dir, Kind string }

func (e *ReadOnlyError) Error() string {
	return fmt.Sprintf("%s is read-only (%s)", e.Dir, e.Kind)
}

// TargetError says that a directory cannot be the target.
type TargetError struct {
	Dir string
	Err error
}

func (e *TargetError) Error() string { return fmt.Sprintf("%s: %v", e.Dir, e.Err) }
func (e *TargetError) Unwrap() error { return e.Err }

// MediumError says that a medium does not keep what it is given.
type MediumError struct{ Path string }

func (e *MediumError) Error() string {
	return e.Path + ": what was read back is not what was written: this medium, its reader or this machine's memory is bad"
}

// writer does the work of one Write.
type writer struct {
	opts    Options
	fs      FileSystem
	sources []source
	scratch string // for records, beside dist/
	old     *medium.Manifest
	item    progress.Event
	said    int64
}

// Write writes the build. On return without an error everything is on the medium and was read back.
func Write(ctx context.Context, o Options) (*Result, error) {
	w := &writer{opts: o}
	if err := w.look(); err != nil {
		return nil, err
	}
	forgotten(o.Source)
	scratch, err := os.MkdirTemp(o.Source, scratchMark+"*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	w.scratch = scratch
	l, err := w.plan(ctx)
	if err != nil {
		return nil, err
	}
	right, err := w.compare(ctx, l)
	if err != nil {
		return nil, err
	}
	if err := w.room(l, right); err != nil {
		return nil, err
	}
	res := &Result{Target: o.Target, System: w.fs, Same: sameDevice(o.Source, o.Target), Bytes: l.size(), Files: l.names(), Written: []string{}, Removed: []string{}, Split: append([]string{}, l.split...)}
	slices.Sort(res.Files)
	return res, w.write(ctx, l, right, res)
}

// scratchMark begins the name of the directory beside dist/'s files in which records are made.
const scratchMark = ".write-"

// forgotten removes the scratch directories that killed runs left. A younger one may be at work for another stick.
func forgotten(source string) {
	entries, err := os.ReadDir(source)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && e.IsDir() && strings.HasPrefix(e.Name(), scratchMark) && time.Since(info.ModTime()) > 24*time.Hour {
			os.RemoveAll(filepath.Join(source, e.Name()))
		}
	}
}

// look finds out about source and medium.
func (w *writer) look() error {
	o := &w.opts
	var err error
	if w.sources, err = sources(o.Source); err != nil {
		return err
	}
	if err := os.Mkdir(o.Target, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return &TargetError{o.Target, err}
	}
	info, err := os.Stat(o.Target)
	if err != nil {
		return &TargetError{o.Target, err}
	}
	if !info.IsDir() {
		return &TargetError{o.Target, errors.New("it is not a directory; name the directory where the medium is mounted")}
	}
	if from, err := os.Stat(o.Source); err == nil && os.SameFile(from, info) {
		return &TargetError{o.Target, errors.New("that is what would be copied")}
	}
	if w.fs, err = Look(o.Target); err != nil {
		return err
	}
	if w.fs.ReadOnly {
		return &ReadOnlyError{o.Target, w.fs.Kind}
	}
	w.old, err = medium.Read(o.Target)
	return err
}

// compare finds out what is on the medium already, read from the medium itself, and refuses to touch what is not ours.
func (w *writer) compare(ctx context.Context, l *layout) (map[string]bool, error) {
	ours := map[string]bool{medium.Name: true}
	if w.old != nil {
		for _, name := range w.old.Names() {
			ours[name] = true
		}
	}
	right := map[string]bool{}
	foreign := &ForeignError{Dir: w.opts.Target}
	for _, p := range l.pieces {
		path := filepath.Join(w.opts.Target, p.name)
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() && info.Size() == p.size {
			w.begin("compare", p.name, p.size)
			sum, _, err := digestFile(ctx, path)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			w.end()
			right[p.name] = err == nil && sum == p.sum
		}
		if !right[p.name] && !ours[p.name] {
			foreign.Names = append(foreign.Names, p.name)
		}
	}
	if len(foreign.Names) > 0 {
		return nil, foreign
	}
	return right, nil
}

// slack is what the file system itself may need: directory entries, and the rest of each file's last cluster.
const slack = 1 << 20

// room refuses a medium that is too small before anything is changed on it.
func (w *writer) room(l *layout, right map[string]bool) error {
	if w.fs.Free < 0 {
		return nil
	}
	need, free := int64(slack), w.fs.Free
	for _, p := range l.pieces {
		if !right[p.name] {
			need += p.size + 64<<10
		}
	}
	for _, name := range w.stale(l, right) {
		if info, err := os.Lstat(filepath.Join(w.opts.Target, name)); err == nil {
			free += info.Size()
		}
	}
	if need > free {
		return &RoomError{w.opts.Target, need, free}
	}
	return nil
}

// stale lists what is ours on the medium and is not right, or not wanted any more.
func (w *writer) stale(l *layout, right map[string]bool) []string {
	if w.old == nil {
		return nil
	}
	return slices.DeleteFunc(w.old.Names(), func(name string) bool {
		return name == medium.Name || right[name]
	})
}

// write changes the medium: first the list says that it is unfinished, last that it is complete.
func (w *writer) write(ctx context.Context, l *layout, right map[string]bool, res *Result) error {
	done := w.old != nil && w.old.State == medium.Complete && len(w.stale(l, right)) == 0
	for _, p := range l.pieces {
		done = done && right[p.name]
	}
	if !done {
		if w.old != nil {
			l.list.Old = slices.DeleteFunc(w.old.Names(), func(name string) bool { return slices.Contains(l.names(), name) })
		}
		if err := w.list(l); err != nil {
			return err
		}
		if err := w.clean(l, right, res); err != nil {
			return err
		}
	}
	for i := range l.pieces {
		p := &l.pieces[i]
		if right[p.name] {
			continue
		}
		if err := w.copy(ctx, p); err != nil {
			return err
		}
		res.Written = append(res.Written, p.name)
	}
	if err := flush(w.opts.Target); err != nil {
		return err
	}
	if err := w.readBack(ctx, l, right); err != nil {
		return err
	}
	l.list.State, l.list.Old = medium.Complete, nil
	if err := w.list(l); err != nil {
		return err
	}
	return flush(w.opts.Target)
}

// list writes the list of what is on the medium.
func (w *writer) list(l *layout) error {
	data, err := l.list.Marshal()
	if err != nil {
		return err
	}
	return builder.WriteFile(filepath.Join(w.opts.Target, medium.Name), 0o600, func(f io.Writer) error {
		_, err := f.Write(data)
		return err
	})
}

// clean removes what is ours and not right, and what a killed run left half written.
func (w *writer) clean(l *layout, right map[string]bool, res *Result) error {
	for _, name := range w.stale(l, right) {
		err := os.Remove(filepath.Join(w.opts.Target, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !slices.Contains(l.names(), name) {
			res.Removed = append(res.Removed, name)
		}
	}
	entries, err := os.ReadDir(w.opts.Target)
	if err != nil {
		return err
	}
	for _, name := range append(l.names(), l.list.Old...) {
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), "."+name+".new-") {
				if err := os.Remove(filepath.Join(w.opts.Target, e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// copy writes one file: all of it or nothing.
func (w *writer) copy(ctx context.Context, p *piece) error {
	r, err := p.open()
	if err != nil {
		return err
	}
	defer r.Close()
	w.begin("write", p.name, p.size)
	err = builder.WriteFile(filepath.Join(w.opts.Target, p.name), p.mode, func(f io.Writer) error {
		_, err := io.Copy(f, counting{w, bundle.Stoppable(ctx, r)})
		return err
	})
	w.end()
	return err
}

// readBack compares what was written with what the medium gives, past what the system keeps in memory.
func (w *writer) readBack(ctx context.Context, l *layout, right map[string]bool) error {
	for _, p := range l.pieces {
		if right[p.name] {
			continue // read from the medium a moment ago
		}
		path := filepath.Join(w.opts.Target, p.name)
		w.begin("read back", p.name, p.size)
		sum, _, err := digestFile(ctx, path)
		if err != nil {
			return fmt.Errorf("reading back %s: %w", path, err)
		}
		if sum != p.sum {
			return &MediumError{path}
		}
		w.end()
	}
	return nil
}

func (w *writer) begin(phase, name string, total int64) {
	w.item, w.said = progress.Event{Phase: phase, Item: name, Kind: progress.Start, Total: total}, 0
	w.opts.Report.Report(w.item)
}

func (w *writer) advance(n int64) {
	w.item.Kind, w.item.Done = progress.Advance, w.item.Done+n
	if w.item.Done-w.said >= 1<<22 {
		w.said = w.item.Done
		w.opts.Report.Report(w.item)
	}
}

func (w *writer) end() {
	w.item.Kind, w.item.Done = progress.Done, w.item.Total
	w.opts.Report.Report(w.item)
}

// counting reports what is read.
type counting struct {
	w *writer
	r io.Reader
}

// Read implements io.Reader.
func (c counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.w.advance(int64(n))
	return n, err
}
