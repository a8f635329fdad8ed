package host

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"offgrid/bundle"
)

// ReadFile returns the content of name, which may be a link. More than limit bytes are an error.
func ReadFile(h Host, name string, limit int64) ([]byte, error) {
	r, err := h.Open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("reading %s: it is larger than %d bytes", name, limit)
	}
	return data, nil
}

// DigestFile returns the digest of the content of name and its size in bytes.
func DigestFile(h Host, name string) (bundle.Digest, int64, error) {
	var d bundle.Digest
	r, err := h.Open(name)
	if err != nil {
		return d, 0, err
	}
	defer r.Close()
	hash := sha256.New()
	n, err := io.Copy(hash, r)
	if err != nil {
		return d, n, fmt.Errorf("hashing %s: %w", name, err)
	}
	hash.Sum(d[:0])
	return d, n, nil
}

// Exists reports whether there is anything at name, be it a link to nowhere.
func Exists(h Host, name string) (bool, error) {
	_, err := h.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
