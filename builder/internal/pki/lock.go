package pki

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"offgrid/builder/internal/durable"
	"offgrid/bundle/seal"
)

// lockedFile holds all that is private in the directory while that is locked: a tar in an age file.
const lockedFile = "locked.age"

// sealedDir is the builder's, below the directory: what is in it is sealed already.
const sealedDir = "sealed"

// maxLocked bounds the files of a locked directory: 500 hosts have some 10 keys each, and so have those that were replaced.
const maxLocked = 100_000

// LockedError says that the private keys cannot be read: the directory was locked with a passphrase.
type LockedError struct{ Dir string }

func (e *LockedError) Error() string {
	return fmt.Sprintf("reading the keys in %q: they are locked with a passphrase", e.Dir)
}

// LockError says that a directory cannot be locked or unlocked as it is.
type LockError struct{ Text string }

func (e *LockError) Error() string { return e.Text }

// Locked reports whether the directory is locked, also when a lock or unlock of it was cut off.
func Locked(dir string) bool { return exists(filepath.Join(dir, lockedFile)) }

// Lock puts everything private in the directory into one file that opens with a passphrase, and removes it. Certificates and
// public keys stay. It may be cut off anywhere and done again: nothing is removed before the file is there, durable, and has
// been read back. It returns how many files are locked. A work factor of 0 is the usual one.
func Lock(dir string, p seal.Passphrase, workFactor int, now time.Time) (int, error) {
	if !Locked(dir) {
		if err := prepare(dir, now); err != nil {
			return 0, err
		}
		files, err := privateFiles(dir)
		if err != nil {
			return 0, fmt.Errorf("locking %q: %w", dir, err)
		}
		if len(files) == 0 {
			return 0, &LockError{fmt.Sprintf("locking %q: there is no private key in it", dir)}
		}
		if err := writeLocked(dir, files, p, workFactor); err != nil {
			return 0, fmt.Errorf("locking %q: %w", dir, err)
		}
	}
	n, err := eachLocked(dir, p, func(name string, data []byte) error {
		now, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !bytes.Equal(now, data) {
			err = &LockError{fmt.Sprintf("locking %q: %s is not as it was locked; move it away, unlock, and decide which one is right", dir, name)}
		}
		if err == nil {
			err = os.Remove(filepath.Join(dir, name))
		}
		return err
	})
	if err != nil {
		return n, err
	}
	left, err := privateFiles(dir)
	if err == nil && len(left) > 0 {
		err = &LockError{fmt.Sprintf("locking %q: %s is not among what was locked; move it away, or unlock and lock again", dir, left[0])}
	}
	return n, errors.Join(err, syncTree(dir))
}

// Unlock puts back what Lock has removed, and removes the locked file last.
func Unlock(dir string, p seal.Passphrase) (int, error) {
	if !Locked(dir) {
		return 0, &LockError{fmt.Sprintf("unlocking %q: it is not locked", dir)}
	}
	n, err := eachLocked(dir, p, func(name string, data []byte) error {
		full := filepath.Join(dir, name)
		now, err := os.ReadFile(full)
		switch {
		case err == nil && bytes.Equal(now, data):
			return nil
		case err == nil:
			return &LockError{fmt.Sprintf("unlocking %q: there is another %s already; move it away first", dir, name)}
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			return err
		}
		return replaceFile(full, func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		})
	})
	if err == nil {
		err = syncTree(dir)
	}
	if err == nil {
		err = errors.Join(os.Remove(filepath.Join(dir, lockedFile)), durable.Dir(dir))
	}
	return n, err
}

// privateFiles lists what must not stay readable: everything but certificates, public keys, what is sealed already, and the
// number of the last renewal. Paths are relative, sorted.
func privateFiles(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(dir, name)
		switch {
		case err != nil || relErr != nil:
			return errors.Join(err, relErr)
		case d.IsDir() && rel == sealedDir:
			return filepath.SkipDir
		case d.IsDir() || rel == lockedFile || rel == serialFile || strings.HasPrefix(d.Name(), "."+lockedFile):
			return nil
		case !d.Type().IsRegular():
			return &LockError{rel + " is not a file"}
		}
		data, err := readSecret(name)
		if err == nil && !isPublic(data) {
			found = append(found, rel)
		}
		return err
	})
	slices.Sort(found)
	return found, err
}

