package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// request is grubby's command line: each option with its value, "" where it takes none.
type request map[string]string

// valued are the options that take a value.
var valued = [...]string{"add-kernel", "args", "config-file", "env", "info", "initrd", "remove-args", "remove-kernel", "set-default", "set-default-index", "title", "update-kernel"}

// parse reads the options, with a value after "=" or in the next word, as popt does.
func parse(args []string) (request, error) {
	r := make(request)
	for i := 0; i < len(args); i++ {
		name, value, has := strings.Cut(strings.TrimPrefix(args[i], "--"), "=")
		if !strings.HasPrefix(args[i], "--") {
			return nil, fmt.Errorf("grubby: unexpected argument %s", args[i])
		}
		if slices.Contains(valued[:], name) && !has {
			if i++; i == len(args) {
				return nil, fmt.Errorf("grubby: bad argument --%s: missing argument", name)
			}
			value = args[i]
		}
		r[name] = value
	}
	return r, nil
}

// grubby does one of the things that it is asked for, as 8.28 does on a host with GRUB 2.
func (m machine) grubby(args []string) error {
	r, err := parse(args)
	if err != nil {
		return err
	}
	list, err := readMenu(m.config())
	if err != nil {
		return fmt.Errorf("grubby: %w", err)
	}
	has := func(name string) bool { _, ok := r[name]; return ok }
	switch {
	case has("default-kernel"), has("default-index"), has("default-title"):
		return m.showDefault(list, r)
	case has("info"):
		return m.info(list, r["info"])
	case has("set-default"):
		return m.setDefault(list, r["set-default"])
	case has("add-kernel"):
		return m.add(list, r)
	case has("update-kernel"):
		return m.update(list, r)
	case has("remove-kernel"):
		return remove(list, r["remove-kernel"])
	}
	return errors.New("grubby: this stand-in knows nothing that is asked for here")
}

// standard is the index of the default entry; -1 when the environment names none that is there.
func (m machine) standard(list *menu) (int, error) {
	if !list.has("saved_entry") {
		return 0, nil
	}
	env, err := environment(m.environment())
	if err != nil {
		return 0, err
	}
	return list.find(env["saved_entry"]), nil
}

func (m machine) showDefault(list *menu, r request) error {
	i, err := m.standard(list)
	if err != nil {
		return err
	}
	// What is no suitable image is passed over in silence.
	if i < 0 || !m.there(list.kernel(list.entries[i])) {
		return nil
	}
	if _, ok := r["default-kernel"]; ok {
		fmt.Fprintln(m.stdout, list.kernel(list.entries[i]))
	} else if _, ok := r["default-index"]; ok {
		fmt.Fprintln(m.stdout, i)
	} else {
		fmt.Fprintln(m.stdout, list.entries[i].title)
	}
	return nil
}

// there says whether a path is a file of the host.
func (m machine) there(path string) bool {
	info, err := os.Stat(filepath.Join(m.root, path))
	return path != "" && err == nil && info.Mode().IsRegular()
}

var errNoKernel = errors.New("grubby: kernel not found")

// info shows the entries of a kernel, or all.
func (m machine) info(list *menu, which string) error {
	var chosen []int
	switch which {
	case "ALL":
		for i := range list.entries {
			chosen = append(chosen, i)
		}
	case "DEFAULT":
		i, err := m.standard(list)
		if err != nil {
			return err
		}
		if i >= 0 {
			chosen = append(chosen, i)
		}
	default:
		chosen = list.matching(which)
	}
	if len(chosen) == 0 {
		return errNoKernel
	}
	for _, i := range chosen {
		m.show(list, i)
	}
	return nil
}

func (m machine) show(list *menu, i int) {
	e := list.entries[i]
	fmt.Fprintf(m.stdout, "index=%d\n", i)
	if e.linux < 0 {
		fmt.Fprintln(m.stdout, "non linux entry")
		return
	}
	var args []string
	root := ""
	for _, a := range list.arguments(e) {
		if device, ok := strings.CutPrefix(a, "root="); ok {
			root = device
		} else {
			args = append(args, a)
		}
	}
	fmt.Fprintf(m.stdout, "kernel=%s\nargs=\"%s\"\n", list.kernel(e), strings.Join(args, " "))
	if root != "" {
		fmt.Fprintf(m.stdout, "root=%s\n", root)
	}
	if e.initrd >= 0 {
		fmt.Fprintf(m.stdout, "initrd=%s\n", bootPath(split(list.lines[e.initrd])[1]))
	}
	fmt.Fprintf(m.stdout, "title=%s\n", e.title)
}

func (m machine) setDefault(list *menu, path string) error {
	found := list.matching(path)
	if len(found) == 0 || !m.there(path) {
		return errNoKernel
	}
	if !list.has("saved_entry") {
		return errors.New("grubby: this stand-in sets a default only where grub.cfg reads ${saved_entry}")
	}
	return m.setenv(m.environment(), "saved_entry="+list.entries[found[0]].title)
}
