package recovery

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
)

// Source is what is read: a file, or the parts of one. Forget is what the function Forget is for a file.
type Source interface {
	io.ReaderAt
	Forget(off, n int64)
}

// Verdict is what reading again tells about bytes that were wrong.
type Verdict int

// Verdicts.
const (
	Unknown    Verdict = iota // they were not read again
	BadCopy                   // the same wrong bytes every time: the copy on the medium is wrong
	BadReader                 // other wrong bytes each time: the reader, its port or the memory is at fault
	RightLater                // right when read again: the reader, its port or the memory is at fault, the copy is good
	Unreadable                // the medium gives an error every time
	Absent                    // the file is cut short, or a part is missing
)

// String says it to people.
func (v Verdict) String() string {
	return map[Verdict]string{
		Unknown:    "not read again",
		BadCopy:    "the same wrong bytes in 3 readings: the copy is bad",
		BadReader:  "other wrong bytes in each of 3 readings: the reader, the port or the memory is bad, not only the copy",
		RightLater: "right when read again: the copy is good; the reader, the port or the memory is not",
		Unreadable: "cannot be read, tried 3 times: the medium is bad here",
		Absent:     "not there: the copy was not finished",
	}[v]
}

// rereads is how often what was wrong is read again.
const rereads = 2

// Fault is a block that is not what it was.
type Fault struct {
	Block          int
	Offset, Length int64 // in the whole file
	Verdict        Verdict
}

// Judge reads again what should have the digest want and had got at first, or could not be read: err. again reads it past what
// the system keeps in memory; after RightLater its last reading was the right one.
func Judge(again func() (Sum, error), want, got Sum, err error) Verdict {
	if err != nil && isShort(err) {
		return Absent
	}
	verdict := BadCopy
	if err != nil {
		verdict = Unreadable
	}
	for range rereads {
		switch sum, failed := again(); {
		case failed != nil:
			if verdict != Unreadable {
				verdict = BadReader
			}
		case sum == want:
			return RightLater
		case err != nil || sum != got:
			verdict = BadReader
		}
	}
	return verdict
}

func isShort(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrAbsent)
}

// ErrAbsent is the cause when the file that should hold the bytes is not there.
var ErrAbsent = errors.New("the file that holds these bytes is missing")

// readBlock reads block i into buf and returns it when it is right. keep gets the right bytes of a block that were wrong first.
func (r *Record) readBlock(src Source, buf []byte, i int) (right []byte, f *Fault) {
	offset, length := r.span(i)
	buf = buf[:length]
	n, err := src.ReadAt(buf, offset)
	if int64(n) == length {
		err = nil
	} else if err == nil {
		err = io.ErrUnexpectedEOF
	}
	got := Sum(sha256.Sum256(buf))
	if err == nil && got == r.Blocks[i] {
		return buf, nil
	}
	f = &Fault{Block: i, Offset: offset, Length: length}
	f.Verdict = Judge(func() (Sum, error) {
		src.Forget(offset, length)
		if n, err := src.ReadAt(buf, offset); int64(n) < length {
			return Sum{}, errors.Join(io.ErrUnexpectedEOF, err)
		}
		return sha256.Sum256(buf), nil
	}, r.Blocks[i], got, err)
	if f.Verdict == RightLater {
		return buf, f
	}
	return nil, f
}

// Scan compares every block of src with the record. saved gets the blocks that were right only when they were read again; it
// and advance may be nil.
func (r *Record) Scan(ctx context.Context, src Source, saved func(i int, b []byte) error, advance func(int64)) ([]Fault, error) {
	var faults []Fault
	buf := make([]byte, r.BlockSize())
	for i := range r.Blocks {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		right, f := r.readBlock(src, buf, i)
		if f != nil {
			faults = append(faults, *f)
		}
		if f != nil && right != nil && saved != nil {
			if err := saved(i, right); err != nil {
				return nil, err
			}
		}
		if advance != nil {
			_, length := r.span(i)
			advance(length)
		}
	}
	return faults, nil
}
