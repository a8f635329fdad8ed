package catalogue

import (
	"errors"

	"offgrid/builder/internal/strictyaml"
)

// Problem is one finding about a catalogue.
type Problem = strictyaml.Problem

// Problems is the error of Load: everything that is wrong with the file, in the order of its lines.
type Problems struct{ *strictyaml.Problems }

func problems(err error) error {
	var list *strictyaml.Problems
	if errors.As(err, &list) {
		return &Problems{list}
	}
	return err
}

// Load reads and checks a catalogue. The error is a *Problems with all findings at once.
func Load(name string, data []byte) (*Catalogue, error) {
	c := &Catalogue{}
	if _, err := strictyaml.Lint(name, data, c, func(l *strictyaml.Linter) { (&linter{Linter: l, c: c}).run() }); err != nil {
		return nil, problems(err)
	}
	return c, nil
}
