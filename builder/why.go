package builder

import (
	"fmt"
	"slices"
	"strings"

	"offgrid/bundle"
)

// Why says why a package is in the lock: the chain from it to what the catalogue wants.
type Why struct {
	Package  string   `json:"package"`            // whole name
	Baseline bool     `json:"baseline,omitempty"` // the hosts have it already, and it is not shipped
	Source   string   `json:"source,omitempty"`   // repository
	SHA256   string   `json:"sha256,omitempty"`
	Key      string   `json:"key,omitempty"` // fingerprint of the key that signed it
	Roles    []string `json:"roles,omitempty"`
	Replaces []string `json:"replaces,omitempty"`
	Chain    []string `json:"chain"` // for people, one step a line
}

// NotLockedError says that a package is neither in the lock nor in the baseline.
type NotLockedError struct {
	Name string
	Near []string // names in the lock that look alike
}

func (e *NotLockedError) Error() string {
	text := fmt.Sprintf("explaining package %q: it is neither in %s nor in the baseline", e.Name, LockName)
	if e.Near != nil {
		text += "; " + LockName + " has " + strings.Join(e.Near, ", ")
	}
	return text
}

// Why explains a package of the lock by its name. It fetches nothing.
func (s *Site) Why(name string) (*Why, error) {
	lock, err := ReadLock(s.path(LockName))
	if err != nil {
		return nil, err
	}
	base := &bundle.Baseline{}
	if s.baseline != nil {
		if base, err = bundle.ParseBaseline(s.baseline); err != nil {
			return nil, err
		}
	}
	return lock.why(name, base)
}

// why follows the reasons in a lock.
func (l *Lock) why(name string, base *bundle.Baseline) (*Why, error) {
	byName := map[string]*LockEntry{}
	var near []string
	for i := range l.Entries {
		if p := l.Entries[i].Package; p != nil {
			byName[p.Name] = &l.Entries[i]
			if strings.Contains(p.Name, name) {
				near = append(near, p.Name)
			}
		}
	}
	e := byName[name]
	if e == nil {
		for _, p := range base.Packages {
			if p.Name == name {
				return &Why{Package: p.String(), Baseline: true, Chain: []string{"the baseline (" + base.OS + ") has it: hosts are expected to have it already"}}, nil
			}
		}
		return nil, &NotLockedError{name, shorten(near, 10)}
	}
	w := &Why{Package: fullName(e.Package, e.Version), Source: e.Package.Repository, SHA256: e.SHA256.Hex(), Key: e.Package.Key, Roles: e.Package.Roles, Replaces: e.Package.Replaces}
	for seen := map[string]bool{}; e != nil && !seen[e.Package.Name]; e = byName[e.Package.NeededBy] {
		p := e.Package
		seen[p.Name] = true
		switch {
		case len(p.Sets) > 0:
			w.Chain = append(w.Chain, fmt.Sprintf("%s is wanted by package set %s", p.Name, strings.Join(p.Sets, ", ")))
		case p.NeededBy != "":
			w.Chain = append(w.Chain, fmt.Sprintf("%s is needed by %s: %s", p.Name, p.NeededBy, p.Needs))
		default:
			w.Chain = append(w.Chain, fmt.Sprintf("%s takes the place of %s", p.Name, strings.Join(p.Replaces, ", ")))
		}
		if byName[p.NeededBy] == nil && slices.ContainsFunc(base.Packages, func(b bundle.BaselinePackage) bool { return b.Name == p.NeededBy }) {
			w.Chain = append(w.Chain, p.NeededBy+" is on the hosts already")
		}
	}
	return w, nil
}

func fullName(p *LockPackage, evr string) string { return p.Name + "-" + evr + "." + p.Arch }
