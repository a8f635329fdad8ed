package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"offgrid/bundle"
	"offgrid/installer/host"
)

const kindPackages = "packages"

// How long rpm may take. It waits without limit for whoever else holds its lock, so the test, which needs seconds, ends
// that; the transaction itself may have to make an initramfs on a slow disk.
const (
	rpmTestTime = 10 * time.Minute
	rpmRunTime  = time.Hour
)

// queryFormat prints a package as packageLine reads it. rpm prints "(none)" for an epoch that is not there.
const queryFormat = `%{NAME}.%{ARCH} %|EPOCH?{%{EPOCH}}:{0}|:%{VERSION}-%{RELEASE}\n`

// RPM is one package of a set.
type RPM struct {
	Name string
	EVR  string // "3:20.10.24-3.el7", or without the epoch
	Arch string // "x86_64", "noarch"
	File string // path on the host
}

// id is the package as rpm names it without its version.
func (r RPM) id() string { return r.Name + "." + r.Arch }

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

// Before implements Undoer.
func (s *PackagesStep) Before(ctx context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	installed, err := queryPackages(ctx, h, s.Packages)
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

// startedPackages is the content of the mark.
type startedPackages struct {
	Format int      `json:"format"` // 0
	IDs    []string `json:"ids"`
}

// Do implements Step. After an interrupted transaction the packages of that one are installed once more, with
// --replacepkgs, which also removes the older versions that it left.
func (s *PackagesStep) Do(ctx context.Context, h host.Host) error {
	installed, err := queryPackages(ctx, h, s.Packages)
	if err != nil {
		return err
	}
	todo, newer := s.sort(installed)
	again, err := s.interrupted(h)
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
	mark := startedPackages{}
	argv := []string{"rpm", "-U"}
	if len(again) > 0 {
		argv = append(argv, "--replacepkgs")
	}
	if len(s.Newer) > 0 {
		argv = append(argv, "--oldpackage")
	}
	for _, p := range todo {
		mark.IDs = append(mark.IDs, p.id())
	}
	if err := runRPM(ctx, h, rpmTestTime, rpmFiles(append(argv[:len(argv):len(argv)], "--test"), todo), todo...); err != nil {
		return fmt.Errorf("testing packages %s: %w", s.Set, err)
	}
	if err := writeJSON(h, s.startedMark(), mark, 0o600); err != nil {
		return err
	}
	if err := runRPM(ctx, h, rpmRunTime, rpmFiles(argv, todo), todo...); err != nil {
		return fmt.Errorf("installing packages %s: %w", s.Set, err)
	}
	return h.Remove(s.startedMark())
}

// interrupted returns what a transaction was about that did not come to its end.
func (s *PackagesStep) interrupted(h host.Host) ([]string, error) {
	text, err := readOptional(h, s.startedMark())
	if err != nil || text == "" {
		return nil, err
	}
	var mark startedPackages
	if err := bundle.DecodeStrict([]byte(text), &mark, saveMax); err != nil {
		return nil, fmt.Errorf("reading %s: %w", s.startedMark(), err)
	}
	return mark.IDs, nil
}

// isNewer reports whether p is among what the host has in a newer version.
func isNewer(newer []string, p RPM) bool {
	return slices.ContainsFunc(newer, func(s string) bool { return strings.HasPrefix(s, p.id()+" ") })
}

// rpmFiles appends the packages' files to a command.
func rpmFiles(argv []string, packages []RPM) []string {
	for _, p := range packages {
		argv = append(argv, p.File)
	}
	return argv
}

// rpmLockEvery is how long to wait before rpm is tried again whose database somebody else holds.
const rpmLockEvery = 200 * time.Millisecond

// runRPM runs rpm with a deadline and says what the deadline means. Without a terminal some releases of rpm do not wait for
// the database's lock; the one that holds it may be the rpm of an installer that was killed.
func runRPM(ctx context.Context, h host.Host, limit time.Duration, argv []string, packages ...RPM) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	again := time.NewTicker(rpmLockEvery)
	defer again.Stop()
	for {
		_, err := h.Run(ctx, nil, argv...)
		if err == nil {
			return nil
		}
		if rpmLocked(err) {
			select {
			case <-again.C:
				continue
			case <-ctx.Done():
			}
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("rpm did not end within %s: another rpm or yum may hold /var/lib/rpm/.rpm.lock; see who: fuser -v /var/lib/rpm/.rpm.lock: %w",
				limit, readableRPM(err, packages))
		}
		return readableRPM(err, packages)
	}
}

