package bundle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// verifyReader hands out r and ends with an error instead of io.EOF when size or digest are not the wanted ones. It never
// hands out more than size bytes.
type verifyReader struct {
	r    io.Reader
	name string
	want Digest
	size int64
	seen int64
	hash hash.Hash
	err  error // what every further Read returns
}

func newVerifyReader(r io.Reader, name string, want Digest, size int64) *verifyReader {
	return &verifyReader{r: io.LimitReader(r, size+1), name: name, want: want, size: size, hash: sha256.New()}
}

// Read implements io.Reader.
func (v *verifyReader) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.r.Read(p)
	if over := v.seen + int64(n) - v.size; over > 0 {
		v.err = fmt.Errorf("%s: there are more than %d bytes", v.name, v.size)
		return 0, v.err
	}
	v.seen += int64(n)
	v.hash.Write(p[:n])
	if errors.Is(err, io.EOF) {
		err = v.atEnd()
	}
	v.err = err
	return n, err
}

func (v *verifyReader) atEnd() error {
	if v.seen < v.size {
		return fmt.Errorf("%s: %d of %d bytes: %w", v.name, v.seen, v.size, io.ErrUnexpectedEOF)
	}
	if got := Digest(v.hash.Sum(nil)); got != v.want {
		return &DigestError{Name: v.name, Want: v.want, Got: got, Size: v.seen}
	}
	return io.EOF
}

// Stoppable reads from r until ctx is done, and then ends with the context's error.
func Stoppable(ctx context.Context, r io.Reader) io.Reader { return contextReader{ctx.Err, r} }

// contextReader stops reading when its context is done.
type contextReader struct {
	err func() error
	r   io.Reader
}

// Read implements io.Reader.
func (c contextReader) Read(p []byte) (int, error) {
	if err := c.err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// readAllVerified reads a small blob whole.
func readAllVerified(r io.Reader, name string, want Digest, size, limit int64) ([]byte, error) {
	if size < 0 || size > limit {
		return nil, fmt.Errorf("%s: %d bytes are more than the limit of %d", name, size, limit)
	}
	return io.ReadAll(newVerifyReader(r, name, want, size))
}
