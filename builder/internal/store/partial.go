package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"offgrid/builder/internal/filelock"
	"offgrid/bundle"
)

// Partial is a download that may have been begun by an earlier run. Only one process at a time holds it.
type Partial struct {
	store *Store
	base  string // file name without its ending
	lock  *filelock.Lock
	file  *os.File
	size  int64
}

// Origin is where the bytes of a Partial come from: a server that says the same continues it, any other begins anew.
type Origin struct {
	URL       string `json:"url"`
	Validator string `json:"validator"` // strong ETag, or Last-Modified; "" when the server gave neither
}

// Partial opens the download with this key, and waits while another process works on it; waiting, which may be nil, is
// called before. The caller must Close it; what was written stays for the next time.
func (s *Store) Partial(ctx context.Context, key string, waiting func()) (*Partial, error) {
	base := filepath.Join(s.dir, "partial", bundle.DigestOf([]byte(key)).Hex())
	lock, err := filelock.Wait(ctx, base+".lock", waiting)
	if err != nil {
		return nil, fmt.Errorf("locking the partial download: %w", err)
	}
	p := &Partial{store: s, base: base, lock: lock}
	p.file, err = os.OpenFile(base+".part", os.O_RDWR|os.O_CREATE, 0o644)
	if err == nil {
		p.size, err = p.file.Seek(0, io.SeekEnd)
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("opening the partial download: %w", s.explain(err))
	}
	return p, nil
}

// Size returns how many bytes are there.
func (p *Partial) Size() int64 { return p.size }

// Origin returns where the bytes came from; the zero value when that is not known.
func (p *Partial) Origin() Origin {
	var o Origin
	data, err := os.ReadFile(p.base + ".json")
	if err != nil || json.Unmarshal(data, &o) != nil {
		return Origin{}
	}
	return o
}

// Reset throws the bytes away and notes where the next ones come from. The bytes go first: a crash in between leaves
// nothing that belongs to another origin.
func (p *Partial) Reset(o Origin) error {
	err := p.file.Truncate(0)
	if err == nil {
		_, err = p.file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("emptying the partial download: %w", err)
	}
	p.size = 0
	data, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("noting the origin of a download: %w", err)
	}
	return p.store.writeFile(p.base+".json", data, 0o644)
}

// Write implements io.Writer: it appends.
func (p *Partial) Write(b []byte) (int, error) {
	n, err := p.store.writer(p.file).Write(b)
	p.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("writing to the store: %w", p.store.explain(err))
	}
	return n, nil
}

// Hash feeds all bytes to the hashes and returns their sha256. The file stays ready for appending.
func (p *Partial) Hash(ctx context.Context, more ...hash.Hash) (bundle.Digest, error) {
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return bundle.Digest{}, fmt.Errorf("reading the partial download: %w", err)
	}
	sum := sha256.New()
	to := []io.Writer{sum}
	for _, h := range more {
		to = append(to, h)
	}
	if _, err := io.Copy(io.MultiWriter(to...), &ctxReader{ctx, p.file}); err != nil {
		return bundle.Digest{}, fmt.Errorf("reading the partial download: %w", err)
	}
	return bundle.Digest(sum.Sum(nil)), nil
}

// Commit makes the whole file the blob d. The caller has just found its digest with Hash.
func (p *Partial) Commit(d bundle.Digest) error {
	err := finish(p.file)
	p.file = nil
	if err == nil {
		err = p.store.place(p.base+".part", d)
	}
	if err != nil {
		return fmt.Errorf("storing %s: %w", d.Short(), p.store.explain(err))
	}
	os.Remove(p.base + ".json") // without its bytes it says nothing; a left one does no harm
	return nil
}

// Close lets go of the download.
func (p *Partial) Close() error {
	var err error
	if p.file != nil {
		err = p.file.Close()
		if p.size == 0 {
			os.Remove(p.base + ".part") // nothing to go on from
			os.Remove(p.base + ".json")
		}
	}
	return errors.Join(err, p.lock.Release())
}
