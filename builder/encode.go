package builder

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"path"

	"offgrid/builder/internal/archive"
	"offgrid/builder/internal/store"
	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// encoder turns content into the bytes that bundles hold, and remembers what it did: by the content's digest, the codec
// and what was looked for in it, so that a second build reads nothing.
type encoder struct {
	store  *Store
	report progress.Func
	// turn is taken while something is encoded: one encoder already uses all processors, and each holds about 50 MB.
	turn chan struct{}
}

func newEncoder(s *Store, report progress.Func) *encoder {
	return &encoder{store: s, report: report, turn: make(chan struct{}, 1)}
}

func encodedKey(content bundle.Digest, contains string) bundle.Digest {
	return store.RecordKey("encoded", bundle.CodecID, content.String(), contains)
}

func memberKey(archive bundle.Digest, path, contains string) bundle.Digest {
	return store.RecordKey("member", archive.String(), path, contains)
}

// known returns what is remembered about content, when its stored bytes are still there.
func (x *encoder) known(content bundle.Digest, contains string) (bundle.Blob, bool) {
	var b bundle.Blob
	data, ok := x.store.Record(encodedKey(content, contains))
	if !ok || json.Unmarshal(data, &b) != nil || b.Digest != content {
		return bundle.Blob{}, false
	}
	size, err := x.store.Size(b.Stored)
	return b, err == nil && size == b.StoredSize
}

// archive reads the wanted members of an archive in one pass, unless all are known. What the entry says about a member's
// size and digest is checked, and filled in where it says nothing yet: only when the archive's own digest, taken in the
// same pass, is still the entry's, for a disk may have changed it since it was fetched.
func (x *encoder) archive(ctx context.Context, e *LockEntry) error {
	if x.archiveKnown(e) {
		return nil
	}
	select {
	case x.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-x.turn }()
	f, err := x.store.Open(e.SHA256)
	if err != nil {
		return err
	}
	defer f.Close()
	byPath := map[string]*LockMember{}
	var paths []string
	for i := range e.Members {
		byPath[path.Clean(e.Members[i].Path)] = &e.Members[i]
		paths = append(paths, e.Members[i].Path)
	}
	sum := sha256.New()
	read := map[string]bundle.Blob{}
	err = archive.Read(ctx, io.TeeReader(f, sum), paths, func(found archive.Member, r io.Reader) error {
		m := byPath[found.Path]
		b, err := x.encode(ctx, content{name: m.Name, size: found.Size, contains: m.Contains, want: m.SHA256}, r)
		read[found.Path] = b
		return err
	})
	if err != nil {
		return err
	}
	if _, err := io.Copy(sum, f); err != nil { // what comes after the last wanted member
		return err
	}
	if got := bundle.Digest(sum.Sum(nil)); got != e.SHA256 {
		return &bundle.DigestError{Name: "the copy in the store", Want: e.SHA256, Got: got, Size: e.Size}
	}
	for name, b := range read {
		m := byPath[name]
		m.Size, m.SHA256 = b.Size, b.Digest
		if err := x.store.PutRecord(memberKey(e.SHA256, m.Path, m.Contains), []byte(b.Digest.String())); err != nil {
			return err
		}
	}
	return nil
}

// archiveKnown fills in the members from memory, when all are there.
func (x *encoder) archiveKnown(e *LockEntry) bool {
	found := make([]bundle.Blob, len(e.Members))
	for i, m := range e.Members {
		d := m.SHA256
		if d.IsZero() {
			data, ok := x.store.Record(memberKey(e.SHA256, m.Path, m.Contains))
			if !ok || d.UnmarshalText(data) != nil {
				return false
			}
		}
		b, ok := x.known(d, m.Contains)
		if !ok || m.Size != 0 && m.Size != b.Size {
			return false
		}
		found[i] = b
	}
	for i, b := range found {
		e.Members[i].Size, e.Members[i].SHA256 = b.Size, b.Digest
	}
	return true
}

