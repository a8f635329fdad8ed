package recovery

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// RecordFile is a recovery record that was opened.
type RecordFile struct {
	Record
	Path string
	// Leaves is how many of the leaves of both copies of the table are damaged. The record is good as long as it opens.
	Leaves int

	r        io.ReaderAt
	closer   io.Closer
	size     int64
	parityAt int64
}

// RecordError says that a record cannot be used.
type RecordError struct {
	Path string
	Err  error
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("%s: not a recovery record, or one that is damaged beyond use: %v", e.Path, e.Err)
}
func (e *RecordError) Unwrap() error { return e.Err }

// Open opens the record at path. Damage of the record costs only what it hits: a leaf of the table has a copy at the other
// end, and a parity block is one less. Errors are *RecordError, *FormatError or the system's; fs.ErrNotExist is in them.
func Open(path string) (*RecordFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening recovery record: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &RecordError{path, errors.New("it is not a regular file")}
	}
	var r *RecordFile
	if err == nil {
		r, err = decode(path, f, info.Size())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	r.closer = f
	return r, nil
}

// decode reads a record's table.
func decode(path string, r io.ReaderAt, size int64) (*RecordFile, error) {
	t, err := readTable(path, r, size)
	var format *FormatError
	if errors.As(err, &format) {
		return nil, err
	}
	if err != nil {
		return nil, &RecordError{path, err}
	}
	rec, err := unmarshal(t.data)
	if err != nil {
		return nil, &RecordError{path, err}
	}
	return &RecordFile{Record: *rec, Path: path, Leaves: t.broken, r: r, size: size, parityAt: int64(t.count) * leafSize}, nil
}

// RecordSize returns the bytes of the record of a file.
func RecordSize(name string, size int64, parity int) int64 {
	table := tableHead + len(name) + (1+blockCount(size)+parity)*sha256.Size
	return 2*int64(leafCount(table))*leafSize + int64(parity)*BlockSize(size)
}

// Close closes the record.
func (r *RecordFile) Close() error { return r.closer.Close() }

// Extra is how many bytes there are behind the record's end, negative when it is cut short.
func (r *RecordFile) Extra() int64 { return r.size - RecordSize(r.Name, r.Size, len(r.Parity)) }

// badParity reads the parity and returns which blocks of it cannot be used.
func (r *RecordFile) badParity(ctx context.Context) ([]bool, error) {
	bad := make([]bool, len(r.Parity))
	buf := make([]byte, r.BlockSize())
	for j := range bad {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, _ := r.r.ReadAt(buf, r.parityAt+int64(j)*r.BlockSize())
		bad[j] = n < len(buf) || Sum(sha256.Sum256(buf)) != r.Parity[j]
	}
	return bad, nil
}

// Damage says what of a record is not as it was written.
type Damage struct {
	Leaves int   // of both copies of the table
	Parity int   // blocks that cannot be used
	Extra  int64 // bytes behind its end; negative: it is cut short
}

// Whole reports whether there is none.
func (d Damage) Whole() bool { return d == Damage{} }

// Check reads all of the record and compares it with its own digests.
func (r *RecordFile) Check(ctx context.Context) (Damage, error) {
	bad, err := r.badParity(ctx)
	d := Damage{Leaves: r.Leaves, Extra: r.Extra()}
	for _, b := range bad {
		if b {
			d.Parity++
		}
	}
	return d, err
}

// exists reports whether there is a file or anything else of that name.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
