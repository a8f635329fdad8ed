package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// NoAnswerError says that the input ended before the question was answered.
type NoAnswerError struct{ Question string }

func (e *NoAnswerError) Error() string {
	return fmt.Sprintf("asking %q: the input ended without an answer", e.Question)
}

// Confirm asks question on Err and reads yes or no from In, which may be a terminal or a pipe. An empty line means no. The
// end of the input without an answer is a *NoAnswerError; the end of ctx is its error, also while the question stands.
func (c *Console) Confirm(ctx context.Context, question string) (bool, error) {
	for {
		c.write(c.err, clean(question)+" [y/N] ")
		line, err := c.readLine(ctx)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, fmt.Errorf("asking %q: %w", question, err)
		}
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "y", "yes":
			return true, nil
		case "n", "no":
			return false, nil
		case "":
			if err != nil {
				return false, &NoAnswerError{Question: question}
			}
			return false, nil
		}
		if err != nil {
			return false, &NoAnswerError{Question: question}
		}
		c.write(c.err, "Please answer yes or no.\n")
	}
}

// readLine reads one line of In. The read itself cannot be interrupted: when ctx ends first, its goroutine is left behind
// with the process that is about to exit.
func (c *Console) readLine(ctx context.Context) (string, error) {
	type answer struct {
		line string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		line, err := c.in.ReadString('\n')
		answers <- answer{line, err}
	}()
	select {
	case a := <-answers:
		return a.line, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
