package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"offgrid/installer/host"
)

const kindPackages = "packages"

// PackagesStep installs a set of RPMs in one transaction of rpm itself: tested first, nothing forced, no dependency
// waived. What the host has in a newer version is kept.
type PackagesStep struct {
	Set      string // names the set: "docker"
	Packages []RPM
	// Newer are versions, by NAME.ARCH, that an upgrade brought which is put back: those alone are replaced by older ones.
	Newer map[string]string
}

// packagesBefore is a PackagesStep's begin record.
type packagesBefore struct {
	Missing  []string `json:"missing"`            // packages that were not installed, in any version
	Upgraded []string `json:"upgraded,omitempty"` // "NAME.ARCH EVR" of those that were, in an older one
}

// ID implements Step.
func (s *PackagesStep) ID() string { return kindPackages + ":" + s.Set }

// Line implements Step.
func (s *PackagesStep) Line() Line {
	return Line{Verb: "install", Object: fmt.Sprintf("%d packages (%s)", len(s.Packages), s.Set)}
}

// Check implements Step.
func (s *PackagesStep) Check(ctx context.Context, h host.Host) (Status, error) {
	started, err := host.Exists(h, s.startedMark())
	if err != nil || started {
		return Status{State: Needed, Why: "rpm was interrupted in the middle of it"}, err
	}
	installed, err := queryPackages(ctx, h, s.Packages)
	if errors.As(err, new(*rpmDatabaseError)) {
		return Status{State: Needed, Why: "rpm's database has to be repaired first"}, nil
	}
	if err != nil {
		return Status{}, err
	}
	todo, newer := s.sort(installed)
	if len(todo) > 0 {
		names := make([]string, len(todo))
		for i, p := range todo {
			names[i] = p.id()
		}
		return Status{State: Needed, Why: "to install: " + strings.Join(names, ", ")}, nil
	}
	if len(newer) > 0 {
		return Status{State: Satisfied, Why: "kept, because the host's is newer: " + strings.Join(newer, ", ")}, nil
	}
	return Status{State: Satisfied}, nil
}

// sort tells what has to be installed, and what the host has in a newer version.
func (s *PackagesStep) sort(installed map[string][]string) (todo []RPM, newer []string) {
	for _, p := range s.Packages {
		have := installed[p.id()]
		best := -1
		for _, evr := range have {
			best = max(best, compareEVR(evr, p.EVR))
		}
		switch {
		case best > 0 && slices.Contains(have, s.Newer[p.id()]):
			todo = append(todo, p)
		case best > 0:
			newer = append(newer, p.id()+" "+have[0])
		case best < 0:
			todo = append(todo, p)
		}
	}
	return todo, newer
}

// Before implements Undoer. It is the first that needs rpm's database, and repairs one that a killed rpm left: that is
// nothing which anybody would want back.
func (s *PackagesStep) Before(ctx context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	installed, err := queryRepaired(ctx, h, packageIDs(s.Packages))
	if err != nil {
		return nil, err
	}
	b := packagesBefore{Missing: []string{}}
	todo, _ := s.sort(installed)
	for _, p := range todo {
		if have := installed[p.id()]; len(have) > 0 {
			b.Upgraded = append(b.Upgraded, p.id()+" "+have[0])
		} else {
			b.Missing = append(b.Missing, p.id())
		}
	}
	return json.Marshal(b)
}

// startedMark exists while rpm runs. What it lists was perhaps installed in part: the database may name a package whose
// scripts have not run.
func (s *PackagesStep) startedMark() string { return path.Join(StateDir, "rpm-"+s.Set+".json") }

// Do implements Step. After an interrupted transaction the packages of that one are installed once more, with
// --replacepkgs, which also removes the older versions that it left.
func (s *PackagesStep) Do(ctx context.Context, h host.Host) error {
	installed, err := queryRepaired(ctx, h, packageIDs(s.Packages))
	if err != nil {
		return err
	}
	todo, newer := s.sort(installed)
	again, err := interruptedRPM(h, s.startedMark())
	if err != nil {
		return err
	}
	for _, p := range s.Packages {
		if slices.Contains(again, p.id()) && !slices.Contains(todo, p) && !isNewer(newer, p) {
			todo = append(todo, p)
		}
	}
	if len(todo) == 0 {
		return h.Remove(s.startedMark())
	}
	argv := []string{"rpm", "-U"}
	if len(s.Newer) > 0 {
		argv = append(argv, "--oldpackage")
	}
	return rpmTransaction{what: "packages " + s.Set, argv: argv, mark: s.startedMark(), packages: todo, again: len(again) > 0}.run(ctx, h)
}

// isNewer reports whether p is among what the host has in a newer version.
func isNewer(newer []string, p RPM) bool {
	return slices.ContainsFunc(newer, func(s string) bool { return strings.HasPrefix(s, p.id()+" ") })
}

// packagesOf reads from begin records what was not installed before, sorted, and what was in an older version.
func packagesOf(begins []json.RawMessage) (ours, upgraded []string, err error) {
	for _, raw := range begins {
		var b packagesBefore
		if err := decodeBefore(raw, &b); err != nil {
			return nil, nil, err
		}
		ours = append(ours, b.Missing...)
		upgraded = append(upgraded, b.Upgraded...)
	}
	slices.Sort(ours)
	return slices.Compact(ours), upgraded, nil
}

// undoPackages removes what was not installed before. What was upgraded stays as it is: the older package is not at hand.
func undoPackages(ctx context.Context, u Undoing) error {
	ours, upgraded, err := packagesOf(u.Begins)
	if err != nil {
		return err
	}
	upgraded = slices.DeleteFunc(upgraded, func(p string) bool {
		id, _, _ := strings.Cut(p, " ")
		return slices.Contains(ours, id) // an upgrade of ours: it goes
	})
	installed, err := queryRepaired(ctx, u.Host, ours)
	if err != nil {
		return err
	}
	argv := []string{"rpm", "-e"}
	ours = slices.DeleteFunc(ours, func(id string) bool { return len(installed[id]) == 0 || slices.Contains(u.Stay, id) })
	if slices.ContainsFunc(ours, func(id string) bool { return len(installed[id]) > 1 }) {
		argv = append(argv, "--allmatches") // an upgrade of ours that was cut off between the new version and the old one
	}
	if len(ours) > 0 {
		if err := runRPM(ctx, u.Host, rpmRunTime, append(argv, ours...)); err != nil {
			return fmt.Errorf("removing packages: %w", err)
		}
	}
	for _, p := range upgraded {
		u.note("%s was upgraded and stays so", p)
	}
	return u.Host.Remove((&PackagesStep{Set: u.Object}).startedMark())
}
