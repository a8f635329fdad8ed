package solver

import (
	"fmt"
	"slices"
	"strings"
)

// minimal drops clauses that a contradiction does not need, one by one, so that an explanation has nothing beside the point.
func (u *universe) minimal(core []int) []int {
	const worth = 300 // clauses; more is not explained in a way that people can follow anyway
	if len(core) > worth {
		return core
	}
	for k := 0; k < len(core); {
		fewer := slices.Delete(slices.Clone(core), k, k+1)
		if again := u.contradict(fewer); again != nil {
			core = again
			continue
		}
		k++
	}
	return core
}

// contradict returns those of some clauses that exclude each other, nil when they can all hold.
func (u *universe) contradict(list []int) []int {
	part := *u
	part.clauses = nil
	part.roots, part.needs, part.installed = nil, map[int][]int{}, 0
	for k, c := range list {
		cl := u.clauses[c]
		part.clauses = append(part.clauses, cl)
		switch cl.kind {
		case isWanted, stays: // each is something to be met, whatever it is called
			part.roots = append(part.roots, k)
		case requires:
			part.needs[cl.pkg] = append(part.needs[cl.pkg], k)
		}
	}
	found, err := newSearch(&part).run(0)
	if err != nil || found == nil {
		return nil
	}
	for k := range found {
		found[k] = list[found[k]]
	}
	return found
}

// explanation writes down a contradiction as a tree: what is wanted, who could be it, and why each cannot.
type explanation struct {
	u     *universe
	core  []clause
	said  map[int]bool // packages whose rejection is written down
	lines []string
}

func explain(u *universe, core []int) []string {
	e := &explanation{u: u, said: map[int]bool{}}
	for _, c := range core {
		e.core = append(e.core, u.clauses[c])
	}
	for _, c := range e.core {
		switch c.kind {
		case isWanted:
			w := u.problem.Wanted[c.wanted]
			by := ""
			if w.For != "" {
				by = " by " + w.For
			}
			e.say(0, "%s is wanted%s", w, by)
			e.candidates(1, c, w.Dep)
		case stays:
			e.say(0, "%s must stay, or be replaced by a newer version", u.all[c.pkg].place())
			for _, l := range c.lits {
				e.rejected(1, l.pkg())
			}
		}
	}
	const most = 60 // lines; below them nobody reads
	if n := len(e.lines); n > most {
		e.lines = append(e.lines[:most], fmt.Sprintf("and %d more lines: name the versions of some wanted packages, and it becomes shorter", n-most))
	}
	return e.lines
}

func (e *explanation) say(depth int, format string, args ...any) {
	e.lines = append(e.lines, strings.Repeat("  ", depth)+fmt.Sprintf(format, args...))
}

// candidates explains why none of those that a clause names can be there.
func (e *explanation) candidates(depth int, c clause, d Dep) {
	found := false
	for _, l := range c.lits {
		if l.there() {
			found = true
			e.rejected(depth, l.pkg())
		}
	}
	if !found {
		e.nobody(depth, d)
	}
}

// nobody says that nothing fits, and what comes near.
func (e *explanation) nobody(depth int, d Dep) {
	if rich(d) {
		e.say(depth, "rpm of CentOS 7 does not know such conditions: choose another version of the package that has it")
		return
	}
	near := e.near(d)
	if near == nil {
		e.say(depth, "no package provides %s: is a repository missing in the catalogue?", d.Name)
		return
	}
	const most = 6
	for k, line := range near {
		if k == most && len(near) > most+1 {
			e.say(depth, "and %d more that do not fit", len(near)-most)
			return
		}
		e.say(depth, "%s", line)
	}
}

// near lists packages that provide the name in other versions, from other places or for other machines.
func (e *explanation) near(d Dep) []string {
	var lines []string
	for _, i := range e.u.provides[d.Name] {
		p := e.u.all[i]
		have := p.self()
		for _, h := range p.Provides {
			if h.Name == d.Name {
				have = h
			}
		}
		lines = append(lines, fmt.Sprintf("%s does not fit: it is %s", p.place(), have))
	}
	slices.Reverse(lines) // what a repository lists last is mostly the newest
	for _, p := range e.u.foreign {
		if p.Name == d.Name {
			lines = append(lines, fmt.Sprintf("%s does not fit: it is for %s", p.place(), p.Arch))
		}
	}
	return lines
}

// rejected explains why a package cannot be there.
func (e *explanation) rejected(depth, i int) {
	name := e.u.all[i].place()
	if e.said[i] {
		e.say(depth, "%s cannot be installed, as said above", name)
		return
	}
	e.said[i] = true
	for _, c := range e.core {
		if !slices.Contains(c.lits, lit(i<<1|1)) {
			continue
		}
		switch c.kind {
		case requires:
			e.say(depth, "%s needs %s", name, c.dep)
			e.candidates(depth+1, c, c.dep)
		case conflicts:
			e.clash(depth, i, c, "conflicts with")
		case obsoletes:
			e.clash(depth, i, c, "obsoletes")
		case sameName:
			other := c.other
			if other == i {
				other = c.pkg
			}
			e.say(depth, "%s cannot be there beside %s", name, e.u.all[other].place())
		}
	}
}

// clash names two packages of which one says that it does not bear the other.
func (e *explanation) clash(depth, i int, c clause, verb string) {
	a, b := e.u.all[c.pkg], e.u.all[c.other]
	by := ""
	if c.dep.Name != b.Name || c.dep.Op != 0 {
		by = fmt.Sprintf(" (%s)", c.dep)
	}
	switch {
	case c.pkg == i:
		e.say(depth, "%s %s %s%s", a.place(), verb, b.place(), by)
	default:
		e.say(depth, "%s is rejected: %s %s it%s", b.place(), a.place(), verb, by)
	}
}
