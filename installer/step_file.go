package installer

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"offgrid/bundle"
	"offgrid/installer/host"
)

const kindFile = "file"

// savedSuffix is what a file of ours that somebody changed is kept under when it is taken back.
const savedSuffix = ".offgrid-saved"

// FileStep makes Path a regular file with this content, mode and owner. A link that is there is replaced, a directory is
// a conflict. Its parent directory must exist.
type FileStep struct {
	Path    string
	Meta    host.Meta
	Digest  bundle.Digest // of the content
	Size    int64         // of the content, bytes
	Content func(ctx context.Context) (io.ReadCloser, error)
	Secret  bool   // what it replaces is kept out of the journal's records
	Why     string // one clause for the plan

	written bool // this process wrote it and took its digest on the way
	gone    bool // only the medium has its content
}

// fileBefore is a FileStep's begin record.
type fileBefore struct {
	Ours bundle.Digest `json:"ours"` // what Do is about to write
	Was  *snapshot     `json:"was,omitempty"`
}

// ID implements Step.
func (s *FileStep) ID() string { return kindFile + ":" + s.Path }

// Line implements Step.
func (s *FileStep) Line() Line { return Line{Verb: "write", Object: s.Path, Why: s.Why} }

// Check implements Step. What this process wrote itself is not hashed a second time.
func (s *FileStep) Check(_ context.Context, h host.Host) (Status, error) {
	info, err := h.Lstat(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return Status{State: Needed, Why: "it is not there"}, nil
	}
	switch {
	case err != nil:
		return Status{}, err
	case info.IsDir():
		return Status{State: Conflict, Why: fmt.Sprintf("%s is a directory", s.Path)}, nil
	case !info.Mode().IsRegular():
		return Status{State: Needed, Why: "it is not a regular file"}, nil
	case info.Size() != s.Size:
		return Status{State: Needed, Why: "its content differs"}, nil
	}
	same, err := sameMeta(h, s.Path, info, s.Meta)
	if err != nil {
		return Status{}, err
	}
	if !same {
		return Status{State: Needed, Why: "its mode or owner differs"}, nil
	}
	if s.written {
		return Status{State: Satisfied}, nil
	}
	got, _, err := host.DigestFile(h, s.Path)
	if err != nil {
		return Status{}, err
	}
	if got != s.Digest {
		return Status{State: Needed, Why: "its content differs"}, nil
	}
	return Status{State: Satisfied}, nil
}

// Before implements Undoer.
func (s *FileStep) Before(_ context.Context, h host.Host, again bool) (json.RawMessage, error) {
	b := fileBefore{Ours: s.Digest}
	if !again {
		was, err := takeSnapshot(h, s.Path, s.Secret)
		if err != nil {
			return nil, err
		}
		b.Was = &was
	}
	return json.Marshal(b)
}

// Do implements Step. Nothing is visible under Path unless every byte of it has been checked.
func (s *FileStep) Do(ctx context.Context, h host.Host) error {
	r, err := s.Content(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := h.Write(s.Path, s.checked(r), s.Meta); err != nil {
		return err
	}
	s.written = true
	return nil
}

// checked compares what is read or placed with what the step promises.
func (s *FileStep) checked(r io.Reader) io.Reader {
	c := &checkedReader{r: r, name: s.Path, want: s.Digest, size: s.Size, hash: sha256.New()}
	if p, ok := r.(host.Placer); ok {
		return checkedPlacer{c, p}
	}
	return c
}

// checkedPlacer is a checkedReader whose content takes its own digest when it is placed.
type checkedPlacer struct {
	*checkedReader
	placer host.Placer
}

// Place implements host.Placer.
func (c checkedPlacer) Place(w io.WriterAt) (bundle.Digest, int64, error) {
	got, size, err := c.placer.Place(w)
	if err == nil && (got != c.want || size != c.size) {
		err = &bundle.DigestError{Name: c.name, Want: c.want, Got: got, Size: size}
	}
	return got, size, err
}

// checkedReader turns the end of a content that is not the promised one into an error.
type checkedReader struct {
	r    io.Reader
	name string
	want bundle.Digest
	size int64
	hash hash.Hash
	read int64
}

// Read implements io.Reader.
func (c *checkedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.hash.Write(p[:n])
	c.read += int64(n)
	if c.read > c.size {
		return n, fmt.Errorf("reading what becomes %s: it is longer than the %d bytes it should have", c.name, c.size)
	}
	if errors.Is(err, io.EOF) {
		if got := bundle.Digest(c.hash.Sum(nil)); got != c.want {
			return n, &bundle.DigestError{Name: c.name, Want: c.want, Got: got, Size: c.read}
		}
	}
	return n, err
}

// undoFile puts back what was under the name. When the file is neither what we wrote nor what was there before, somebody
// has changed it since, and it is kept beside.
func undoFile(_ context.Context, u Undoing) error {
	var first fileBefore
	if err := u.first(&first); err != nil {
		return err
	}
	if first.Was == nil {
		return errors.New("the first begin record does not say what was there")
	}
	known := map[bundle.Digest]bool{first.Was.Digest: first.Was.Kind == wasFile}
	for _, raw := range u.Begins {
		var b fileBefore
		if err := decodeBefore(raw, &b); err != nil {
			return err
		}
		known[b.Ours] = true
	}
	info, err := u.Host.Lstat(u.Object)
	if errors.Is(err, fs.ErrNotExist) {
		return first.Was.restore(u.Host, u.Object)
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		u.note("%s is a directory now and stays", u.Object)
		return nil
	}
	if info.Mode().IsRegular() {
		got, _, err := host.DigestFile(u.Host, u.Object)
		if err != nil {
			return err
		}
		if !known[got] {
			if err := saveBeside(u); err != nil {
				return err
			}
		}
	}
	return first.Was.restore(u.Host, u.Object)
}

// saveBeside copies a file that somebody changed to its name with savedSuffix.
func saveBeside(u Undoing) error {
	meta, err := metaOf(u.Host, u.Object)
	if err != nil {
		return err
	}
	r, err := u.Host.Open(u.Object)
	if err != nil {
		return err
	}
	defer r.Close()
	saved := u.Object + savedSuffix
	if err := u.Host.Write(saved, r, meta); err != nil {
		return err
	}
	u.note("%s was changed since it was installed: your version is kept as %s", u.Object, saved)
	return nil
}
