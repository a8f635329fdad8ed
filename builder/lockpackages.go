package builder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"offgrid/builder/catalogue"
	"offgrid/builder/internal/fetch"
	"offgrid/builder/internal/rpmrepo"
	"offgrid/builder/internal/solver"
	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// packageChoice is what the lock decides about packages: which go to which role, and why.
type packageChoice struct {
	listed   *rpmrepo.Listed
	source   *rpmrepo.Repository
	wanted   *catalogue.Package // the catalogue's own words, when it names it
	sets     []string           // package sets that want it
	by       string             // package that needs it first, when no set wants it
	dep      string             // what of it
	replaces []string
	roles    []string
	kernel   bool
}

// packageChooser turns wanted packages into all that is needed.
type packageChooser struct {
	m       *lockMaker
	repos   []*rpmrepo.Repository
	at      []*rpmrepo.Listed // by the solver's tags
	source  []*rpmrepo.Repository
	unknown []string // packages of the baseline of which nobody knows what they provide
}

// packages decides which packages are shipped, fetches them and checks them.
func (m *lockMaker) packages(ctx context.Context) error {
	if len(m.sel.Sets) == 0 {
		return nil
	}
	c := &packageChooser{m: m}
	if err := c.load(ctx); err != nil {
		return err
	}
	choices, err := c.choose(ctx)
	if err != nil {
		return err
	}
	return m.fetchPackages(ctx, choices)
}

