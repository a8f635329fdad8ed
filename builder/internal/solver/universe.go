package solver

import (
	"slices"
	"strings"
)

// universe holds the packages of a problem. Installed ones come first; a package is known by its place in all.
type universe struct {
	problem    Problem
	all        []*Package
	installed  int                 // all[:installed] are
	foreign    []*Package          // of architectures that do not count: for explanations
	names      map[string][]int    // packages by name
	provides   map[string][]int    // packages by what they provide, themselves too
	files      map[string][]int    // packages by path
	beside     map[string]bool     // names whose versions live side by side
	reached    []bool              // packages that an answer may hold
	order      []int               // reached, in that order
	unanswered map[string][]string // required paths that nobody is known to hold, and who requires them
	clauses    []clause            // of what was reached
	wantedAt   []int               // clause of each wanted thing
	roots      []int               // clauses to be met whoever is there: what is wanted, then what stays
	needs      map[int][]int       // clauses of a package's requirements
	cache      map[Dep][]int       // providers
}

func newUniverse(p Problem) *universe {
	n := len(p.Installed) + len(p.Available)
	u := &universe{
		problem: p, names: make(map[string][]int, n), provides: make(map[string][]int, 4*n), files: make(map[string][]int, n), beside: map[string]bool{},
		unanswered: map[string][]string{}, needs: map[int][]int{}, cache: map[Dep][]int{}, all: make([]*Package, 0, n),
	}
	for _, name := range p.Beside {
		u.beside[name] = true
	}
	for _, pkg := range p.Installed {
		u.add(pkg)
	}
	u.installed = len(u.all)
	for _, pkg := range p.Available {
		if !slices.Contains(p.Arches, pkg.Arch) {
			u.foreign = append(u.foreign, pkg)
			continue
		}
		if !slices.ContainsFunc(u.names[pkg.Name], func(i int) bool { return u.all[i].sameAs(pkg) }) {
			u.add(pkg)
		}
	}
	u.reached = make([]bool, len(u.all))
	return u
}

func (u *universe) add(p *Package) {
	i := len(u.all)
	u.all = append(u.all, p)
	u.names[p.Name] = append(u.names[p.Name], i)
	note := func(m map[string][]int, key string) {
		if l := m[key]; len(l) == 0 || l[len(l)-1] != i {
			m[key] = append(l, i)
		}
	}
	note(u.provides, p.Name)
	for _, d := range p.Provides {
		note(u.provides, d.Name)
	}
	for _, f := range p.Files {
		note(u.files, f)
	}
}

// isInstalled reports whether the host has the package now.
func (u *universe) isInstalled(i int) bool { return i < u.installed }

// providers returns the packages that provide something, in their order.
func (u *universe) providers(d Dep) []int {
	if l, ok := u.cache[d]; ok {
		return l
	}
	var l []int
	for _, i := range u.provides[d.Name] {
		if u.matches(i, d) {
			l = append(l, i)
		}
	}
	if strings.HasPrefix(d.Name, "/") && d.Op == 0 {
		l = append(l, u.files[d.Name]...)
		if other := twin(d.Name); other != "" {
			l = append(l, u.files[other]...)
		}
		slices.Sort(l)
		l = slices.Compact(l)
	}
	u.cache[d] = l
	return l
}

// twin is the other name of a path: on el7 /bin, /sbin, /lib and /lib64 are links into /usr, and rpm looks for required files
// through them.
func twin(path string) string {
	short := strings.TrimPrefix(path, "/usr")
	for _, dir := range []string{"/bin/", "/sbin/", "/lib/", "/lib64/"} {
		switch {
		case !strings.HasPrefix(short, dir):
		case short == path:
			return "/usr" + path
		default:
			return short
		}
	}
	return ""
}

// matches reports whether a package provides something by its list or its name.
func (u *universe) matches(i int, d Dep) bool {
	p := u.all[i]
	if p.Name == d.Name && p.self().Overlaps(d) {
		return true
	}
	return slices.ContainsFunc(p.Provides, func(have Dep) bool { return have.Name == d.Name && have.Overlaps(d) })
}

// named returns the packages whose own name and version are meant: obsoletes look at nothing else.
func (u *universe) named(d Dep) []int {
	var l []int
	for _, i := range u.names[d.Name] {
		if u.all[i].self().Overlaps(d) {
			l = append(l, i)
		}
	}
	return l
}

// updates returns what may take the place of an installed package: newer versions and packages that obsolete it.
func (u *universe) updates(i int, obsoleters map[string][]int) []int {
	old := u.all[i]
	var l []int
	for _, j := range u.names[old.Name] {
		p := u.all[j]
		if !u.isInstalled(j) && p.EVR.Compare(old.EVR) >= 0 && (p.Arch == old.Arch || p.Arch == "noarch" || old.Arch == "noarch") {
			l = append(l, j)
		}
	}
	for _, j := range obsoleters[old.Name] {
		p := u.all[j]
		hit := slices.ContainsFunc(p.Obsoletes, func(d Dep) bool { return d.Name == old.Name && old.self().Overlaps(d) })
		if hit && p.Name != old.Name && (p.Arch == old.Arch || p.Arch == "noarch" || old.Arch == "noarch") {
			l = append(l, j)
		}
	}
	slices.Sort(l)
	return slices.Compact(l)
}

