package console

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/term"
)

// ErrNoTerminal says that nobody can be asked for a secret.
var ErrNoTerminal = errors.New("there is no terminal to ask at")

// secretLimit bounds a line that is read as a secret, in bytes.
const secretLimit = 8 << 10

// Interactive reports whether somebody can be asked for a secret: In is a terminal.
func (c *Console) Interactive() bool { return c.secret != nil }

// Secret asks question on Err and reads one line of In without showing it. Without a terminal it is ErrNoTerminal; the end
// of ctx is its error, and the terminal then shows again what is typed.
func (c *Console) Secret(ctx context.Context, question string) (string, error) {
	if c.secret == nil {
		return "", ErrNoTerminal
	}
	c.write(c.err, clean(question)+": ")
	line, err := c.secret(ctx)
	c.write(c.err, "\n")
	if err != nil {
		return "", fmt.Errorf("asking %q: %w", question, err)
	}
	return line, nil
}

// Line reads one line of In, which nobody is asked for: what follows it is left for the next question.
func (c *Console) Line(ctx context.Context) (string, error) {
	line, err := c.readLine(ctx)
	if errors.Is(err, io.EOF) && line != "" {
		err = nil
	}
	return line, err
}

// hidden reads a line of a terminal without showing it; nil when in is none.
func hidden(in io.Reader) func(context.Context) (string, error) {
	f, ok := in.(interface{ Fd() uintptr })
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	fd := int(f.Fd())
	return func(ctx context.Context) (string, error) {
		before, err := term.GetState(fd)
		if err != nil {
			return "", err
		}
		type answer struct {
			line []byte
			err  error
		}
		answers := make(chan answer, 1)
		go func() {
			line, err := term.ReadPassword(fd)
			answers <- answer{line, err}
		}()
		select {
		case a := <-answers:
			if len(a.line) > secretLimit {
				return "", errors.New("the line is too long")
			}
			return string(a.line), a.err
		case <-ctx.Done():
			return "", errors.Join(ctx.Err(), term.Restore(fd, before))
		}
	}
}

// Note prints one line for people on Err, between questions. With JSON it is silent.
func (c *Console) Note(format string, args ...any) {
	if c.json {
		return
	}
	c.write(c.err, wrap(clean(fmt.Sprintf(format, args...)), c.errs)+"\n")
}