// isPublic reports whether a file holds certificates and public keys and nothing else.
func isPublic(data []byte) bool {
	n := 0
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return n > 0 && len(bytes.TrimSpace(data)) == 0
		}
		if block.Type != "CERTIFICATE" && block.Type != "PUBLIC KEY" {
			return false
		}
		// What stands before a block is a comment to PEM, and could be anything.
		if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN "+block.Type)) {
			return false
		}
		data, n = rest, n+1
	}
}

// writeLocked writes the locked file and reads it back before it gets its name.
func writeLocked(dir string, files []string, p seal.Passphrase, workFactor int) error {
	if len(files) > maxLocked {
		return &LockError{fmt.Sprintf("%d files are more than the limit of %d", len(files), maxLocked)}
	}
	return replaceFile(filepath.Join(dir, lockedFile), func(w io.Writer) error {
		sealed, err := seal.EncryptTo(w, p, workFactor)
		if err != nil {
			return err
		}
		t := tar.NewWriter(sealed)
		for _, name := range files {
			data, err := readSecret(filepath.Join(dir, name))
			if err == nil {
				err = t.WriteHeader(&tar.Header{Name: filepath.ToSlash(name), Mode: 0o600, Size: int64(len(data)), Format: tar.FormatPAX})
			}
			if err == nil {
				_, err = t.Write(data)
			}
			if err != nil {
				return err
			}
		}
		return errors.Join(t.Close(), sealed.Close())
	})
}

// eachLocked hands out the files of the locked file, and ends with an error unless all of it was whole.
func eachLocked(dir string, p seal.Passphrase, each func(name string, data []byte) error) (n int, err error) {
	f, err := os.Open(filepath.Join(dir, lockedFile))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	// Everything is read once before the first file is handed out: a damaged file must not leave half of it.
	for _, work := range []func(string, []byte) error{func(string, []byte) error { return nil }, each} {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return 0, err
		}
		if n, err = readLocked(f, p, work); err != nil {
			break
		}
	}
	var known *LockError
	switch {
	case errors.Is(err, seal.ErrWrongKey):
		return n, &LockError{fmt.Sprintf("opening %s: this is not the passphrase that it was locked with", f.Name())}
	case err != nil && !errors.As(err, &known):
		return n, fmt.Errorf("opening %s: %w", f.Name(), err)
	}
	return n, err
}

func readLocked(r io.Reader, p seal.Passphrase, each func(string, []byte) error) (n int, err error) {
	opened, err := seal.DecryptFrom(r, p)
	if err != nil {
		return 0, err
	}
	t := tar.NewReader(opened)
	for ; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, opened) // only its own end says that nothing is missing
			return n, err
		}
		switch {
		case err != nil:
			return n, err
		case n >= maxLocked || h.Size > maxFile || h.Typeflag != tar.TypeReg:
			return n, fmt.Errorf("%.100q is none of the files that belong there", h.Name)
		case !filepath.IsLocal(filepath.FromSlash(h.Name)) || path.Clean(h.Name) != h.Name || h.Name == lockedFile || strings.Contains(h.Name, "\\"):
			return n, fmt.Errorf("%.100q leads out of the directory", h.Name)
		}
		data, err := io.ReadAll(io.LimitReader(t, maxFile))
		if err == nil {
			err = each(filepath.FromSlash(h.Name), data)
		}
		if err != nil {
			return n, err
		}
	}
}

// replaceFile writes a file for its owner alone: all of it or nothing, durable on return.
func replaceFile(name string, fill func(io.Writer) error) error {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, "."+filepath.Base(name)+tempPrefix+"*") // 0600
	if err != nil {
		return err
	}
	err = errors.Join(fill(f), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return durable.Dir(dir)
}

// syncTree makes the names in all directories durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return durable.Dir(name)
	})
}
