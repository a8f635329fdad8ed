package fetch

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"
)

// Error says that a download did not succeed at any of its addresses.
type Error struct {
	Item  string
	Tries []Try // one per address, in the order asked
}

// Try is how one address failed.
type Try struct {
	URL      string
	Attempts int
	Err      error // of the last attempt
}

func (e *Error) Error() string {
	parts := make([]string, 0, len(e.Tries))
	for _, t := range e.Tries {
		p := fmt.Sprintf("from %s: %v", t.URL, t.Err)
		if t.Attempts > 1 {
			p += fmt.Sprintf(" (tried %d times)", t.Attempts)
		}
		parts = append(parts, p)
	}
	return fmt.Sprintf("fetching %s %s", e.Item, strings.Join(parts, "; "))
}

// Unwrap returns the errors of all addresses.
func (e *Error) Unwrap() []error {
	var list []error
	for _, t := range e.Tries {
		list = append(list, t.Err)
	}
	return list
}

// StatusError is an answer that is not the content.
type StatusError struct {
	Code   int
	Status string // "404 Not Found"
	after  time.Duration
}

func (e *StatusError) Error() string { return "the server answers " + e.Status }

// ErrStalled is the cause when a server sends nothing any more.
var ErrStalled = errors.New("no data")

// finalError marks what another attempt at the same address cannot change.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

func final(err error) error { return &finalError{err} }

func isFinal(err error) bool {
	var f *finalError
	return errors.As(err, &f)
}

// WrongBytesError says that the whole content came and is not the promised one.
type WrongBytesError struct {
	Algorithm string // "sha256" or "sha512"
	Want, Got string // hex
	Size      int64  // bytes that came
}

func (e *WrongBytesError) Error() string {
	return fmt.Sprintf("wrong bytes: %s is %s after %d bytes, want %s", e.Algorithm, e.Got, e.Size, e.Want)
}

// plain takes the parts out of a transport's error that would repeat the address.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if err == io.EOF { // what net/http says when not even a status line came
		return errors.New("the server closed the connection without an answer")
	}
	return err
}

// hopeless marks as final what a second look does not change: a name that does not exist, a certificate that does not fit.
func hopeless(err error) error {
	var cert *tls.CertificateVerificationError
	var dns *net.DNSError
	if errors.As(err, &cert) || (errors.As(err, &dns) && dns.IsNotFound) {
		return final(err)
	}
	return err
}
