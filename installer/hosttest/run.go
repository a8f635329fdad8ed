package hosttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"strings"

	"offgrid/installer/host"
)

// Run implements host.Host: a script, or the fake of the command. docker reads its input as it comes, as the real one
// does; all others get it whole.
func (h *Host) Run(_ context.Context, stdin io.Reader, argv ...string) ([]byte, error) {
	h.alive()
	line := strings.Join(argv, " ")
	h.Ran = append(h.Ran, line)
	in := &input{r: stdin}
	if stdin == nil {
		in.r = strings.NewReader("")
	}
	out, err := h.run(h.script(line), in, argv)
	if in.err != nil {
		return nil, fmt.Errorf("giving %s its input: %w", line, in.err)
	}
	return []byte(out), err
}

// input is what a command reads; err is why it could not be read to its end.
type input struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (i *input) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		i.err = err
	}
	return n, err
}

// script is the longest script that the command line begins with; nil when there is none.
func (h *Host) script(line string) Script {
	best := ""
	for prefix := range h.scripts {
		if (line == prefix || strings.HasPrefix(line, prefix+" ")) && len(prefix) > len(best) {
			best = prefix
		}
	}
	return h.scripts[best]
}

func (h *Host) run(run Script, in io.Reader, argv []string) (string, error) {
	name := path.Base(argv[0])
	if run == nil && name == "docker" {
		return h.docker(in, argv)
	}
	if run == nil {
		run = h.fakes()[name]
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return "", err
	}
	if run == nil {
		return "", &host.RunError{Argv: argv, Code: -1, Err: &exec.Error{Name: argv[0], Err: exec.ErrNotFound}}
	}
	return run(string(data), argv)
}
