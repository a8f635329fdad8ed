package catalogue

import (
	"errors"
	"strings"

	"offgrid/builder/internal/strictyaml"
)

// Problem is one finding about a catalogue.
type Problem struct {
	Line   int    // from 1; 0 when it concerns the file as a whole
	Column int    // from 1, in characters
	Path   string // "downloads[2].releases[0].url"
	Text   string // what is wrong and what would be right
}

// Problems is the error of Load: everything that is wrong with the file, in the order of its lines.
type Problems struct {
	Name  string // of the file, for people
	Items []Problem
}

func (p *Problems) Error() string {
	lines := make([]string, len(p.Items))
	for i, item := range p.Items {
		lines[i] = strictyaml.Problem(item).Format(p.Name)
	}
	return strings.Join(lines, "\n")
}

// Load reads and checks a catalogue. The error is a *Problems with all findings at once.
func Load(name string, data []byte) (*Catalogue, error) {
	c := &Catalogue{}
	source, err := strictyaml.Decode(name, data, c)
	var found []strictyaml.Problem
	var list *strictyaml.Error
	switch {
	case errors.As(err, &list):
		found = list.Problems
	case err != nil:
		return nil, err
	}
	if source != nil {
		l := &linter{c: c, source: source, silent: map[string]bool{}}
		for _, p := range found {
			l.silent[p.Path] = true // said already; what follows from it is not another finding
		}
		l.run()
		found = append(found, l.found...)
	}
	if len(found) == 0 {
		return c, nil
	}
	strictyaml.SortProblems(found)
	p := &Problems{Name: name}
	for _, item := range found {
		p.Items = append(p.Items, Problem(item))
	}
	return nil, p
}
