package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// loadsUnits says whether a call of systemctl makes systemd read unit files.
func loadsUnits(p *parsed) bool {
	return len(p.operands) > 0 && slices.Contains([]string{
		"start", "restart", "try-restart", "reload-or-restart", "enable", "reenable", "preset", "daemon-reload", "isolate", "link",
	}, p.operands[0])
}

// unitFiles lists unit files and drop-ins below root as paths such as "/etc/systemd/system/x.service", sorted. Links are left
// out: they lead to one of the files, or to nothing.
func unitFiles(root string) ([]string, error) {
	var files []string
	for _, dir := range []string{"/etc/systemd/system", "/usr/lib/systemd/system"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			rel := "/" + strings.TrimPrefix(strings.TrimPrefix(path, filepath.Clean(root)), "/")
			if d.Type().IsRegular() && unitSection(rel) != "" {
				files = append(files, rel)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(files)
	return files, nil
}

// unitSection names the section that a unit file of this name has besides [Unit] and [Install]; "" when it is no unit file. A
// drop-in counts as the unit it belongs to.
func unitSection(path string) string {
	name := filepath.Base(path)
	if filepath.Ext(name) == ".conf" {
		dir, ok := strings.CutSuffix(filepath.Base(filepath.Dir(path)), ".d")
		if !ok {
			return ""
		}
		name = dir
	}
	switch ext := filepath.Ext(name); ext {
	case ".service", ".socket", ".mount", ".automount", ".swap", ".timer", ".path", ".slice", ".scope":
		return strings.ToUpper(ext[1:2]) + ext[2:]
	case ".target":
		return "Unit"
	}
	return ""
}

// checkUnits holds all unit files that are not the base system's against systemd 219.
func checkUnits(root string) error {
	base, err := baseUnits(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	files, err := unitFiles(root)
	if err != nil {
		return err
	}
	rules, err := loadUnitRules()
	if err != nil {
		return err
	}
	var faults []error
	for _, f := range files {
		if slices.Contains(base, f) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(root, f))
		if err != nil {
			return err
		}
		faults = append(faults, rules.check(f, string(data))...)
	}
	return errors.Join(faults...)
}

// unitRules is what systemd 219 knows of unit files.
type unitRules struct {
	sections   map[string][]string
	values     map[string][]string // "Service.Type", or "*.KillMode" in any section
	specifiers string
}

func loadUnitRules() (*unitRules, error) {
	data, err := tables.ReadFile("tables/units.txt")
	if err != nil {
		return nil, err
	}
	r := &unitRules{sections: map[string][]string{}, values: map[string][]string{}}
	for n, line := range strings.Split(string(data), "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		switch f[0] {
		case "section":
			name := strings.TrimSuffix(f[1], ":")
			r.sections[name] = append(r.sections[name], f[2:]...)
		case "values":
			r.values[f[1]] = f[2:]
		case "specifiers":
			r.specifiers = strings.Join(f[1:], "")
		default:
			return nil, fmt.Errorf("table units line %d: unknown key %q", n+1, f[0])
		}
	}
	return r, nil
}

// setting is one line of a unit file; a line that ends in a backslash goes on in the next.
type setting struct {
	line                int
	section, key, value string
}

// check reads one unit file and names each fault with its line.
func (r *unitRules) check(path, text string) []error {
	var faults []error
	var all []setting
	section := ""
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		start := i + 1
		line := strings.TrimSpace(lines[i])
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		for strings.HasSuffix(line, "\\") && i+1 < len(lines) {
			i++
			line = strings.TrimSuffix(line, "\\") + " " + strings.TrimSpace(lines[i])
		}
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("%s:%d: %s", path, start, fmt.Sprintf(format, args...)))
		}
		if line[0] == '[' {
			section = strings.Trim(line, "[]")
			if !r.hasSection(path, section) {
				fault("systemd 219 has no section [%s] in such a unit", section)
			}
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || section == "" {
			fault("%q is no assignment in a section", line)
			continue
		}
		s := setting{start, section, strings.TrimSpace(key), strings.TrimSpace(value)}
		all = append(all, s)
		if why := r.setting(s); why != "" {
			fault("%s", why)
		}
	}
	return append(faults, together(path, all)...)
}

// hasSection says whether a unit of this kind has the section; those that begin with X- are passed over by systemd on purpose.
func (r *unitRules) hasSection(path, section string) bool {
	if strings.HasPrefix(section, "X-") {
		return true
	}
	return section == "Unit" || section == "Install" || section == unitSection(path)
}

// setting says what is wrong with one assignment; "" when nothing is.
func (r *unitRules) setting(s setting) string {
	if strings.HasPrefix(s.section, "X-") || strings.HasPrefix(s.key, "X-") {
		return ""
	}
	known, ok := r.sections[s.section]
	if !ok {
		return "" // the section's own line was refused
	}
	if !slices.Contains(known, s.key) {
		return fmt.Sprintf("systemd 219 has no %s= in [%s]", s.key, s.section)
	}
	for _, name := range []string{s.section + "." + s.key, "*." + s.key} {
		if v, ok := r.values[name]; ok && s.value != "" && !slices.Contains(v, s.value) {
			return fmt.Sprintf("systemd 219 knows no value %q of %s=", s.value, s.key)
		}
	}
	if strings.HasPrefix(s.key, "Exec") && s.value != "" {
		word := strings.Fields(s.value)[0]
		if !strings.HasPrefix(strings.TrimLeft(strings.Trim(word, `"'`), "-@"), "/") {
			return fmt.Sprintf("the first word of %s= is %q: systemd 219 wants an absolute path, with no prefix but - and @", s.key, word)
		}
	}
	if !strings.HasPrefix(s.key, "On") {
		return r.specifier(s)
	}
	return ""
}

// specifier looks for a % with a letter that 219 does not know.
func (r *unitRules) specifier(s setting) string {
	for i := 0; i < len(s.value); i++ {
		if s.value[i] != '%' {
			continue
		}
		i++
		if i < len(s.value) && !strings.ContainsRune(r.specifiers, rune(s.value[i])) {
			return fmt.Sprintf("systemd 219 knows no specifier %%%c (in %s=)", s.value[i], s.key)
		}
	}
	return ""
}

// together looks at what settings of one service mean with each other.
func together(path string, all []setting) []error {
	if !strings.HasSuffix(path, ".service") {
		return nil
	}
	last := map[string]setting{}
	starts := 0
	for _, s := range all {
		if s.section != "Service" {
			continue
		}
		last[s.key] = s
		switch {
		case s.key == "ExecStart" && s.value == "":
			starts = 0
		case s.key == "ExecStart":
			starts++
		}
	}
	var faults []error
	fault := func(s setting, why string) { faults = append(faults, fmt.Errorf("%s:%d: %s", path, s.line, why)) }
	oneshot := last["Type"].value == "oneshot"
	if r := last["Restart"]; oneshot && r.value != "" && r.value != "no" {
		fault(r, "systemd 219 refuses a oneshot service with Restart="+r.value)
	}
	if r, ok := last["RestartForceExitStatus"]; oneshot && ok {
		fault(r, "systemd 219 refuses a oneshot service with RestartForceExitStatus=")
	}
	if starts > 1 && !oneshot {
		fault(last["ExecStart"], "systemd 219 allows several ExecStart= in a oneshot service only")
	}
	if _, stop := last["ExecStop"]; starts == 0 && (!stop || last["RemainAfterExit"].value != "yes") {
		fault(setting{line: 1}, "systemd 219 refuses a service without ExecStart= unless it has ExecStop= and RemainAfterExit=yes")
	}
	return faults
}
