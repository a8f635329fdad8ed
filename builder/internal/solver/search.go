package solver

import (
	"errors"
	"fmt"
	"slices"
)

// lit says that a package is there (its number doubled) or is not (and one more).
type lit int32

func (l lit) pkg() int     { return int(l >> 1) }
func (l lit) there() bool  { return l&1 == 0 }
func (l lit) negated() lit { return l ^ 1 }

type kind uint8

const (
	isWanted  kind = iota // one of these is wanted
	stays                 // an installed package, or what may take its place
	requires              // pkg is not there, or one that has dep is
	conflicts             // pkg and other are not there together
	obsoletes
	sameName
	learned
)

// clause says that at least one of its literals holds, and why.
type clause struct {
	kind   kind
	pkg    int
	other  int
	wanted int
	dep    Dep
	lits   []lit
	from   []int // kind learned: the clauses that it follows from
}

// search decides package by package, and learns from what goes wrong: conflict-driven clause learning with the first unique
// implication point, complete because it only ends when all clauses hold or when some cannot. Its choices have a fixed order.
type search struct {
	u       *universe
	clauses []clause
	watched [][]int // clauses by the literal whose falling they look out for
	value   []int8  // by package: 1 there, -1 not, 0 open
	level   []int
	reason  []int // clause that decided a package; -1: a choice
	trail   []lit
	limits  []int // length of the trail at each choice
	done    int   // literals of the trail whose consequences are drawn
	settled int   // roots, then packages of the trail, that have all they need
	kept    int   // installed packages that were looked at
}

func newSearch(u *universe) *search {
	n := len(u.all)
	return &search{
		u: u, clauses: slices.Clone(u.clauses), watched: make([][]int, 2*n),
		value: make([]int8, n), level: make([]int, n), reason: make([]int, n),
	}
}

// holds returns 1, 0 or -1: a literal is true, open or false.
func (s *search) holds(l lit) int8 {
	if l.there() {
		return s.value[l.pkg()]
	}
	return -s.value[l.pkg()]
}

// run looks for an answer. Without one it returns the clauses that exclude each other.
func (s *search) run(steps int) (core []int, err error) {
	if steps == 0 {
		steps = 1_000_000
	}
	for c := range s.clauses {
		if conflict := s.attach(c); conflict {
			return s.core(c), nil
		}
	}
	for range steps {
		if c := s.propagate(); c >= 0 {
			if len(s.limits) == 0 {
				return s.core(c), nil
			}
			s.learn(c)
			continue
		}
		choice, open := s.choose()
		if !open {
			return nil, nil
		}
		s.limits = append(s.limits, len(s.trail))
		s.assign(choice, -1)
	}
	return nil, fmt.Errorf("no answer after %d decisions: name versions of the wanted packages, so that there is less to choose from", steps)
}

// attach lets a clause of the problem watch its literals. It reports whether the clause cannot hold any more.
func (s *search) attach(c int) bool {
	lits := s.clauses[c].lits
	s.clauses[c].lits = slices.Clone(lits)
	switch len(lits) {
	case 0:
		return true
	case 1:
		if s.holds(lits[0]) < 0 {
			return true
		}
		if s.holds(lits[0]) == 0 {
			s.assign(lits[0], c)
		}
		return false
	}
	s.watched[lits[0]] = append(s.watched[lits[0]], c)
	s.watched[lits[1]] = append(s.watched[lits[1]], c)
	return false
}

func (s *search) assign(l lit, reason int) {
	p := l.pkg()
	s.value[p] = 1
	if !l.there() {
		s.value[p] = -1
	}
	s.level[p], s.reason[p] = len(s.limits), reason
	s.trail = append(s.trail, l)
}

// propagate draws consequences until there are none. It returns a clause that cannot hold, or -1.
func (s *search) propagate() int {
	for s.done < len(s.trail) {
		fallen := s.trail[s.done].negated()
		s.done++
		list := s.watched[fallen]
		kept := list[:0]
		for at, c := range list {
			lits := s.clauses[c].lits
			if lits[0] == fallen {
				lits[0], lits[1] = lits[1], lits[0]
			}
			if s.holds(lits[0]) > 0 || !s.moveWatch(c, lits) {
				kept = append(kept, c)
				if s.holds(lits[0]) < 0 {
					s.watched[fallen] = append(kept, list[at+1:]...)
					return c
				}
				if s.holds(lits[0]) == 0 {
					s.assign(lits[0], c)
				}
			}
		}
		s.watched[fallen] = kept
	}
	return -1
}

