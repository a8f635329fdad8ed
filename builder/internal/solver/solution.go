package solver

import (
	"cmp"
	"slices"
	"strings"
)

// closure collects what of an assignment is needed.
type closure struct {
	u      *universe
	s      *search
	chosen map[int]*Chosen
	queue  []int
}

// solution reads the answer off a search that has ended well, without what turned out to be needed by nobody.
func (u *universe) solution(s *search) (*Solution, error) {
	c := &closure{u: u, s: s, chosen: map[int]*Chosen{}}
	for k, w := range u.problem.Wanted {
		i := c.witness(u.clauses[u.wantedAt[k]])
		if i < 0 {
			return nil, errInternal
		}
		if !u.isInstalled(i) {
			ch := c.take(i, nil, Dep{})
			ch.Wanted = append(ch.Wanted, w)
		}
	}
	for i := range u.installed {
		if s.value[i] > 0 {
			c.queue = append(c.queue, i)
		}
	}
	for k := 0; k < len(u.clauses); k++ {
		if cl := u.clauses[k]; cl.kind == stays && s.value[cl.pkg] <= 0 {
			i := c.witness(cl)
			if i < 0 {
				return nil, errInternal
			}
			ch := c.take(i, nil, Dep{})
			ch.Replaces = append(ch.Replaces, u.all[cl.pkg])
		}
	}
	if err := c.follow(); err != nil {
		return nil, err
	}
	return c.answer()
}

// take adds a package once.
func (c *closure) take(i int, by *Package, d Dep) *Chosen {
	if c.chosen[i] == nil {
		c.chosen[i] = &Chosen{Package: c.u.all[i], By: by, Dep: d}
		c.queue = append(c.queue, i)
	}
	return c.chosen[i]
}

// witness returns the package of a clause that is there: rather an installed one, rather one that is taken already.
func (c *closure) witness(cl clause) int {
	var open []int
	for _, l := range cl.lits {
		p := l.pkg()
		switch {
		case !l.there() || c.s.value[p] <= 0:
		case c.u.isInstalled(p) || c.chosen[p] != nil:
			return p
		default:
			open = append(open, p)
		}
	}
	if len(open) == 0 {
		return -1
	}
	return c.s.best(cl.dep.Name, open)
}

// follow takes what is needed by what is taken. A package that takes the place of an installed one is there because somebody
// needs that, who is found on the way.
func (c *closure) follow() error {
	for len(c.queue) > 0 {
		i := c.queue[0]
		c.queue = c.queue[1:]
		for _, n := range c.u.needs[i] {
			cl := c.u.clauses[n]
			j := c.witness(cl)
			if j < 0 {
				return errInternal
			}
			if c.u.isInstalled(j) {
				continue
			}
			ch := c.take(j, c.u.all[i], cl.dep)
			if ch.By == nil && ch.Wanted == nil && j != i {
				ch.By, ch.Dep = c.u.all[i], cl.dep
			}
		}
	}
	return nil
}

// answer sorts what was found and looks once more that it fits.
func (c *closure) answer() (*Solution, error) {
	out := &Solution{}
	there := make([]bool, len(c.u.all))
	for i := range c.u.installed {
		there[i] = c.s.value[i] > 0
		if !there[i] {
			out.Gone = append(out.Gone, c.u.all[i])
		}
	}
	for i, ch := range c.chosen {
		there[i] = true
		out.Install = append(out.Install, *ch)
	}
	for _, cl := range c.u.clauses {
		if !slices.ContainsFunc(cl.lits, func(l lit) bool { return there[l.pkg()] == l.there() }) {
			return nil, errInternal
		}
	}
	byName := func(a, b *Package) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), a.EVR.Compare(b.EVR), strings.Compare(a.Arch, b.Arch))
	}
	slices.SortFunc(out.Install, func(a, b Chosen) int { return byName(a.Package, b.Package) })
	slices.SortFunc(out.Gone, byName)
	return out, nil
}
