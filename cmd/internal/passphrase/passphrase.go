// Package passphrase gets a passphrase from a person: from a file, a file descriptor or a terminal, never from a command line
// or the environment, which others can see.
package passphrase

import (
	"context"
	"errors"
	"fmt"
	"os"

	"offgrid/bundle/seal"
	"offgrid/cmd/internal/console"
)

// Help describes the two flags.
const (
	FileHelp = "file whose first line is the passphrase; - is standard input"
	FDHelp   = "number of an open file descriptor whose first line is the passphrase"
)

// Tries is how often a terminal is asked.
const Tries = 3

// Source is where the flags say that the passphrase is. The zero value of FD is standard input: set it to None.
type Source struct {
	File string // "" none; "-" is standard input
	FD   int    // None, or the number of a descriptor
}

// None is the descriptor that is not given.
const None = -1

// Given reports whether a flag says where the passphrase is.
func (s Source) Given() bool { return s.File != "" || s.FD != None }

// Check refuses flags that cannot be meant, in words that end in a full sentence for people.
func (s Source) Check() error {
	switch {
	case s.File != "" && s.FD != None:
		return errors.New("--passphrase-file and --passphrase-fd exclude each other")
	case s.FD < None || s.FD == 1 || s.FD == 2:
		return fmt.Errorf("--passphrase-fd %d: it is 0 (standard input) or the number of a descriptor that was opened for it, 3 or more", s.FD)
	}
	return nil
}

// Read reads the passphrase that a flag names: one line, so that an answer may follow on the same input.
func (s Source) Read(ctx context.Context, c *console.Console) (seal.Passphrase, error) {
	switch {
	case s.File == "-" || s.FD == 0:
		line, err := c.Line(ctx)
		if err != nil {
			return seal.Passphrase{}, fmt.Errorf("reading the passphrase from standard input: %w", err)
		}
		return seal.ParsePassphrase(line)
	case s.FD != None:
		f := os.NewFile(uintptr(s.FD), fmt.Sprintf("descriptor %d", s.FD))
		if f == nil {
			return seal.Passphrase{}, fmt.Errorf("reading the passphrase: descriptor %d is not open", s.FD)
		}
		defer f.Close()
		return seal.ReadPassphrase(f)
	}
	f, err := os.Open(s.File)
	if err != nil {
		return seal.Passphrase{}, fmt.Errorf("reading the passphrase: %w", err)
	}
	defer f.Close()
	return seal.ReadPassphrase(f)
}

// Ask asks at the terminal until test accepts what was typed, Tries times at most.
func Ask(ctx context.Context, c *console.Console, question string, test func(seal.Passphrase) error) (seal.Passphrase, error) {
	var last error
	for range Tries {
		line, err := c.Secret(ctx, question)
		if err != nil {
			return seal.Passphrase{}, err
		}
		p, err := seal.ParsePassphrase(line)
		if err == nil {
			err = test(p)
		}
		if err == nil {
			return p, nil
		}
		last = err
		c.Note("%v", err)
	}
	return seal.Passphrase{}, last
}

// Choose asks at the terminal for a new passphrase, twice. With optional an empty line is no passphrase, and no error.
func Choose(ctx context.Context, c *console.Console, question string, optional bool) (seal.Passphrase, error) {
	var last error
	for range Tries {
		line, err := c.Secret(ctx, question)
		if err != nil || line == "" && optional {
			return seal.Passphrase{}, err
		}
		p, err := seal.ParsePassphrase(line)
		if err == nil {
			again, askErr := c.Secret(ctx, "The same once more")
			if askErr != nil {
				return seal.Passphrase{}, askErr
			}
			if q, _ := seal.ParsePassphrase(again); q != p {
				err = &seal.PassphraseError{Text: "the two are not the same"}
			}
		}
		if err == nil {
			return p, nil
		}
		last = err
		c.Note("%v", err)
	}
	return seal.Passphrase{}, last
}
