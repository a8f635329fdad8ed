package main

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed tables
var tables embed.FS

// table is what the el7 version of one tool knows. See parseTable for the form of the files.
type table struct {
	Name    string
	Version string
	Paths   []string // where the tool stands, on the lab's hosts and on el7
	Style   string   // how it reads its arguments: see parse

	Short map[byte]arity    // short options
	Long  map[string]arity  // long options, without dashes
	Order []string          // long options in the table's order
	Alias map[byte]string   // short option -> long option that means the same
	Verbs []string          // what the first operand may be; empty: anything
	Lists map[string]values // option -> what its value may be

	Options  map[string][]string // style openssl: verb -> options
	Operands string              // "none": it takes no operand
	Plain    []string            // options whose value may not have spaces

	VersionArgs []string // the one argument that asks for the version
	Prints      []string // the answer's lines

	RPMLib  []string // features of packages
	Payload []string // compressors of packages
}

// arity says whether an option takes a value.
type arity int

const (
	noValue arity = iota
	needsValue
	mayHaveValue
)

// values are the values that an option may have.
type values struct {
	known   []string
	list    bool // commas between several
	refused bool // all but known
}

// toolFile maps a tool's name to the table that is used for it.
func toolFile(name string) string {
	if rest, ok := strings.CutPrefix(name, "ip6tables"); ok {
		return "iptables" + rest
	}
	return name
}

// loadTable reads the table of a tool.
func loadTable(name string) (*table, error) {
	file := toolFile(name)
	data, err := tables.ReadFile("tables/" + file + ".txt")
	if err != nil {
		return nil, fmt.Errorf("no table for %q: %w", name, err)
	}
	return parseTable(file, string(data))
}

// parseTable reads lines of "KEY WORD...": path, version, style, short (as getopt writes it), long (NAME, NAME= or NAME=?), verb,
// alias (S=LONG), values OPTION VALUE..., list OPTION VALUE..., refused-values OPTION VALUE..., options VERB NAME..., operands,
// plain, version-args, prints (the rest of the line), rpmlib, payload. A key may be there several times. # begins a comment.
func parseTable(name, text string) (*table, error) {
	t := &table{
		Name: name, Short: map[byte]arity{}, Long: map[string]arity{}, Alias: map[byte]string{},
		Lists: map[string]values{}, Options: map[string][]string{},
	}
	for n, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		key, rest, _ := strings.Cut(line, " ")
		if key == "prints" {
			t.Prints = append(t.Prints, rest)
			continue
		}
		if err := t.add(key, strings.Fields(rest)); err != nil {
			return nil, fmt.Errorf("table %s line %d: %w", name, n+1, err)
		}
	}
	return t, nil
}

// add takes one line.
func (t *table) add(key string, words []string) error {
	switch key {
	case "path":
		t.Paths = append(t.Paths, words...)
	case "version":
		t.Version = strings.Join(words, " ")
	case "style":
		t.Style = strings.Join(words, " ")
	case "short":
		t.addShort(strings.Join(words, ""))
	case "long":
		for _, w := range words {
			t.addLong(w)
		}
	case "verb":
		t.Verbs = append(t.Verbs, words...)
	case "alias":
		for _, w := range words {
			t.Alias[w[0]] = w[2:]
		}
	case "values", "list", "refused-values":
		v := t.Lists[words[0]]
		v.known = append(v.known, words[1:]...)
		v.list, v.refused = key == "list", key == "refused-values"
		t.Lists[words[0]] = v
	case "options":
		t.Options[words[0]] = append(t.Options[words[0]], words[1:]...)
	case "operands":
		t.Operands = words[0]
	case "plain":
		t.Plain = append(t.Plain, words...)
	case "version-args":
		t.VersionArgs = append(t.VersionArgs, words...)
	case "rpmlib":
		t.RPMLib = append(t.RPMLib, words...)
	case "payload":
		t.Payload = append(t.Payload, words...)
	default:
		return fmt.Errorf("unknown key %q", key)
	}
	return nil
}

// addShort takes options as getopt writes them: "a", "b:" with a value, "c::" with one or none.
func (t *table) addShort(s string) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		t.Short[c] = noValue
		for a := needsValue; a <= mayHaveValue && i+1 < len(s) && s[i+1] == ':'; a++ {
			t.Short[c] = a
			i++
		}
	}
}

// addLong takes one long option: "name", "name=" with a value, "name=?" with one or none.
func (t *table) addLong(w string) {
	a := noValue
	if name, ok := strings.CutSuffix(w, "=?"); ok {
		w, a = name, mayHaveValue
	} else if name, ok := strings.CutSuffix(w, "="); ok {
		w, a = name, needsValue
	}
	if _, ok := t.Long[w]; !ok {
		t.Order = append(t.Order, w)
	}
	t.Long[w] = a
}

// asksVersion says whether the arguments only ask for the version, which callers may decide by.
func (t *table) asksVersion(args []string) bool {
	return len(args) == 1 && len(t.Prints) > 0 && slices.Contains(t.VersionArgs, args[0])
}

// absentNames maps the names that el7 lacks to where their stand-ins go.
func absentNames() (map[string]string, error) {
	data, err := tables.ReadFile("tables/absent.txt")
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	dir := ""
	for _, line := range strings.Split(string(data), "\n") {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || f[0] == "#":
		case f[0] == "path":
			dir = strings.TrimSuffix(f[1], "NAME")
		case f[0] == "absent":
			for _, n := range f[1:] {
				names[n] = dir + n
			}
		}
	}
	return names, nil
}

// isAbsent says whether el7 lacks the tool.
func isAbsent(name string) (bool, error) {
	names, err := absentNames()
	_, ok := names[name]
	return ok, err
}

// toolNames are the names of all tools, sorted.
func toolNames() ([]string, error) {
	paths, err := toolPaths()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range paths {
		names = append(names, p[strings.LastIndexByte(p, '/')+1:])
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// toolPaths are the places of all tools that el7 has, sorted.
func toolPaths() ([]string, error) {
	entries, err := tables.ReadDir("tables")
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".txt")
		if name == "absent" || name == "units" {
			continue
		}
		t, err := loadTable(name)
		if err != nil {
			return nil, err
		}
		paths = append(paths, t.Paths...)
	}
	slices.Sort(paths)
	return paths, nil
}
