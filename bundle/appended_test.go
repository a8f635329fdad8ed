package bundle

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// aProgram is an ELF file of this machine: the test itself.
func aProgram(t testing.TB) []byte {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if programEnd(bytes.NewReader(data)) == 0 {
		t.Skip("programs of this system are not ELF")
	}
	return data
}

// appended is a program with a bundle behind it.
func appended(program, data []byte) []byte {
	return bytes.Join([][]byte{program, data, Trailer(Appended{Offset: int64(len(program)), Size: int64(len(data))})}, nil)
}

func openFile(t testing.TB, data []byte) (*Bundle, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "install-node")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := Open(path)
	if err == nil {
		t.Cleanup(func() { b.Close() })
	}
	return b, err
}

func TestABundleBehindAProgramIsTheBundle(t *testing.T) {
	program, data := aProgram(t), newSample(t).write(t)
	b, err := openFile(t, appended(program, data))
	if err != nil {
		t.Fatal(err)
	}
	alone := mustOpen(t, data)
	if b.RootDigest != alone.RootDigest || b.Size != alone.Size {
		t.Errorf("root %s and %d bytes, want %s and %d", b.RootDigest, b.Size, alone.RootDigest, alone.Size)
	}
	if faults := append(b.Verify(t.Context(), nil), b.VerifyContent(t.Context(), nil)...); len(faults) > 0 {
		t.Errorf("faults: %v", faults)
	}
	if _, found, err := FindAppended("x", bytes.NewReader(program), int64(len(program))); found || err != nil {
		t.Errorf("a program alone: %v %v", found, err)
	}
	if _, found, err := FindAppended("x", bytes.NewReader(data), int64(len(data))); found || err != nil {
		t.Errorf("a bundle alone: %v %v", found, err)
	}
}

// TestDamageBehindAProgramIsNamedByItsPlaceInTheFile also where the file was cut.
func TestDamageBehindAProgramIsNamedByItsPlaceInTheFile(t *testing.T) {
	program, data := aProgram(t), newSample(t).write(t)
	whole := appended(program, data)
	start := int64(len(program))
	places := int64(40)
	if raceEnabled {
		places = 7
	}
	for at := start; at < int64(len(whole)); at += (int64(len(whole))-start)/places + 1 {
		flipped := bytes.Clone(whole)
		flipped[at] ^= 4
		b, err := openFile(t, flipped)
		faults := []error{err}
		if err == nil {
			faults = b.Verify(t.Context(), nil)
			b.Close()
		}
		var damage *DamageError
		if len(faults) == 0 || !errors.As(faults[0], &damage) {
			t.Fatalf("byte %d: %v", at, faults)
		}
		if damage.Offset > at || damage.Offset+max(damage.Length, 1) <= at {
			t.Errorf("byte %d: %v", at, damage)
		}
	}
	for _, cut := range []int64{start + programSlack + 1, start + int64(len(data))/2, int64(len(whole)) - 1} {
		_, err := openFile(t, whole[:cut])
		var damage *DamageError
		if !errors.As(err, &damage) || !errors.Is(err, ErrCutShort) {
			t.Errorf("cut to %d bytes: %v", cut, err)
		}
	}
	_, err := openFile(t, whole[:start])
	var not *NotABundleError
	if !errors.As(err, &not) || not.Why != "it is a program" {
		t.Errorf("the program alone: %v", err)
	}
}

func TestATrailerThatLiesIsRefused(t *testing.T) {
	program, data := []byte("#!/bin/sh\n"), newSample(t).write(t)
	newer := bytes.Replace(appended(program, data), []byte("offgrid-appended 00001"), []byte("offgrid-appended 00002"), 1)
	long := append(bytes.Join([][]byte{program, data}, nil), Trailer(Appended{Offset: 5, Size: int64(len(data))})...)
	huge := append(bytes.Clone(data), Trailer(Appended{Offset: 1 << 62, Size: 1 << 62})...)
	for _, c := range []struct {
		data []byte
		want string
	}{
		{newer, "it has format 2, which is newer than format 1, which this program reads"},
		{long, "bytes from byte 5 on, and the file does not"},
		{huge, "and the file does not"},
	} {
		if _, err := openFile(t, c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func FuzzFindAppended(f *testing.F) {
	s := newSample(f)
	f.Add(appended([]byte("#!/bin/sh\n"), s.write(f)))
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Add(append([]byte("x"), Trailer(Appended{Offset: 1, Size: 0})...))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, found, err := FindAppended("fuzz", bytes.NewReader(data), int64(len(data)))
		if found && (err != nil || a.Offset <= 0 || a.Size <= 0 || a.Offset+a.Size+int64(TrailerSize) != int64(len(data))) {
			t.Errorf("%+v %v of %d bytes", a, err, len(data))
		}
	})
}
