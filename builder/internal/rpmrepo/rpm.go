package rpmrepo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cavaliergopher/rpm"
)

// ErrUnsigned says that an RPM carries no signature at all.
var ErrUnsigned = errors.New("the package is not signed")

// ErrHeaderOnly says that nobody signs the payload of an RPM.
var ErrHeaderOnly = errors.New("its signature covers the header alone, and nothing that is signed covers the payload")

// CheckPackage reads the file of a package, whose sha256 was verified before, and fails unless it is the package that the
// repository's index lists and, with a key, unless that key has signed it. It returns how far the signature reaches, for
// people: "header and payload", or "header" where signed says that the index, whose sha256 covers the payload, is signed itself.
// A signature of the header reaches the payload when the header holds the payload's digest, which is checked then; a payload
// that nothing signed covers is ErrHeaderOnly.
func CheckPackage(ctx context.Context, f *os.File, p Package, key *Key, signed bool) (covers string, err error) {
	if err := checkName(f, p); err != nil {
		return "", fmt.Errorf("package %s: %w", p, err)
	}
	if key == nil {
		return "", nil
	}
	covers, err = verifyPackage(ctx, f, key)
	if err == nil && covers == headerOnly && !signed {
		err = ErrHeaderOnly
	}
	if err != nil {
		return "", fmt.Errorf("package %s: %w", p, err)
	}
	return covers, nil
}

const headerOnly = "header"

// checkName compares the package's own name with the index's.
func checkName(f *os.File, p Package) (err error) {
	defer func() { // the library indexes what the file claims without looking
		if recover() != nil {
			err = errors.New("its header cannot be read")
		}
	}()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	// The library needs a source that fills every read, which a file does and a stream does not.
	r, err := rpm.Read(f)
	if err != nil {
		return fmt.Errorf("its header cannot be read: %w", err)
	}
	got := Package{Name: r.Name(), Epoch: r.Epoch(), Version: r.Version(), Release: r.Release(), Arch: r.Architecture()}
	if got.Name == "" || got.String() != p.String() {
		return fmt.Errorf("the file says that it is %q", got.String())
	}
	return nil
}

// verifyPackage checks the best signature that the package carries.
func verifyPackage(ctx context.Context, r io.ReadSeeker, key *Key) (string, error) {
	in := &contextReader{ctx, r}
	head, sig, err := openHeader(struct {
		io.Reader
		io.Seeker
	}{in, r})
	if err != nil {
		return "", err
	}
	for _, tag := range []uint32{sigPGP, sigGPG} {
		if raw, ok := sig.bytes(tag); ok {
			return "header and payload", checkSignature(raw, key, head.raw, in)
		}
	}
	for _, tag := range []uint32{sigRSA, sigDSA} {
		if raw, ok := sig.bytes(tag); ok {
			if err := checkSignature(raw, key, head.raw, nil); err != nil {
				return "", err
			}
			return checkPayload(head, in)
		}
	}
	return "", ErrUnsigned
}

func checkSignature(raw []byte, key *Key, head []byte, payload io.Reader) error {
	s, err := parseSignature(raw)
	if err == nil && s.weak() && !key.Weak {
		err = errors.New("it is made with SHA-1")
	}
	if err == nil {
		h := s.hash.New()
		h.Write(head)
		if payload != nil {
			if _, err := io.Copy(h, payload); err != nil {
				return fmt.Errorf("reading the payload: %w", err)
			}
		}
		err = s.verify(key, h)
	}
	if err != nil {
		return fmt.Errorf("its signature is not by %s: %w", key.Fingerprint, err)
	}
	return nil
}

// checkPayload compares the payload with the digest that newer headers hold.
func checkPayload(head *header, payload io.Reader) (string, error) {
	const sha256ID = 8 // rpm uses OpenPGP's numbers
	want, ok := head.text(tagPayloadSum)
	if alg, ok2 := head.number(tagPayloadAlg); !ok || !ok2 || alg != sha256ID {
		return headerOnly, nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, payload); err != nil {
		return "", fmt.Errorf("reading the payload: %w", err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return "", fmt.Errorf("the sha256 of its payload is %s, its header says %s", got, want)
	}
	return "header and payload", nil
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
