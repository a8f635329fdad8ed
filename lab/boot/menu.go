package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A menu is grub.cfg: its lines, and the entries at its top level.
type menu struct {
	file    string
	lines   []string
	entries []entry
}

// An entry is a menuentry's place among the lines, and what it says.
type entry struct {
	title      string
	id         string // of $menuentry_id_option or --id; "" when it has none
	first, end int    // its lines: from the one with its title up to the one after its "}"
	linux      int    // the line of its kernel; -1 when it is not Linux's
	initrd     int    // the line of its first file system; -1 when it has none
}

// readMenu finds the entries.
func readMenu(file string) (*menu, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	m := &menu{file: file, lines: strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")}
	var open *entry
	for i, line := range m.lines {
		words := split(line)
		switch {
		case len(words) == 0:
		case open == nil && words[0] == "menuentry" && strings.HasPrefix(line, "menuentry"):
			if len(words) < 3 {
				return nil, fmt.Errorf("reading %s: line %d: an entry without a title", file, i+1)
			}
			open = &entry{title: words[1], id: idOf(words), first: i, linux: -1, initrd: -1}
		case open == nil:
		case words[0] == "linux" || words[0] == "linux16" || words[0] == "linuxefi":
			open.linux = i
		case words[0] == "initrd" || words[0] == "initrd16" || words[0] == "initrdefi":
			open.initrd = i
		case line == "}":
			open.end = i + 1
			m.entries = append(m.entries, *open)
			open = nil
		}
	}
	if open != nil {
		return nil, fmt.Errorf("reading %s: the entry %q has no end", file, open.title)
	}
	return m, nil
}

func idOf(words []string) string {
	for i, w := range words {
		if (w == "$menuentry_id_option" || w == "--id") && i+1 < len(words) {
			return words[i+1]
		}
	}
	return ""
}

// split takes a line of GRUB's language apart: words, and quotes around them.
func split(line string) []string {
	var words []string
	var word []byte
	quote, in := byte(0), false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, in = c, true
		case quote == 0 && (c == ' ' || c == '\t'):
			if in {
				words = append(words, string(word))
			}
			word, in = nil, false
		default:
			word, in = append(word, c), true
		}
	}
	if in {
		words = append(words, string(word))
	}
	return words
}

// write replaces grub.cfg.
func (m *menu) write() error {
	var text bytes.Buffer
	for _, line := range m.lines {
		text.WriteString(line + "\n")
	}
	was, err := os.Stat(m.file)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(m.file), ".grub.cfg-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text.Bytes())
	if err == nil {
		err = f.Chmod(was.Mode())
	}
	if err == nil {
		err = f.Sync()
	}
	if close := f.Close(); err == nil {
		err = close
	}
	if err == nil {
		err = os.Rename(f.Name(), m.file)
	}
	return err
}

// kernel is the path of an entry's kernel below /boot, whatever file system that is on; "" when it boots no Linux.
func (m *menu) kernel(e entry) string {
	if e.linux < 0 {
		return ""
	}
	return bootPath(split(m.lines[e.linux])[1])
}

// bootPath is what a path in grub.cfg is called on the host: GRUB leaves out where a file system is mounted.
func bootPath(path string) string { return filepath.Join("/boot", filepath.Base(path)) }

// arguments are the kernel's, as they stand there.
func (m *menu) arguments(e entry) []string { return split(m.lines[e.linux])[2:] }

// find is the index of the entry that GRUB means by a name: a title, an id, or a number. -1: there is none.
func (m *menu) find(name string) int {
	for i, e := range m.entries {
		if e.title == name || e.id != "" && e.id == name {
			return i
		}
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 0 && n < len(m.entries) {
		return n
	}
	return -1
}

// matching are the entries whose kernel is the one with that path.
func (m *menu) matching(path string) []int {
	var all []int
	for i, e := range m.entries {
		if m.kernel(e) == path {
			all = append(all, i)
		}
	}
	return all
}

// has says whether grub.cfg uses a variable of the environment.
func (m *menu) has(variable string) bool {
	for _, line := range m.lines {
		if strings.Contains(line, "${"+variable+"}") {
			return true
		}
	}
	return false
}

// environment reads grubenv.
func environment(file string) (map[string]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if len(data) != 1024 || !bytes.HasPrefix(data, []byte("# GRUB Environment Block\n")) {
		return nil, fmt.Errorf("reading %s: it is no block of 1024 bytes that begins as GRUB's environment does", file)
	}
	all := make(map[string]string)
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok && !strings.HasPrefix(line, "#") {
			all[key] = value
		}
	}
	return all, nil
}
