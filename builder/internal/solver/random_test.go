package solver_test

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"offgrid/builder/internal/solver"
)

// maker makes a small repository in which everything that can go wrong does.
type maker struct {
	*rand.Rand
	names    []string
	versions map[string][]solver.EVR
}

// randomProblem makes a question: some names in several versions, with few capabilities, so that they get in each other's way.
// Each case has a temper of its own: which kinds of dependencies it has, and how many.
func randomProblem(r *rand.Rand) solver.Problem {
	m := &maker{Rand: r, versions: map[string][]solver.EVR{}}
	p := solver.Problem{Arches: []string{"x86_64", "noarch"}}
	for i := range 4 + r.IntN(14) {
		m.names = append(m.names, fmt.Sprintf("p%02d", i))
	}
	kinds := [3]float64{} // how many packages have conflicts, obsoletes, file requirements
	for k := range kinds {
		if r.IntN(3) == 0 {
			kinds[k] = r.Float64() * 0.4
		}
	}
	needs := 0.5 + 2*r.Float64()
	dangling := r.Float64() * 0.1
	for _, name := range m.names {
		for range 1 + r.IntN(3) {
			v := m.version()
			if slices.ContainsFunc(m.versions[name], func(o solver.EVR) bool { return o.Compare(v) == 0 }) {
				continue
			}
			m.versions[name] = append(m.versions[name], v)
		}
	}
	for _, name := range m.names {
		home := r.IntN(3) == 0 // one version of it is installed
		for k, v := range m.versions[name] {
			pkg := m.pkg(name, v, needs, dangling, kinds)
			if home && k == 0 {
				p.Installed = append(p.Installed, pkg)
			} else {
				pkg.Repository = "repository"
				p.Available = append(p.Available, pkg)
			}
		}
	}
	// No host is in a state in which one of its packages obsoletes another: libsolv would take the latter off.
	for _, pkg := range p.Installed {
		pkg.Obsoletes = slices.DeleteFunc(pkg.Obsoletes, func(d solver.Dep) bool {
			return slices.ContainsFunc(p.Installed, func(o *solver.Package) bool { return o.Name == d.Name })
		})
	}
	for range 1 + r.IntN(3) {
		d := m.dep(0.3)
		d.Name = m.names[r.IntN(len(m.names))]
		if downgrades(p, d) {
			d.Op = 0
		}
		p.Wanted = append(p.Wanted, solver.Wanted{Dep: d})
	}
	return p
}

// downgrades reports whether libsolv would take an installed package back to an older version because that was named. We never
// do: rpm -U does not either.
func downgrades(p solver.Problem, d solver.Dep) bool {
	for _, have := range p.Installed {
		for _, a := range p.Available {
			self := solver.Dep{Name: a.Name, Op: solver.Equal, EVR: a.EVR}
			if have.Name == d.Name && a.Name == d.Name && self.Overlaps(d) && a.EVR.Compare(have.EVR) < 0 {
				return true
			}
		}
	}
	return false
}

func (m *maker) version() solver.EVR {
	v := solver.EVR{Version: []string{"1", "1.0", "1.1", "2.0", "2.0~rc1", "2.a", "1.01"}[m.IntN(7)], Release: []string{"1", "2", "3.el7"}[m.IntN(3)]}
	if m.IntN(8) == 0 {
		v.Epoch = 1
	}
	return v
}

// dep is on a package's name or on one of few capabilities, with a range or without.
func (m *maker) dep(ranged float64) solver.Dep {
	d := solver.Dep{Name: m.names[m.IntN(len(m.names))]}
	if m.IntN(4) == 0 {
		d.Name = fmt.Sprintf("cap%d", m.IntN(4))
	}
	if m.Float64() < ranged {
		d.Op = []solver.Op{solver.Equal, solver.Less, solver.Less | solver.Equal, solver.Greater, solver.Greater | solver.Equal}[m.IntN(5)]
		d.EVR = m.version()
		if known := m.versions[d.Name]; len(known) > 0 && m.IntN(2) == 0 {
			d.EVR = known[m.IntN(len(known))]
		}
		if m.IntN(3) == 0 {
			d.EVR.Release = ""
		}
	}
	return d
}

func (m *maker) file() string {
	return []string{"/usr/bin/a", "/usr/bin/b", "/etc/c", "/opt/d/e"}[m.IntN(4)]
}

func (m *maker) pkg(name string, v solver.EVR, needs, dangling float64, kinds [3]float64) *solver.Package {
	p := &solver.Package{Name: name, EVR: v, Arch: []string{"x86_64", "x86_64", "noarch"}[m.IntN(3)]}
	for range m.IntN(3) {
		d := solver.Dep{Name: fmt.Sprintf("cap%d", m.IntN(4))}
		switch m.IntN(4) {
		case 0:
			d = m.dep(1)
			d.Name = fmt.Sprintf("cap%d", m.IntN(4))
		case 1:
			d.Op, d.EVR = solver.Equal, v
		}
		p.Provides = append(p.Provides, d)
	}
	for range int(needs + m.Float64()) {
		p.Requires = append(p.Requires, m.dep(0.35))
	}
	if m.Float64() < dangling {
		p.Requires = append(p.Requires, solver.Dep{Name: "nobody has this"})
	}
	if m.Float64() < kinds[0] {
		p.Conflicts = append(p.Conflicts, m.dep(0.6))
	}
	if m.Float64() < kinds[1] {
		p.Obsoletes = append(p.Obsoletes, m.dep(0.6))
	}
	if m.Float64() < kinds[2] {
		p.Requires = append(p.Requires, solver.Dep{Name: m.file()})
	}
	for range m.IntN(2) {
		if f := m.file(); !slices.Contains(p.Files, f) {
			p.Files = append(p.Files, f)
		}
	}
	return p
}
