package main

import (
	"errors"
	"fmt"
	"strings"
)

// choose does what grub.cfg of an el7 says at a boot: an entry that is to be booted once goes first, and is taken out of grubenv
// before anything else happens; else the saved one counts. What names no entry means the first.
func (m machine) choose() error {
	list, err := readMenu(m.config())
	if err != nil {
		return err
	}
	if len(list.entries) == 0 {
		return errors.New("grub.cfg has no entry")
	}
	env, err := environment(m.environment())
	if err != nil {
		return err
	}
	name := ""
	if list.has("saved_entry") {
		name = env["saved_entry"]
	}
	if once := env["next_entry"]; once != "" && list.has("next_entry") {
		// As GRUB's "set next_entry=" and "save_env next_entry": the name stays, without a value.
		if err := m.setenv(m.environment(), "next_entry="); err != nil {
			return err
		}
		name = once
	}
	e := list.entries[max(list.find(name), 0)]
	path := list.kernel(e)
	release, ok := strings.CutPrefix(path, "/boot/vmlinuz-")
	if !ok {
		return fmt.Errorf("the entry %q boots %q: no kernel that this stand-in knows", e.title, path)
	}
	fmt.Fprintf(m.stdout, "%s\t%s\n", release, strings.Join(list.arguments(e), " "))
	return nil
}
