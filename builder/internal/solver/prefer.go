package solver

import (
	"cmp"
	"slices"
	"strings"
)

// best chooses among packages that would all do: of each name the newest version; among names the one that is asked for by its
// own name, then the one that brings the fewest others, then the first by name.
func (s *search) best(asked string, open []int) int {
	if len(open) == 1 {
		return open[0]
	}
	newest := map[string]int{}
	for _, i := range open {
		j, ok := newest[s.u.all[i].Name]
		if !ok || s.newer(i, j) {
			newest[s.u.all[i].Name] = i
		}
	}
	if i, ok := newest[asked]; ok {
		return i
	}
	var list []int
	for _, i := range newest {
		list = append(list, i)
	}
	costs := map[int]int{}
	if len(list) > 1 {
		for _, i := range list {
			costs[i] = s.cost(i)
		}
	}
	return slices.MinFunc(list, func(i, j int) int {
		return cmp.Or(cmp.Compare(costs[i], costs[j]), strings.Compare(s.u.all[i].Name, s.u.all[j].Name))
	})
}

// newer prefers newer versions, then those made for the machine, then what comes first.
func (s *search) newer(i, j int) bool {
	p, q := s.u.all[i], s.u.all[j]
	if c := p.EVR.Compare(q.EVR); c != 0 {
		return c > 0
	}
	if special := p.Arch != "noarch"; special != (q.Arch != "noarch") {
		return special
	}
	return i < j
}

// cost estimates how many packages another one brings along: what it needs, each by its first good provider. Estimates end at
// a number that is large anyway.
func (s *search) cost(i int) int {
	const enough = 64
	brought, queue := map[int]bool{i: true}, []int{i}
	for len(queue) > 0 && len(brought) < enough {
		p := queue[0]
		queue = queue[1:]
		for _, c := range s.u.needs[p] {
			if j, ok := s.cheap(c, brought); ok {
				brought[j] = true
				queue = append(queue, j)
			}
		}
	}
	return len(brought)
}

// cheap returns the package by which a clause would probably be met, unless it is met already.
func (s *search) cheap(c int, brought map[int]bool) (int, bool) {
	first := -1
	for _, l := range s.u.clauses[c].lits {
		if !l.there() {
			continue
		}
		p := l.pkg()
		if s.value[p] > 0 || brought[p] {
			return 0, false
		}
		if s.value[p] == 0 && (first < 0 || s.u.all[p].Name == s.u.clauses[c].dep.Name) {
			first = p
		}
	}
	return first, first >= 0
}