// unconditional reports whether a requirement is of a kind that is not looked at: what rpm itself provides is judged by the
// package's own header, later.
func unconditional(d Dep) bool { return strings.HasPrefix(d.Name, "rpmlib(") }

// rich reports whether a requirement is an expression of several: rpm 4.11 knows none.
func rich(d Dep) bool { return strings.HasPrefix(d.Name, "(") }

// reach finds the packages that an answer may hold and writes down what holds among them.
func (u *universe) reach() {
	var queue []int
	visit := func(list []int) {
		for _, i := range list {
			if !u.reached[i] {
				u.reached[i] = true
				u.order = append(u.order, i)
				queue = append(queue, i)
			}
		}
	}
	obsoleters := map[string][]int{}
	for i, p := range u.all[u.installed:] {
		for _, d := range p.Obsoletes {
			if l := obsoleters[d.Name]; len(l) == 0 || l[len(l)-1] != i+u.installed {
				obsoleters[d.Name] = append(l, i+u.installed)
			}
		}
	}
	for _, w := range u.problem.Wanted {
		u.wantedAt = append(u.wantedAt, len(u.clauses))
		candidates := u.wanted(w)
		u.clauses = append(u.clauses, clause{kind: isWanted, wanted: len(u.wantedAt) - 1, lits: positive(candidates)})
		visit(candidates)
	}
	u.roots = slices.Clone(u.wantedAt)
	for i := range u.installed {
		visit([]int{i})
		u.roots = append(u.roots, len(u.clauses))
		if u.beside[u.all[i].Name] {
			u.clauses = append(u.clauses, clause{kind: stays, pkg: i, lits: []lit{lit(i << 1)}})
			continue
		}
		updates := u.updates(i, obsoleters)
		u.clauses = append(u.clauses, clause{kind: stays, pkg: i, lits: append([]lit{lit(i << 1)}, positive(updates)...)})
		visit(updates)
	}
	for len(queue) > 0 {
		i := queue[0]
		queue = queue[1:]
		for _, d := range u.all[i].Requires {
			visit(u.require(i, d))
		}
	}
	u.exclusions()
}

// wanted returns the candidates for something that is wanted.
func (u *universe) wanted(w Wanted) []int {
	var l []int
	for _, i := range u.names[w.Dep.Name] {
		if w.fits(u.all[i]) {
			l = append(l, i)
		}
	}
	return l
}

// require writes down one requirement of a package and returns who meets it.
func (u *universe) require(i int, d Dep) []int {
	if unconditional(d) {
		return nil
	}
	list := u.providers(d)
	if slices.Contains(list, i) {
		return nil
	}
	if u.isInstalled(i) && !slices.ContainsFunc(list, u.isInstalled) {
		return nil // broken before
	}
	if len(list) == 0 && strings.HasPrefix(d.Name, "/") && d.Op == 0 {
		u.unanswered[d.Name] = append(u.unanswered[d.Name], u.all[i].Name)
	}
	if rich(d) {
		list = nil
	}
	u.needs[i] = append(u.needs[i], len(u.clauses))
	u.clauses = append(u.clauses, clause{kind: requires, pkg: i, dep: d, lits: append([]lit{lit(i<<1 | 1)}, positive(list)...)})
	return list
}

// exclusions writes down which of the reached packages cannot be there together.
func (u *universe) exclusions() {
	exclude := func(k kind, i, j int, d Dep) {
		if i != j && u.reached[j] && !(u.isInstalled(i) && u.isInstalled(j)) {
			u.clauses = append(u.clauses, clause{kind: k, pkg: i, other: j, dep: d, lits: []lit{lit(i<<1 | 1), lit(j<<1 | 1)}})
		}
	}
	for _, i := range u.order {
		p := u.all[i]
		for _, d := range p.Conflicts {
			for _, j := range u.providers(d) {
				exclude(conflicts, i, j, d)
			}
		}
		for _, d := range p.Obsoletes {
			if u.beside[p.Name] {
				break
			}
			for _, j := range u.named(d) {
				exclude(obsoletes, i, j, d)
			}
		}
		if u.beside[p.Name] {
			continue
		}
		for _, j := range u.names[p.Name] {
			if i < j {
				exclude(sameName, i, j, Dep{})
			}
		}
	}
}

func positive(list []int) []lit {
	lits := make([]lit, len(list))
	for k, i := range list {
		lits[k] = lit(i << 1)
	}
	return lits
}
