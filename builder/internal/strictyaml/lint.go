package strictyaml

import (
	"errors"
	"fmt"
)

// Linter looks at what was decoded from a file and collects what is wrong with it. Of a place where Decode found something it
// says nothing more, and nothing of what lies below a value that could not be read.
type Linter struct {
	source *Source
	said   map[string]bool
	found  []Problem
	warned []Problem
}

// Lint decodes data into v as Decode does, and lets check look at what could be read, so that everything that is wrong comes
// at once. Warnings are findings with which the file can be used, in the order of its lines. The error is a *Problems.
func Lint(name string, data []byte, v any, check func(*Linter)) (warnings []Problem, err error) {
	source, err := Decode(name, data, v)
	all := &Problems{Name: name}
	var list *Problems
	switch {
	case errors.As(err, &list):
		all = list
	case err != nil:
		return nil, err
	}
	if source != nil {
		l := &Linter{source: source, said: map[string]bool{}}
		for _, p := range all.Items {
			l.said[p.Path] = true
		}
		check(l)
		all.Items, warnings = append(all.Items, l.found...), l.warned
	}
	if len(all.Items) > 0 {
		SortProblems(all.Items)
		return nil, all
	}
	SortProblems(warnings)
	return warnings, nil
}

// Wrong notes a finding at a path of keys (string) and list indexes (int).
func (l *Linter) Wrong(path []any, format string, args ...any) {
	if !l.silent(path) {
		l.found = append(l.found, l.source.Problem(path, fmt.Sprintf(format, args...)))
	}
}

// Warn notes something with which the file can be used.
func (l *Linter) Warn(path []any, format string, args ...any) {
	if !l.silent(path) {
		l.warned = append(l.warned, l.source.Problem(path, fmt.Sprintf(format, args...)))
	}
}

// Line is the line in which the value at a path stands; see Source.Position.
func (l *Linter) Line(path ...any) int {
	line, _ := l.source.Position(path...)
	return line
}

func (l *Linter) silent(path []any) bool {
	if l.said[Path(path...)] {
		return true
	}
	for n := range path {
		if l.source.unread[Path(path[:n]...)] {
			return true
		}
	}
	return false
}

// Problem is a finding at a path.
func (s *Source) Problem(path []any, text string) Problem {
	line, column := s.Position(path...)
	return Problem{Line: line, Column: column, Path: Path(path...), Text: text}
}
