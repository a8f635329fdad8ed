package solver

import (
	"fmt"
	"slices"
	"strings"
)

// Package is one package, installed or available. It provides itself, whether or not Provides says so.
type Package struct {
	Name       string
	EVR        EVR
	Arch       string
	Repository string // where it is; "" for one that is installed
	Provides   []Dep
	Requires   []Dep
	Conflicts  []Dep
	Obsoletes  []Dep
	Files      []string // absolute paths, as far as they are known
	Tag        int      // the caller's own number
}

// String returns the whole name: "docker-ce-3:20.10.24-3.el7.x86_64".
func (p *Package) String() string { return p.Name + "-" + p.EVR.String() + "." + p.Arch }

// self is what the package provides without saying so.
func (p *Package) self() Dep { return Dep{Name: p.Name, Op: Equal, EVR: p.EVR} }

// place names a package with where it is, for people.
func (p *Package) place() string {
	if p.Repository == "" {
		return p.String() + " (installed)"
	}
	return p.String() + " of " + p.Repository
}

// sameAs reports whether two packages have one name, version and architecture.
func (p *Package) sameAs(o *Package) bool {
	return p.Name == o.Name && p.Arch == o.Arch && p.EVR.Compare(o.EVR) == 0
}

// Wanted is something to be installed: a package by its name, in a range of versions.
type Wanted struct {
	Dep        Dep
	Repository string // it must come from there, unless it is installed; "": from anywhere
	Arch       string // "": any that fits
	For        string // who wants it, for people: "package set docker"
}

func (w Wanted) String() string {
	s := w.Dep.String()
	if w.Arch != "" {
		s += " (" + w.Arch + ")"
	}
	if w.Repository != "" {
		s += " of " + w.Repository
	}
	return s
}

// fits reports whether a package is what is wanted.
func (w Wanted) fits(p *Package) bool {
	return p.Name == w.Dep.Name && p.self().Overlaps(w.Dep) && (w.Arch == "" || p.Arch == w.Arch) &&
		(w.Repository == "" || p.Repository == "" || p.Repository == w.Repository)
}

// Problem is a question. Installed packages stay, or make way for a newer version of themselves or for a package that
// obsoletes them. What is broken among them already stays as it is.
type Problem struct {
	Arches    []string // architectures of packages that may be installed: "x86_64", "noarch"
	Installed []*Package
	Available []*Package // of packages that are equal the first counts
	Wanted    []Wanted
	// Beside are names of packages whose versions live side by side: kernels.
	Beside []string
	// Steps bounds the search; 0: a million decisions.
	Steps int
}

// Solution is an answer.
type Solution struct {
	Install []Chosen   // sorted by name
	Gone    []*Package // installed packages that an upgrade or an obsoleting package replaces, sorted by name
}

// Chosen is a package to be installed and why.
type Chosen struct {
	Package  *Package
	Wanted   []Wanted   // those that it is itself
	By       *Package   // who needs it first; nil when it is wanted
	Dep      Dep        // what of it
	Replaces []*Package // installed packages that it takes the place of
}

// Unsolvable says that there is no answer, and why.
type Unsolvable struct {
	Lines []string // indented by what they explain
}

func (e *Unsolvable) Error() string {
	return "no set of packages fits:\n  " + strings.Join(e.Lines, "\n  ")
}

// Solve answers a question. The same question has the same answer. The error is an *Unsolvable when there is none.
func Solve(p Problem) (*Solution, error) { return Prepare(p).Solve() }

// Prepared is a question whose packages are sorted out.
type Prepared struct{ u *universe }

// Prepare sorts out the packages of a question.
func Prepare(p Problem) *Prepared {
	u := newUniverse(p)
	u.reach()
	return &Prepared{u}
}

// Solve answers the question, as the function Solve does.
func (q *Prepared) Solve() (*Solution, error) {
	s := newSearch(q.u)
	core, err := s.run(q.u.problem.Steps)
	if err != nil {
		return nil, fmt.Errorf("solving: %w", err)
	}
	if core != nil {
		return nil, &Unsolvable{Lines: explain(q.u, q.u.minimal(core))}
	}
	return q.u.solution(s)
}

// FilesNeeded returns the paths that packages within reach of an answer require and that nobody installed or available is
// known to hold, sorted: the caller may know more about files than it has told. With names it looks only at packages with one
// of them.
func (q *Prepared) FilesNeeded(names []string) []string {
	var paths []string
	for path, by := range q.u.unanswered {
		if names == nil || slices.ContainsFunc(by, func(name string) bool { return slices.Contains(names, name) }) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}