// rpmLocked reports whether rpm did nothing because another one is at work.
func rpmLocked(err error) bool {
	var failed *host.RunError
	return errors.As(err, &failed) && failed.Code > 0 && strings.Contains(failed.Stderr, "can't create transaction lock")
}

// readableRPM makes of rpm's complaint one that a person can read: packages by their names instead of the digests they are
// kept under, and nothing about keys that the host does not have, since every package was verified when the bundle was built.
func readableRPM(err error, packages []RPM) error {
	var failed *host.RunError
	if !errors.As(err, &failed) || failed.Code < 0 {
		return err
	}
	said := *failed
	said.Argv, said.Stderr = nil, ""
	for _, arg := range failed.Argv {
		if !slices.ContainsFunc(packages, func(p RPM) bool { return p.File == arg }) {
			said.Argv = append(said.Argv, arg)
		}
	}
	if n := len(failed.Argv) - len(said.Argv); n > 0 {
		said.Argv = append(said.Argv, fmt.Sprintf("(%d files)", n))
	}
	for line := range strings.Lines(failed.Stderr) {
		if strings.HasPrefix(line, "warning: ") && strings.HasSuffix(strings.TrimSpace(line), ": NOKEY") {
			continue
		}
		for _, p := range packages {
			line = strings.ReplaceAll(line, p.File, p.id())
		}
		said.Stderr += line
	}
	return &said
}

// queryPackages returns the installed versions of packages by their id. rpm's exit code is the number of those that are
// not installed, so its output is what counts.
func queryPackages(ctx context.Context, h host.Host, packages []RPM) (map[string][]string, error) {
	ids := make([]string, len(packages))
	for i, p := range packages {
		ids[i] = p.id()
	}
	return queryIDs(ctx, h, ids)
}

// queryIDs is queryPackages for names alone.
func queryIDs(ctx context.Context, h host.Host, ids []string) (map[string][]string, error) {
	installed := map[string][]string{}
	if len(ids) == 0 {
		return installed, nil
	}
	ctx, cancel := context.WithTimeout(ctx, rpmTestTime)
	defer cancel()
	out, err := h.Run(ctx, nil, append([]string{"rpm", "-q", "--qf", queryFormat}, ids...)...)
	var failed *host.RunError
	if errors.As(err, &failed) && failed.Code > 0 {
		out = []byte(failed.Stdout)
	} else if err != nil {
		return nil, fmt.Errorf("asking rpm what is installed: %w", err)
	}
	missing := 0
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "package ") && strings.HasSuffix(line, " is not installed") {
			missing++
			continue
		}
		if id, evr, ok := strings.Cut(line, " "); ok && slices.Contains(ids, id) {
			installed[id] = append(installed[id], evr)
		}
	}
	if failed != nil && missing == 0 {
		return nil, fmt.Errorf("asking rpm what is installed: %w", err)
	}
	return installed, nil
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
	installed, err := queryIDs(ctx, u.Host, ours)
	if err != nil {
		return err
	}
	ours = slices.DeleteFunc(ours, func(id string) bool { return len(installed[id]) == 0 || slices.Contains(u.Stay, id) })
	if len(ours) > 0 {
		if err := runRPM(ctx, u.Host, rpmRunTime, append([]string{"rpm", "-e"}, ours...)); err != nil {
			return fmt.Errorf("removing packages: %w", err)
		}
	}
	for _, p := range upgraded {
		u.note("%s was upgraded and stays so", p)
	}
	return u.Host.Remove((&PackagesStep{Set: u.Object}).startedMark())
}
