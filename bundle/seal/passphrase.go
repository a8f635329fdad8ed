package seal

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a passphrase that a person chooses.
const (
	MinPassphrase = 10   // characters: whoever finds a stick may try for as long as he likes
	MaxPassphrase = 1024 // bytes
)

// Passphrase is what a person knows. No way of printing shows it.
type Passphrase struct{ text string }

// PassphraseError says why a text cannot be a passphrase. The text is not in it.
type PassphraseError struct{ Text string }

func (e *PassphraseError) Error() string { return e.Text }

// ParsePassphrase reads a passphrase as it is typed or stands in a file: one line, without the white space around it.
func ParsePassphrase(text string) (Passphrase, error) {
	text = strings.TrimSpace(strings.TrimPrefix(text, "\ufeff")) // what editors put at the beginning
	switch {
	case text == "":
		return Passphrase{}, &PassphraseError{"the passphrase is empty"}
	case len(text) > MaxPassphrase:
		return Passphrase{}, &PassphraseError{fmt.Sprintf("the passphrase is longer than %d bytes", MaxPassphrase)}
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return Passphrase{}, &PassphraseError{"the passphrase is not one line of text"}
	case utf8.RuneCountInString(text) < MinPassphrase:
		return Passphrase{}, &PassphraseError{fmt.Sprintf("the passphrase has fewer than %d characters", MinPassphrase)}
	}
	return Passphrase{text}, nil
}

// ReadPassphrase reads a passphrase from the first line of r, and no more than what that is read with.
func ReadPassphrase(r io.Reader) (Passphrase, error) {
	var line []byte
	var one [1]byte // what follows the line is somebody else's: an answer to a question
	for len(line) <= MaxPassphrase+8 {
		n, err := r.Read(one[:])
		if n == 1 && one[0] == '\n' || err == io.EOF {
			break
		}
		if err != nil {
			return Passphrase{}, fmt.Errorf("reading the passphrase: %w", err)
		}
		line = append(line, one[:n]...)
	}
	return ParsePassphrase(string(line))
}

// IsZero reports whether there is none.
func (p Passphrase) IsZero() bool { return p.text == "" }

// Reveal returns the text, for showing one that was just made.
func (p Passphrase) Reveal() string { return p.text }

// String hides the text.
func (p Passphrase) String() string { return "[passphrase]" }

// GoString hides the text.
func (p Passphrase) GoString() string { return "[passphrase]" }

// Format hides the text, whatever the verb.
func (p Passphrase) Format(f fmt.State, _ rune) { io.WriteString(f, "[passphrase]") }

// MarshalText hides the text.
func (p Passphrase) MarshalText() ([]byte, error) { return []byte("[passphrase]"), nil }
