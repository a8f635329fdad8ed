// Package medium is the list that `bundle write` leaves on a medium: what of it is ours, of which build, and whether writing
// was finished. A medium without such a list was filled by hand, and is as good.
package medium

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"offgrid/bundle/recovery"
)

// Name is the name of the list on the medium.
const Name = "offgrid.json"

// Format is the number of the list's format.
const Format = 1

// States of a medium.
const (
	Writing  = "writing"  // not finished: files of two builds may be here
	Complete = "complete" // everything was read back and is right
)

const (
	maxSize  = 4 << 20 // bytes of a list
	maxFiles = 4096
)

// Manifest is the list.
type Manifest struct {
	Format int    `json:"format"`
	State  string `json:"state"`
	Files  []File `json:"files"` // what the medium is to hold, sorted by name
	// Old are names that earlier writings used and that may still be here until this one is finished.
	Old []string `json:"old,omitempty"`
}

// File is one file that the medium holds, whole or in parts.
type File struct {
	Name     string   `json:"name"`
	Size     int64    `json:"size"` // bytes of the whole
	SHA256   string   `json:"sha256"`
	Roots    []string `json:"roots,omitempty"`    // of the bundles in it: what identifies them
	PartSize int64    `json:"partSize,omitempty"` // bytes of each part but the last; 0: it is whole
	Record   bool     `json:"record,omitempty"`   // it has a recovery record beside it
}

// Names lists the names that the file has on the medium, its record's too.
func (f *File) Names() []string {
	names := []string{f.Name}
	if f.PartSize > 0 {
		names = nil
		for at, n := int64(0), 1; at < f.Size; at, n = at+f.PartSize, n+1 {
			names = append(names, recovery.PartName(f.Name, n))
		}
	}
	if f.Record {
		names = append(names, f.Name+recovery.Suffix)
	}
	return names
}

// Names lists everything on the medium that is ours: what is there, and what may be.
func (m *Manifest) Names() []string {
	names := append([]string{Name}, m.Old...)
	for _, f := range m.Files {
		names = append(names, f.Names()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// File finds a file by its name.
func (m *Manifest) File(name string) (File, bool) {
	for _, f := range m.Files {
		if f.Name == name {
			return f, true
		}
	}
	return File{}, false
}

// Marshal returns the list as it is written.
func (m *Manifest) Marshal() ([]byte, error) {
	if err := m.validate(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	err := enc.Encode(m)
	return b.Bytes(), err
}

// Parse reads a list. It accepts what Marshal writes.
func Parse(data []byte) (*Manifest, error) {
	var m Manifest
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if len(data) > maxSize {
		return nil, fmt.Errorf("%d bytes", len(data))
	}
	if err := dec.Decode(&m); err != nil {
		return nil, err
	}
	again, err := m.Marshal()
	if err == nil && !bytes.Equal(again, data) {
		err = errors.New("it is not in its canonical form")
	}
	return &m, err
}

func (m *Manifest) validate() error {
	switch {
	case m.Format != Format:
		return fmt.Errorf("format %d; this program reads %d", m.Format, Format)
	case m.State != Writing && m.State != Complete:
		return fmt.Errorf("state %q", m.State)
	case len(m.Files) > maxFiles || len(m.Old) > maxFiles:
		return fmt.Errorf("%d files", max(len(m.Files), len(m.Old)))
	case m.Files == nil:
		return errors.New("no files")
	}
	for _, f := range m.Files {
		if !local(f.Name) || f.Size < 0 || f.PartSize < 0 || f.PartSize > 0 && (f.Size-1)/f.PartSize >= maxFiles {
			return fmt.Errorf("file %q of %d bytes in parts of %d", f.Name, f.Size, f.PartSize)
		}
	}
	for _, name := range m.Old {
		if !local(name) {
			return fmt.Errorf("file %q", name)
		}
	}
	return nil
}

// local says whether a name is one of a file in the medium's directory: what is removed goes by these names.
func local(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 255 && filepath.Base(name) == name && filepath.IsLocal(name)
}

// ListError says that a list cannot be read.
type ListError struct {
	Path string
	Err  error
}

func (e *ListError) Error() string {
	return fmt.Sprintf("%s: it does not say what is on this medium: %v", e.Path, e.Err)
}
func (e *ListError) Unwrap() error { return e.Err }

// Read reads the list in dir; nil when there is none. Errors are *ListError or the system's.
func Read(dir string) (*Manifest, error) {
	path := filepath.Join(dir, Name)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err
	}
	m, err := Parse(data)
	if err != nil {
		return nil, &ListError{path, err}
	}
	return m, nil
}

// UnfinishedError says that a file is not of the build that the medium was to get when writing it was interrupted.
type UnfinishedError struct{ Dir, Name string }

func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("%s: writing this medium was not finished, and %s on it is of another build than the one that was being written", e.Dir, e.Name)
}

// Check looks whether the file at path, with bundles of these roots, may be used: not when the medium is unfinished and the
// file is not of the build that was being written. unfinished says that it is, and may.
func Check(path string, roots []string) (unfinished bool, err error) {
	dir, name := filepath.Dir(path), filepath.Base(path)
	m, err := Read(dir)
	var list *ListError
	if m == nil || m.State != Writing || errors.As(err, &list) {
		return false, nil // a list that cannot be read is no reason to refuse a bundle that is whole
	}
	if err != nil {
		return false, err
	}
	f, ok := m.File(name)
	for _, root := range roots {
		ok = ok && slices.Contains(f.Roots, root)
	}
	if !ok {
		return true, &UnfinishedError{dir, name}
	}
	return true, nil
}
