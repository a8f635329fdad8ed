package bundle

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// A program with a bundle behind it is one file to carry. The last bytes of the file are a line of text that says where the
// bundle lies (FORMAT.md, "A program with its bundle").

const (
	trailerBegin  = "\noffgrid-appended "
	trailerFormat = 1
	trailerDigits = 20 // of offset and length
	// TrailerSize is the size of a trailer in bytes, whatever it says.
	TrailerSize = len(trailerBegin) + 5 + 1 + 2*(trailerDigits+1) + 64 + 1
	// programSlack is how much may lie behind the last section of a program without being a bundle.
	programSlack = 4096
)

// Appended is where a bundle lies in a file that begins with a program. Both are bytes; the program ends at Offset.
type Appended struct {
	Offset, Size int64
}

// Trailer is what comes behind a bundle that was appended to a program.
func Trailer(a Appended) []byte {
	text := fmt.Appendf(nil, "%s%05d %0*d %0*d ", trailerBegin, trailerFormat, trailerDigits, a.Offset, trailerDigits, a.Size)
	return fmt.Appendf(text, "%s\n", DigestOf(text).Hex())
}

// FindAppended looks for a bundle behind a program. A file without one is no error; one that ends where neither the program
// nor a bundle does is a *DamageError. name is for messages, size the file's.
func FindAppended(name string, r io.ReaderAt, size int64) (a Appended, found bool, err error) {
	tail := make([]byte, min(size, int64(TrailerSize)))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return a, false, fmt.Errorf("reading %s: %w", name, err)
	}
	at := size - int64(len(tail))
	if bytes.HasPrefix(tail, []byte(trailerBegin)) && len(tail) == TrailerSize {
		a, err = parseTrailer(tail, at)
		if err != nil {
			return a, false, &DamageError{Path: name, Artifact: "the trailer", Offset: at, Length: int64(len(tail)), Err: err}
		}
		return a, true, nil
	}
	if end := programEnd(r); end > 0 && size > end+programSlack {
		return a, false, &DamageError{Path: name, Artifact: "the bundle behind the program", Where: "trailer", Offset: at, Length: int64(len(tail)),
			Err: fmt.Errorf("%w, or its end was changed: the program ends at byte %d, and the line that says where the bundle lies is not at the end", ErrCutShort, end)}
	}
	return a, false, nil
}

// parseTrailer reads a trailer that begins at the given offset of its file.
func parseTrailer(tail []byte, at int64) (a Appended, err error) {
	format, err := strconv.Atoi(string(tail[len(trailerBegin) : len(trailerBegin)+5]))
	if err == nil && format > trailerFormat {
		return a, fmt.Errorf("it has format %d, which is newer than format %d, which this program reads", format, trailerFormat)
	}
	numbers := tail[len(trailerBegin)+6:]
	a.Offset, _ = strconv.ParseInt(string(numbers[:trailerDigits]), 10, 64)
	a.Size, _ = strconv.ParseInt(string(numbers[trailerDigits+1:2*trailerDigits+1]), 10, 64)
	want := Trailer(a)
	if i := firstDifference(tail, want); i < len(want) {
		return a, fmt.Errorf("byte %d of it is not what it was", i)
	}
	if a.Offset <= 0 || a.Size <= 0 || a.Size > at || a.Offset != at-a.Size {
		return a, fmt.Errorf("it says that the bundle has %d bytes from byte %d on, and the file does not", a.Size, a.Offset)
	}
	return a, nil
}

// programEnd is where the last section of an ELF program ends, 0 when that cannot be told.
func programEnd(r io.ReaderAt) int64 {
	f, err := elf.NewFile(r)
	if err != nil {
		return 0
	}
	defer f.Close()
	end := int64(64) // the header
	for _, s := range f.Sections {
		if s.Type != elf.SHT_NOBITS {
			end = max(end, int64(s.Offset+s.FileSize))
		}
	}
	for _, p := range f.Progs {
		end = max(end, int64(p.Off+p.Filesz))
	}
	return end
}

// FileAppended is FindAppended for a file on this machine. A file that cannot be opened is the system's error.
func FileAppended(path string) (a Appended, found bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return a, false, fmt.Errorf("looking for a bundle in %s: %w", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return a, false, fmt.Errorf("looking for a bundle in %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return a, false, nil
	}
	return FindAppended(path, f, info.Size())
}
