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

// Spec says of which file a record is to be made, and how much parity it gets.
type Spec struct {
	Name   string // of the file, as it will be called on the medium
	Size   int64  // bytes
	Parity int    // blocks; see ParityBlocks
}

// Create writes the record of src to dst, which must be empty. The same bytes and the same parity give the same record, and
// dst is not synced. advance gets the bytes of src that are through, twice their number altogether; it may be nil.
func Create(ctx context.Context, dst *os.File, src io.ReaderAt, spec Spec, advance func(int64)) (*Record, error) {
	if advance == nil {
		advance = func(int64) {}
	}
	rec := &Record{Name: spec.Name, Size: spec.Size}
	if spec.Size < 1 || spec.Size > MaxSize || spec.Parity < 0 || spec.Parity > blockCount(spec.Size) {
		return nil, fmt.Errorf("making a recovery record of %s: %d bytes with %d parity blocks; a record is for 1 to %d bytes and as many parity blocks as the file has blocks", spec.Name, spec.Size, spec.Parity, int64(MaxSize))
	}
	rec.Parity = make([]Sum, spec.Parity)
	if err := rec.digest(ctx, src, advance); err != nil {
		return nil, fmt.Errorf("making a recovery record of %s: %w", spec.Name, err)
	}
	if err := rec.validate(); err != nil {
		return nil, fmt.Errorf("making a recovery record of %s: %w", spec.Name, err)
	}
	base := int64(leafCount(len(rec.marshal()))) * leafSize
	err := encode(ctx, rec, src, dst, base, advance)
	if err == nil {
		err = rec.finish(ctx, dst, base)
	}
	if err != nil {
		return nil, fmt.Errorf("making the recovery record of %s: %w", spec.Name, err)
	}
	return rec, nil
}

// digest takes the digests of the blocks and of the whole.
func (r *Record) digest(ctx context.Context, src io.ReaderAt, advance func(int64)) error {
	whole := sha256.New()
	buf := make([]byte, r.BlockSize())
	for i := range blockCount(r.Size) {
		offset, length := r.span(i)
		n, err := src.ReadAt(buf[:length], offset)
		if int64(n) < length {
			return errors.Join(fmt.Errorf("it ends at byte %d of %d", offset+int64(n), r.Size), err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		whole.Write(buf[:length])
		r.Blocks = append(r.Blocks, sha256.Sum256(buf[:length]))
		advance(length)
	}
	r.SHA256 = Sum(whole.Sum(nil))
	return nil
}

// finish takes the digests of the parity, which was written already, and writes both copies of the table around it.
func (r *Record) finish(ctx context.Context, dst *os.File, base int64) error {
	buf := make([]byte, r.BlockSize())
	for j := range r.Parity {
		if _, err := dst.ReadAt(buf, base+int64(j)*r.BlockSize()); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		r.Parity[j] = sha256.Sum256(buf)
	}
	table := leaves(r.marshal())
	for _, at := range []int64{0, base + int64(len(r.Parity))*r.BlockSize()} {
		if _, err := dst.WriteAt(table, at); err != nil {
			return err
		}
	}
	return nil
}

// CreateFile makes the record of the file at path beside it, or replaces it, durably. The file must be whole.
func CreateFile(ctx context.Context, path string, parity int, advance func(int64)) (*Record, error) {
	p, err := Find(path)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return createBeside(ctx, p, Spec{Name: filepath.Base(p.Path), Size: p.Size(), Parity: parity}, p.Path+Suffix, advance)
}

func createBeside(ctx context.Context, src io.ReaderAt, spec Spec, path string, advance func(int64)) (rec *Record, err error) {
	err = replaceFile(path, 0o600, func(f *os.File) (err error) {
		rec, err = Create(ctx, f, src, spec, advance)
		return err
	})
	return rec, err
}