// file encodes a download that is shipped as it is.
func (x *encoder) file(ctx context.Context, e *LockEntry) (bundle.Blob, error) {
	if b, ok := x.known(e.SHA256, ""); ok {
		return b, nil
	}
	select {
	case x.turn <- struct{}{}:
	case <-ctx.Done():
		return bundle.Blob{}, context.Cause(ctx)
	}
	defer func() { <-x.turn }()
	f, err := x.store.Open(e.SHA256)
	if err != nil {
		return bundle.Blob{}, err
	}
	defer f.Close()
	return x.encode(ctx, content{name: e.ID, size: e.Size, want: e.SHA256}, f)
}

// content is something to be encoded.
type content struct {
	name     string
	size     int64
	contains string
	want     bundle.Digest // zero: not known yet
}

// encode writes the content's stored form into the store and remembers it.
func (x *encoder) encode(ctx context.Context, c content, r io.Reader) (bundle.Blob, error) {
	x.report.Report(progress.Event{Phase: "encode", Item: c.name, Kind: progress.Start, Total: c.size})
	w, err := x.store.Create()
	if err != nil {
		return bundle.Blob{}, err
	}
	defer w.Abort()
	s := &searcher{r: r, text: []byte(c.contains), advance: func(n int64) {
		x.report.Report(progress.Event{Phase: "encode", Item: c.name, Kind: progress.Advance, Done: n, Total: c.size})
	}}
	b, err := bundle.Encode(ctx, s, w, 0)
	if err != nil {
		return bundle.Blob{}, err
	}
	if !c.want.IsZero() && b.Digest != c.want {
		return bundle.Blob{}, &bundle.DigestError{Name: c.name, Want: c.want, Got: b.Digest, Size: b.Size}
	}
	if b.Size == 0 {
		return bundle.Blob{}, fmt.Errorf("%s is empty", c.name)
	}
	if !s.found() {
		return bundle.Blob{}, fmt.Errorf("%q is nowhere in %s: it is not the version that it is said to be", c.contains, c.name)
	}
	if err := w.Commit(b.Stored); err != nil {
		return bundle.Blob{}, err
	}
	data, err := json.Marshal(b)
	if err == nil {
		err = x.store.PutRecord(encodedKey(b.Digest, c.contains), data)
	}
	if err != nil {
		return bundle.Blob{}, fmt.Errorf("remembering %s: %w", c.name, err)
	}
	x.report.Report(progress.Event{Phase: "encode", Item: c.name, Kind: progress.Done, Done: b.Size, Total: b.Size})
	return b, nil
}

// advanceEvery is how many bytes lie between two Advance events of the encoder.
const advanceEvery = 8 << 20

// searcher looks for a text in what passes through it.
type searcher struct {
	r       io.Reader
	text    []byte
	hit     bool
	tail    []byte // the end of what passed, one byte shorter than the text
	passed  int64
	advance func(int64)
}

func (s *searcher) found() bool { return s.hit || len(s.text) == 0 }

// Read implements io.Reader.
func (s *searcher) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if (s.passed+int64(n))/advanceEvery > s.passed/advanceEvery {
		s.advance(s.passed + int64(n))
	}
	s.passed += int64(n)
	if !s.found() && n > 0 {
		s.look(p[:n])
	}
	return n, err
}

func (s *searcher) look(p []byte) {
	keep := len(s.text) - 1
	// The seam: the kept end and as much of the new beginning.
	seam := append(s.tail, p[:min(keep, len(p))]...)
	s.hit = bytes.Contains(seam, s.text) || bytes.Contains(p, s.text)
	if len(p) >= keep {
		s.tail = append(s.tail[:0], p[len(p)-keep:]...)
	} else {
		s.tail = append([]byte(nil), seam[max(0, len(seam)-keep):]...)
	}
}
