package bundle

import (
	"errors"
	"fmt"

	"offgrid/bundle/recovery"
)

// ErrCutShort is the cause in a *DamageError when the bundle ends before it should: the copy was not finished.
var ErrCutShort = errors.New("the file is cut short")

// ErrNotCarried is the cause when a directory bundle lacks a blob that was left on the medium on purpose.
var ErrNotCarried = errors.New("this blob was not carried to the host; it is on the medium that the bundle came from")

// FormatError says that a bundle was made by a release that knows a newer format, or an older one that is not read any more.
type FormatError struct {
	Path  string
	Found int
	Known int // what this package reads
}

func (e *FormatError) Error() string {
	age := "newer"
	if e.Found < e.Known {
		age = "older"
	}
	return fmt.Sprintf("%s: bundle format %d is %s than format %d, which this program reads", e.Path, e.Found, age, e.Known)
}

// NotABundleError says that a file or directory is something else.
type NotABundleError struct {
	Path string
	Why  string // what it looks like: "it begins like a gzip file"
}

func (e *NotABundleError) Error() string {
	return fmt.Sprintf("%s: not an offgrid bundle: %s", e.Path, e.Why)
}

// DamageError says which part of a bundle is not what it was when the bundle was written. Err is ErrCutShort, a
// *DigestError or a text.
type DamageError struct {
	Path     string
	Artifact string // for people: "kubelet", "role index", "host pack of node01"
	Where    string // part of the artifact: "frame 3 of 28", "tar header"; may be ""
	Offset   int64  // first byte in which the damage lies; counted in the bundle file, or in the blob's file of a directory
	Length   int64  // how many bytes the damage lies within; 0 when the file ends at Offset
	Err      error

	// Part is the file in which Offset lies when the bundle is in parts, and PartOffset the place in it.
	Part       string
	PartOffset int64
	// Verdict is what reading again told; the zero value when nothing was read again.
	Verdict recovery.Verdict
}

func (e *DamageError) Error() string {
	where := e.Where
	span := fmt.Sprintf("bytes %d to %d", e.Offset, e.Offset+e.Length-1)
	switch {
	case e.Length == 0 && e.Offset == 0:
		span = "" // a file that is not there has no bytes to name
	case e.Length <= 1:
		span = fmt.Sprintf("byte %d", e.Offset)
	}
	if where != "" && span != "" {
		where += ", "
	}
	if e.Part != "" {
		span += fmt.Sprintf(", in %s from byte %d on", e.Part, e.PartOffset)
	}
	again := ""
	if e.Verdict != recovery.Unknown {
		again = "; " + e.Verdict.String()
	}
	return fmt.Sprintf("%s: %s is damaged (%s%s): %v%s", e.Path, e.Artifact, where, span, e.Err, again)
}

func (e *DamageError) Unwrap() error { return e.Err }

// NotCarriedError says that a directory, renewal or delta bundle does not hold a blob. It wraps ErrNotCarried.
type NotCarriedError struct {
	Path   string
	Name   string // artifact
	Digest Digest
	// Renewal: it is in no renewal bundle, and the host should have had it.
	Renewal bool
	// Delta: the same of a delta bundle.
	Delta bool
}

func (e *NotCarriedError) Error() string {
	if e.Delta {
		return fmt.Sprintf("%s: %s (%s): a delta bundle does not bring it, and the host does not have it; the whole bundle does", e.Path, e.Name, e.Digest.Short())
	}
	if e.Renewal {
		return fmt.Sprintf("%s: %s (%s): a renewal bundle does not bring it, and the host does not have it; the whole bundle does", e.Path, e.Name, e.Digest.Short())
	}
	return fmt.Sprintf("%s: %s (%s): %v", e.Path, e.Name, e.Digest.Short(), ErrNotCarried)
}

func (e *NotCarriedError) Unwrap() error { return ErrNotCarried }