// sources returns the repositories that are asked: those that a wanted package is in, and those that give dependencies.
func (m *lockMaker) sources() []catalogue.Repository {
	used := map[string]bool{}
	for _, s := range m.sel.Sets {
		for _, p := range s.Packages {
			used[p.Repository] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(m.cat.Repositories), func(r catalogue.Repository) bool { return !used[r.ID] && !r.Dependencies })
}

// load reads the lists of all repositories.
func (c *packageChooser) load(ctx context.Context) error {
	sources := c.m.sources()
	c.repos = make([]*rpmrepo.Repository, len(sources))
	err := fetch.Each(ctx, len(sources), lockParallel, func(ctx context.Context, i int) error {
		r := sources[i]
		src := rpmrepo.Source{ID: r.ID, BaseURL: r.BaseURL, Signed: r.SignedMetadata, Arches: c.m.arches()}
		if r.Key != "" {
			var err error
			if src.Key, err = c.m.key(ctx, r.Key); err != nil {
				return err
			}
		}
		var err error
		c.repos[i], err = rpmrepo.Load(ctx, c.m.client, src)
		return err
	})
	if err != nil {
		return err
	}
	for i, r := range sources {
		if r.Only != nil {
			c.repos[i].Packages = slices.DeleteFunc(c.repos[i].Packages, func(l *rpmrepo.Listed) bool { return !slices.Contains(r.Only, l.Name) })
		}
	}
	return nil
}

// arches are the machines, in rpm's words, whose packages run on the catalogue's platform.
func (m *lockMaker) arches() []string {
	if m.cat.Platform.Arch == "arm64" {
		return []string{"aarch64", "noarch"}
	}
	return []string{"x86_64", "noarch"}
}

// problem asks for what is wanted.
func (c *packageChooser) problem() solver.Problem {
	p := solver.Problem{Arches: c.m.arches()}
	c.at, c.source = nil, nil
	known := map[string]*rpmrepo.Listed{}
	for _, r := range c.repos {
		for _, l := range r.Packages {
			p.Available = append(p.Available, l.Solvable(r.ID, len(c.at)))
			c.at, c.source = append(c.at, l), append(c.source, r)
			if name := l.String(); known[name] == nil {
				known[name] = l
			}
		}
	}
	p.Installed = installed(c.m.baseline, known)
	c.unknown = nil
	for _, have := range c.m.baseline.Packages {
		if have.Provides == nil && known[have.String()] == nil {
			c.unknown = append(c.unknown, have.Name)
		}
	}
	if k := c.m.sel.Kernel; k != nil {
		p.Beside = append(slices.Clone(k.Beside), "kernel", "kernel-devel")
	}
	for _, s := range c.m.sel.Sets {
		for i := range s.Packages {
			p.Wanted = append(p.Wanted, wantedOf(s.ID, &s.Packages[i]))
		}
	}
	return p
}

func wantedOf(set string, p *catalogue.Package) solver.Wanted {
	w := solver.Wanted{Dep: solver.Dep{Name: p.Name}, Repository: p.Repository, Arch: p.Arch, For: "package set " + set}
	if evr, err := solver.ParseEVR(p.EVR); err == nil {
		w.Dep.Op, w.Dep.EVR = solver.Equal, evr
	}
	return w
}

// choose solves, and asks for lists of files only when an answer depends on them.
func (c *packageChooser) choose(ctx context.Context) ([]*packageChoice, error) {
	p := c.problem()
	if c.unknown != nil {
		c.m.client.Report(progress.Event{Phase: "lock", Kind: progress.Warn, Text: fmt.Sprintf("of %d packages that the hosts have it is not known what they provide (%s): no repository has the very same ones; ./install baseline on a host tells",
			len(c.unknown), strings.Join(shorten(c.unknown, 3), ", "))})
	}
	question := solver.Prepare(p)
	answer, err := question.Solve()
	var none *solver.Unsolvable
	if err != nil && !errors.As(err, &none) {
		return nil, err
	}
	var names []string
	if answer != nil {
		names = []string{}
		for _, ch := range answer.Install {
			names = append(names, ch.Package.Name)
		}
	}
	// Of paths that the lists of packages name, nobody can know more.
	paths := slices.DeleteFunc(question.FilesNeeded(names), rpmrepo.InPrimary)
	if len(paths) > 0 {
		err := fetch.Each(ctx, len(c.repos), lockParallel, func(ctx context.Context, i int) error {
			return c.repos[i].AddFiles(ctx, c.m.client, paths)
		})
		if err != nil {
			return nil, err
		}
		p = c.problem()
		answer, err = solver.Solve(p)
		if err != nil {
			return nil, c.unsolved(err)
		}
	} else if err != nil {
		return nil, c.unsolved(err)
	}
	return c.choices(p, answer)
}

// unsolved says what may help.
func (c *packageChooser) unsolved(err error) error {
	var none *solver.Unsolvable
	if !errors.As(err, &none) {
		return err
	}
	return &PackagesError{Baseline: c.m.baselineName(), Lines: none.Lines}
}

// PackagesError says why the wanted packages cannot be installed on hosts with the baseline.
type PackagesError struct {
	Baseline string // its system: "centos-7.9.2009"
	Lines    []string
}

func (e *PackagesError) Error() string {
	return fmt.Sprintf("choosing packages for hosts that are %s: no set of packages fits:\n  %s", e.Baseline, strings.Join(e.Lines, "\n  "))
}

// choices gives each role its part of an answer for all of them. What an upgrade replaces is replaced on every host, so that
// roles that share a host agree on what is there.
func (c *packageChooser) choices(p solver.Problem, answer *solver.Solution) ([]*packageChoice, error) {
	byTag := map[int]*packageChoice{}
	var all []*packageChoice
	var upgrades []solver.Wanted
	var only []*solver.Package
	for _, ch := range answer.Install {
		choice := &packageChoice{listed: c.at[ch.Package.Tag], source: c.source[ch.Package.Tag]}
		choice.kernel = c.m.sel.Kernel != nil && slices.Contains(c.m.sel.Kernel.Beside, ch.Package.Name)
		c.reason(choice, ch)
		if ch.Replaces != nil {
			upgrades = append(upgrades, solver.Wanted{Dep: solver.Dep{Name: ch.Package.Name, Op: solver.Equal, EVR: ch.Package.EVR}})
		}
		byTag[ch.Package.Tag] = choice
		all, only = append(all, choice), append(only, ch.Package)
	}
	for _, r := range c.m.sel.Roles {
		part := p
		part.Available, part.Wanted = only, slices.Clone(upgrades)
		for _, s := range c.m.sel.Sets {
			if !slices.Contains(r.PackageSets, s.ID) {
				continue
			}
			for i := range s.Packages {
				part.Wanted = append(part.Wanted, wantedOf(s.ID, &s.Packages[i]))
			}
		}
		mine, err := solver.Solve(part)
		if err != nil {
			return nil, fmt.Errorf("internal error: choosing packages for role %q: %w", r.Name, err)
		}
		for _, ch := range mine.Install {
			byTag[ch.Package.Tag].roles = append(byTag[ch.Package.Tag].roles, r.Name)
		}
	}
	return slices.DeleteFunc(all, func(ch *packageChoice) bool { return ch.roles == nil }), nil
}

// reason writes down why a package is chosen.
func (c *packageChooser) reason(choice *packageChoice, ch solver.Chosen) {
	for _, s := range c.m.sel.Sets {
		for i := range s.Packages {
			if slices.Contains(ch.Wanted, wantedOf(s.ID, &s.Packages[i])) {
				choice.sets = append(choice.sets, s.ID)
				choice.wanted = &s.Packages[i]
			}
		}
	}
	if ch.Wanted == nil && ch.By != nil {
		choice.by, choice.dep = ch.By.Name, ch.Dep.String()
	}
	for _, old := range ch.Replaces {
		choice.replaces = append(choice.replaces, old.String())
		c.m.client.Report(progress.Event{Phase: "lock", Item: ch.Package.String(), Kind: progress.Warn,
			Text: fmt.Sprintf("it takes the place of %s, which the hosts have", old)})
	}
}

// installed turns a baseline into packages for the solver. What the baseline does not know of a package is taken from the
// repository that has the very same one.
func installed(b *bundle.Baseline, known map[string]*rpmrepo.Listed) []*solver.Package {
	var list []*solver.Package
	for _, have := range b.Packages {
		p := &solver.Package{Name: have.Name, EVR: solver.EVR{Epoch: have.Epoch, Version: have.Version, Release: have.Release}, Arch: have.Arch}
		if l := known[have.String()]; l != nil {
			p = l.Solvable("", 0)
		}
		for _, part := range []struct {
			from []bundle.Capability
			into *[]solver.Dep
		}{{have.Provides, &p.Provides}, {have.Requires, &p.Requires}, {have.Conflicts, &p.Conflicts}, {have.Obsoletes, &p.Obsoletes}} {
			if part.from != nil {
				*part.into = capabilities(part.from)
			}
		}
		if have.Files != nil {
			p.Files = have.Files
		}
		list = append(list, p)
	}
	return list
}

func capabilities(list []bundle.Capability) []solver.Dep {
	deps := make([]solver.Dep, 0, len(list))
	for _, c := range list {
		d := solver.Dep{Name: c.Name}
		if evr, err := solver.ParseEVR(c.EVR); err == nil {
			d.Op, _ = solver.ParseOp(c.Flags)
			d.EVR = evr
		}
		deps = append(deps, d)
	}
	return deps
}
