package builder

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"

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
	level  bundle.Level
	codec  *bundle.Encoder
	// turn is taken while something is read that is encoded: two keep all processors busy, also while one of them waits for
	// the disk.
	turn chan struct{}
}

func newEncoder(s *Store, level bundle.Level, report progress.Func) (*encoder, error) {
	codec, err := bundle.NewEncoder(level, 0)
	if err != nil {
		return nil, err
	}
	return &encoder{store: s, report: report, level: level, codec: codec, turn: make(chan struct{}, 2)}, nil
}

func encodedKey(level bundle.Level, content bundle.Digest, contains string) bundle.Digest {
	return store.RecordKey("encoded", level.CodecID(), content.String(), contains)
}

func memberKey(archive bundle.Digest, path, contains string) bundle.Digest {
	return store.RecordKey("member", archive.String(), path, contains)
}

// known returns what is remembered about content, when its stored bytes are still there.
func (x *encoder) known(content bundle.Digest, contains string) (bundle.Blob, bool) {
	var b bundle.Blob
	data, ok := x.store.Record(encodedKey(x.level, content, contains))
	if !ok || json.Unmarshal(data, &b) != nil || b.Digest != content {
		return bundle.Blob{}, false
	}
	size, err := x.store.Size(b.Stored)
	return b, err == nil && size == b.StoredSize
}

// archive reads those wanted members of an archive that are not known, in one pass. What the entry says about a member's
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
	p := x.pass(ctx, e)
	sum := sha256.New()
	err = archive.Read(p.ctx, io.TeeReader(f, sum), p.wanted(), p.take)
	read, failed := p.wait()
	if failed != nil {
		return failed // err follows from it
	}
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
		m := p.members[name]
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
	b, err := x.codec.Encode(ctx, s, w)
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
		err = x.store.PutRecord(encodedKey(x.level, b.Digest, c.contains), data)
	}
	if err != nil {
		return bundle.Blob{}, fmt.Errorf("remembering %s: %w", c.name, err)
	}
	x.report.Report(progress.Event{Phase: "encode", Item: c.name, Kind: progress.Done, Done: b.Size, Total: b.Size})
	return b, nil
}
