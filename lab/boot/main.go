// Command boot stands, on the lab's hosts, for the programs around GRUB that Debian does not have. It works on the files that
// GRUB itself reads, so that the same program serves a container, where nothing boots, and an emulated machine with a real GRUB.
//
// Called as grubby it is grubby 8.28's part that a host with GRUB 2 uses: the entries of grub.cfg, and the saved one in grubenv.
//
// Called as boot it is GRUB, for a container:
//
//	boot choose    reads grubenv and grub.cfg as GRUB does, takes the entry that is to be booted once out of grubenv, and
//	               prints the release of the kernel, a tab, and its arguments
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

func main() {
	m := machine{root: "/", stdout: os.Stdout, setenv: editenv}
	err := m.run(filepath.Base(os.Args[0]), os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// machine is what is worked on.
type machine struct {
	root   string // "/" but in tests
	stdout io.Writer
	setenv func(file, assignment string) error
}

// editenv changes a file of GRUB's environment the way GRUB's own tools do.
func editenv(file, assignment string) error {
	out, err := exec.Command("grub2-editenv", file, "set", assignment).CombinedOutput()
	if err != nil {
		return fmt.Errorf("grub2-editenv %s set %q: %w: %s", file, assignment, err, out)
	}
	return nil
}

func (m machine) run(name string, args []string) error {
	switch {
	case name == "grubby":
		return m.grubby(args)
	case len(args) == 1 && args[0] == "choose":
		return m.choose()
	}
	return errors.New("usage: boot choose, or called as grubby")
}

// config is grub.cfg, environment grubenv: where an el7 that boots by a BIOS has them.
func (m machine) config() string {
	if name, err := filepath.EvalSymlinks(filepath.Join(m.root, "etc/grub2.cfg")); err == nil {
		return name
	}
	return filepath.Join(m.root, "boot/grub2/grub.cfg")
}

func (m machine) environment() string { return filepath.Join(m.root, "boot/grub2/grubenv") }