// moveWatch looks for another literal that is not false, to watch in place of the second.
func (s *search) moveWatch(c int, lits []lit) bool {
	for k := 2; k < len(lits); k++ {
		if s.holds(lits[k]) >= 0 {
			lits[1], lits[k] = lits[k], lits[1]
			s.watched[lits[1]] = append(s.watched[lits[1]], c)
			return true
		}
	}
	return false
}

// learn turns a clause that cannot hold into one that would have prevented it, and goes back to where it applies. Literals
// that never change are kept in it, so that a proof can be read off later.
func (s *search) learn(c int) {
	now := len(s.limits)
	seen := map[int]bool{}
	from := []int{c}
	rest := []lit{0}
	open, at := 0, len(s.trail)
	for lits := s.clauses[c].lits; ; {
		for _, l := range lits {
			p := l.pkg()
			if seen[p] || s.holds(l) > 0 {
				continue
			}
			seen[p] = true
			if s.level[p] == now {
				open++
			} else {
				rest = append(rest, l)
			}
		}
		for at--; !seen[s.trail[at].pkg()] || s.level[s.trail[at].pkg()] != now; at-- {
		}
		l := s.trail[at]
		if open--; open == 0 {
			rest[0] = l.negated()
			break
		}
		r := s.reason[l.pkg()]
		from = append(from, r)
		lits = s.clauses[r].lits
	}
	back := 0
	for k := 1; k < len(rest); k++ {
		if v := s.level[rest[k].pkg()]; k == 1 || v > back {
			back = v
			rest[1], rest[k] = rest[k], rest[1]
		}
	}
	s.undo(back)
	n := len(s.clauses)
	s.clauses = append(s.clauses, clause{kind: learned, lits: rest, from: from})
	if len(rest) > 1 {
		s.watched[rest[0]] = append(s.watched[rest[0]], n)
		s.watched[rest[1]] = append(s.watched[rest[1]], n)
	}
	s.assign(rest[0], n)
}

// undo takes back all choices after the first n.
func (s *search) undo(n int) {
	if n >= len(s.limits) {
		return
	}
	for _, l := range s.trail[s.limits[n]:] {
		s.value[l.pkg()] = 0
	}
	s.trail = s.trail[:s.limits[n]]
	s.limits = s.limits[:n]
	s.done, s.settled, s.kept = len(s.trail), 0, 0
}

// core returns the clauses of the problem that a clause which cannot hold, without any choice made, follows from.
func (s *search) core(c int) []int {
	var found []int
	seen, queue := map[int]bool{c: true}, []int{c}
	visit := func(c int) {
		if c >= 0 && !seen[c] {
			seen[c] = true
			queue = append(queue, c)
		}
	}
	for len(queue) > 0 {
		c, queue = queue[0], queue[1:]
		if s.clauses[c].kind != learned {
			found = append(found, c)
		}
		for _, f := range s.clauses[c].from {
			visit(f)
		}
		for _, l := range s.clauses[c].lits {
			if s.value[l.pkg()] != 0 && s.level[l.pkg()] == 0 {
				visit(s.reason[l.pkg()])
			}
		}
	}
	slices.Sort(found)
	return found
}

// choose picks the next package: first what is installed stays, then comes what is wanted, then what those need. When nobody
// needs anything more, the rest stays away.
func (s *search) choose() (lit, bool) {
	for ; s.kept < s.u.installed; s.kept++ {
		if s.value[s.kept] == 0 {
			return lit(s.kept << 1), true
		}
	}
	for {
		switch n := s.settled; {
		case n < len(s.u.roots):
			if l, open := s.unmet(s.u.roots[n]); open {
				return l, true
			}
		case n-len(s.u.roots) < len(s.trail):
			if l := s.trail[n-len(s.u.roots)]; l.there() {
				for _, c := range s.u.needs[l.pkg()] {
					if l, open := s.unmet(c); open {
						return l, true
					}
				}
			}
		default:
			return 0, false
		}
		s.settled++
	}
}

// unmet returns the best package to meet a clause, unless one of its literals holds.
func (s *search) unmet(c int) (lit, bool) {
	lits := s.u.clauses[c].lits // in the order of the problem
	var open []int
	for _, l := range lits {
		switch s.holds(l) {
		case 1:
			return 0, false
		case 0:
			open = append(open, l.pkg())
		}
	}
	return lit(s.best(s.u.clauses[c].dep.Name, open) << 1), true
}

var errInternal = errors.New("internal error: the answer does not fit the question")
