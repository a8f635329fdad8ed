package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// add puts a new entry before the others, made from the default one.
func (m machine) add(list *menu, r request) error {
	path, title := r["add-kernel"], r["title"]
	if title == "" {
		return errors.New("grubby: kernel title must be specified")
	}
	if !m.there(path) {
		return fmt.Errorf("grubby: %s: no such file", path)
	}
	i, err := m.standard(list)
	if err != nil {
		return err
	}
	if i < 0 || list.entries[i].linux < 0 {
		i = slices.IndexFunc(list.entries, func(e entry) bool { return e.linux >= 0 })
	}
	if i < 0 {
		return errors.New("grubby: there is no entry to make one from")
	}
	old := list.entries[i]
	var lines []string
	for n := old.first; n < old.end; n++ {
		switch line := list.lines[n]; n {
		case old.first:
			line = strings.Replace(line, "'"+old.title+"'", "'"+title+"'", 1)
			if old.id != "" {
				release := strings.TrimPrefix(list.kernel(old), "/boot/vmlinuz-")
				line = strings.Replace(line, release+"-", strings.TrimPrefix(path, "/boot/vmlinuz-")+"-", 1)
			}
			lines = append(lines, line)
		case old.linux:
			lines = append(lines, withPath(line, path))
		case old.initrd:
			if r["initrd"] != "" {
				lines = append(lines, withPath(line, r["initrd"]))
			}
		default:
			lines = append(lines, line)
		}
	}
	list.lines = slices.Insert(list.lines, list.entries[0].first, lines...)
	if err := list.write(); err != nil {
		return err
	}
	if r["args"] == "" {
		return nil
	}
	again, err := readMenu(list.file)
	if err != nil {
		return err
	}
	return m.update(again, request{"update-kernel": path, "args": r["args"]})
}

// withPath puts another file into a line like "linux16 /vmlinuz-1 root=...", where the old one was.
func withPath(line, path string) string {
	words := split(line)
	old := words[1]
	dir := old[:strings.LastIndexByte(old, '/')+1]
	return strings.Replace(line, old, dir+path[strings.LastIndexByte(path, '/')+1:], 1)
}

// update changes arguments and the first file system of a kernel's entries.
func (m machine) update(list *menu, r request) error {
	found := list.matching(r["update-kernel"])
	if len(found) == 0 {
		return errNoKernel
	}
	// from the end, so that a line that comes in moves none of the others
	for _, i := range slices.Backward(found) {
		e := list.entries[i]
		words := split(list.lines[e.linux])
		head, args := words[:2], words[2:]
		for _, gone := range strings.Fields(r["remove-args"]) {
			args = slices.DeleteFunc(args, func(a string) bool { return key(a) == key(gone) })
		}
		for _, more := range strings.Fields(r["args"]) {
			args = slices.DeleteFunc(args, func(a string) bool { return key(a) == key(more) && key(a) != "console" })
			args = append(args, more)
		}
		indent := list.lines[e.linux][:len(list.lines[e.linux])-len(strings.TrimLeft(list.lines[e.linux], " \t"))]
		list.lines[e.linux] = indent + strings.Join(append(head, args...), " ")
		if r["initrd"] == "" {
			continue
		}
		line := indent + strings.Replace(head[0], "linux", "initrd", 1) + " " + head[1]
		if e.initrd >= 0 {
			list.lines[e.initrd] = withPath(list.lines[e.initrd], r["initrd"])
		} else {
			list.lines = slices.Insert(list.lines, e.linux+1, withPath(line, r["initrd"]))
		}
	}
	return list.write()
}

// key is an argument without its value: arguments are compared by that.
func key(arg string) string {
	name, _, _ := strings.Cut(arg, "=")
	return name
}

// remove takes a kernel's entries out.
func remove(list *menu, path string) error {
	for _, i := range slices.Backward(list.matching(path)) {
		e := list.entries[i]
		list.lines = slices.Delete(list.lines, e.first, e.end)
	}
	return list.write()
}
