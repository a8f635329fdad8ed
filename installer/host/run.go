package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Limits of what a command may print: iptables-save of a busy node is a few MiB; errors are read by people.
const (
	stdoutMax = 32 << 20
	stderrMax = 64 << 10
)

// graceTime is how long a cancelled command has to end by itself: rpm finishes what it has begun.
const graceTime = 10 * time.Second

// commandPath is where commands are looked for. sudo and cron on el7 leave out half of it.
const commandPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is all that a command gets: messages in C's locale, and nothing of the operator's shell, such as proxies.
func environment() []string {
	return []string{"LC_ALL=C", "LANG=C", "PATH=" + commandPath, "HOME=/root", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0", "TERM=dumb"}
}

// run runs a command in a process group of its own: the terminal's interrupt is for the installer, which lets the command
// finish, and a cancelled command goes with all its children.
func run(ctx context.Context, stdin io.Reader, argv []string) ([]byte, error) {
	if len(argv) == 0 {
		return nil, errors.New("running a command: internal error: there is none")
	}
	program, err := lookPath(argv[0])
	if err != nil {
		return nil, &RunError{Argv: argv, Code: -1, Err: err}
	}
	stdout, stderr := &capped{limit: stdoutMax}, &capped{limit: stderrMax}
	cmd := exec.CommandContext(ctx, program, argv[1:]...)
	cmd.Args[0] = argv[0]
	cmd.Env = environment()
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = stdout, stderr
	in := &input{r: stdin}
	if stdin != nil {
		cmd.Stdin = in
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = graceTime
	err = cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil {
		err = nil // it ended well; a daemon that it started still holds its output
	}
	if ctx.Err() != nil && cmd.Process != nil {
		// Children that outlived the first one and its time of grace. That there are none is the usual case.
		if kerr := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); kerr != nil && !errors.Is(kerr, syscall.ESRCH) {
			err = errors.Join(err, kerr)
		}
	}
	switch {
	case in.failed() != nil:
		return stdout.Bytes(), fmt.Errorf("giving %s its input: %w", strings.Join(argv, " "), in.failed())
	case err != nil:
		return stdout.Bytes(), runError(argv, err, stdout, stderr)
	case stdout.over:
		return nil, fmt.Errorf("running %s: it printed more than %d bytes", strings.Join(argv, " "), stdoutMax)
	}
	return stdout.Bytes(), nil
}

// input is what a command reads. It remembers why it could not be read to its end: that is the cause, and what the command
// says of an input that breaks off is a consequence.
type input struct {
	r   io.Reader
	mu  sync.Mutex
	err error
}

// Read implements io.Reader.
func (i *input) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		i.mu.Lock()
		i.err = err
		i.mu.Unlock()
	}
	return n, err
}

// failed returns the error that ended the input, nil when it came to its end or the command read no further.
func (i *input) failed() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.err
}

// runError says how a command ended.
func runError(argv []string, err error, stdout, stderr *capped) error {
	e := &RunError{Argv: argv, Code: -1, Stdout: stdout.String(), Stderr: stderr.String(), Err: err}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		e.Code = exit.ExitCode()
	}
	return e
}

// lookPath finds a program in commandPath, whatever the PATH of the installer is.
func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range filepath.SplitList(commandPath) {
		full := filepath.Join(dir, name)
		info, err := os.Stat(full)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return "", err
		}
		if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return full, nil
		}
	}
	return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
}
