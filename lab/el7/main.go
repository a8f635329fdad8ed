// Command el7 stands in front of system tools on the lab's hosts and refuses what the tools of CentOS 7.9 do not know. The hosts
// run a newer system: without this, a call that works there could fail on the first real host.
//
// Called by a tool's name it holds the arguments against that tool's table (tables/NAME.txt); when all are known it runs the
// original with the same arguments and environment, otherwise it exits with 64 and says which tool, which version and which
// option. Each refusal is also a line of /var/log/el7-refused, so that a test can see that there was none.
//
// Called as el7:
//
//	el7 --install ROOT   put the stand-ins in place below ROOT and record the base system's unit files
//	el7 --units ROOT     check the unit files that are not the base system's
//	el7 --names          the names of all tools that it stands for
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Exit codes of a stand-in.
const (
	exitRefused  = 64  // an option, a verb, a unit file or a package that el7 does not know
	exitNotFound = 127 // the command is not there, as shells say it
)

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }

// run does what the program's name says and returns the exit code. It returns only when nothing else was executed.
func run(argv []string, stdout, stderr io.Writer) int {
	name := filepath.Base(argv[0])
	if name == "el7" {
		return command(argv[1:], stdout, stderr)
	}
	s := standIn{root: "/", stderr: stderr, stdout: stdout}
	return s.call(name, argv)
}

// command handles the program's own command line.
func command(args []string, stdout, stderr io.Writer) int {
	var err error
	switch {
	case len(args) == 2 && args[0] == "--install":
		err = install(args[1])
	case len(args) == 2 && args[0] == "--units":
		err = checkUnits(args[1])
	case len(args) == 1 && args[0] == "--names":
		var all []string
		if all, err = toolNames(); err == nil {
			fmt.Fprintln(stdout, strings.Join(all, "\n"))
		}
	default:
		fmt.Fprintln(stderr, "usage: el7 --install ROOT | --units ROOT | --names")
		return 2
	}
	if err != nil {
		fmt.Fprintln(stderr, "el7:", err)
		return 1
	}
	return 0
}

// standIn is one call of a tool.
type standIn struct {
	root           string // of the file system; "/" but in tests
	stdout, stderr io.Writer
	exec           func(path string, argv, env []string) error // syscall.Exec but in tests
}

// call answers a call of the tool name.
func (s standIn) call(name string, argv []string) int {
	if s.exec == nil {
		s.exec = syscall.Exec
	}
	if alias(name) {
		return s.pass("systemctl", argv)
	}
	absent, err := isAbsent(name)
	if err != nil {
		return s.fail(name, err)
	}
	base := s.ofBaseSystem()
	if absent && !base {
		s.log(name, argv, "not there on el7")
		fmt.Fprintf(s.stderr, "bash: %s: command not found\n", name)
		return exitNotFound
	}
	if absent || base {
		return s.pass(name, argv)
	}
	t, err := loadTable(name)
	if err != nil {
		return s.fail(name, err)
	}
	if t.asksVersion(argv[1:]) {
		fmt.Fprintln(s.stdout, strings.Join(t.Prints, "\n"))
		return 0
	}
	if err := s.check(t, argv[1:]); err != nil {
		return s.refuse(t, name, argv, err)
	}
	if code, done := s.emulate(name, argv); done {
		return code
	}
	if name == "rpm" && changesPackages(t, argv[1:]) {
		// The hosts' rpm warns on every change that it is not the one to use on its own system. el7's has nothing to warn of.
		argv = append([]string{argv[0], "--force-debian"}, argv[1:]...)
	}
	return s.pass(name, argv)
}

// check holds the arguments, and what they name, against the table.
func (s standIn) check(t *table, args []string) error {
	p, err := t.parse(args)
	if err != nil {
		return err
	}
	if err := t.checkValues(p); err != nil {
		return err
	}
	switch t.Name {
	case "systemctl":
		if loadsUnits(p) {
			return checkUnits(s.root)
		}
	case "rpm":
		return t.checkPackages(p)
	}
	return nil
}

// refuse says why a call is not made, and notes it for the tests.
func (s standIn) refuse(t *table, name string, argv []string, err error) int {
	s.log(name, argv, err.Error())
	fmt.Fprintf(s.stderr, "%s: refused: el7 has %s %s: %v\n", name, t.Name, t.Version, err)
	return exitRefused
}

// fail reports a fault of the stand-in itself.
func (s standIn) fail(name string, err error) int {
	s.log(name, []string{name}, "the stand-in failed: "+err.Error())
	fmt.Fprintf(s.stderr, "%s: stand-in: %v\n", name, err)
	return exitRefused
}

// pass runs the original. The base name in argv[0] stays, since several originals look at it.
func (s standIn) pass(name string, argv []string) int {
	path, err := s.original(name)
	if err != nil {
		fmt.Fprintf(s.stderr, "bash: %s: command not found\n", name)
		return exitNotFound
	}
	err = s.exec(path, argv, os.Environ())
	if err == nil {
		return 0
	}
	fmt.Fprintf(s.stderr, "%s: running %s: %v\n", name, path, err)
	return 126
}

// original finds the tool that was moved away.
func (s standIn) original(name string) (string, error) {
	for _, dir := range []string{"usr/bin", "usr/sbin", "bin", "sbin"} {
		path := filepath.Join(s.root, realDir, dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no original")
}

// alias says whether name is one of the links to systemctl that are no verbs of their own tool.
func alias(name string) bool {
	switch name {
	case "halt", "poweroff", "reboot", "shutdown", "runlevel", "telinit":
		return true
	}
	return false
}
