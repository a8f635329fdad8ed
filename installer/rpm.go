package installer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// How long rpm may take. It waits without limit for whoever else holds its lock, so the test, which needs seconds, ends
// that; the transaction itself may have to make an initramfs on a slow disk.
const (
	rpmTestTime = 10 * time.Minute
	rpmRunTime  = time.Hour
	// rpmAskTime is for questions, which take seconds on the slowest disk: one that takes longer waits for a lock in the database
	// that nobody gives back.
	rpmAskTime = 2 * time.Minute
)

// queryFormat prints a package as packageLine reads it. rpm prints "(none)" for an epoch that is not there.
const queryFormat = `%{NAME}.%{ARCH} %|EPOCH?{%{EPOCH}}:{0}|:%{VERSION}-%{RELEASE}\n`

// RPM is one package of a set.
type RPM struct {
	Name string
	EVR  string // "3:20.10.24-3.el7", or without the epoch
	Arch string // "x86_64", "noarch"
	File string // path on the host
	// Digest is of the package's file. The file is hashed against it right before rpm gets it: who vouched for the package was
	// checked when the bundle was built, and these are the bytes that were checked then. Zero: it is not looked at.
	Digest bundle.Digest
}

// id is the package as rpm names it without its version.
func (r RPM) id() string { return r.Name + "." + r.Arch }

// full is the package as rpm names one of several versions: "kernel-lt-5.4.278-1.el7.elrepo.x86_64". rpm 4.11 takes no epoch there.
func (r RPM) full() string {
	_, version, release := splitEVR(r.EVR)
	return r.Name + "-" + version + "-" + release + "." + r.Arch
}

// soundRPMs hashes the files of packages that rpm is about to get.
func soundRPMs(ctx context.Context, h host.Host, packages []RPM) error {
	for _, p := range packages {
		if p.Digest.IsZero() {
			continue
		}
		got, size, err := host.DigestFile(h, p.File)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("reading package %s: %w", p.id(), err)
		}
		if got != p.Digest {
			return &bundle.DamageError{Path: p.File, Artifact: "package " + p.id(), Length: size,
				Err: fmt.Errorf("its sha256 is %s, the bundle says %s", got.Short(), p.Digest.Short())}
		}
	}
	return nil
}

// startedPackages is the content of the mark that lies on the disk while rpm is at work.
type startedPackages struct {
	Format int      `json:"format"` // 0
	IDs    []string `json:"ids"`
}

// interruptedRPM returns what a transaction was about that did not come to its end.
func interruptedRPM(h host.Host, name string) ([]string, error) {
	text, err := readOptional(h, name)
	if err != nil || text == "" {
		return nil, err
	}
	var mark startedPackages
	if err := bundle.DecodeStrict([]byte(text), &mark, saveMax); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return mark.IDs, nil
}

// rpmTransaction is one run of rpm over packages: their files are sound, rpm has tested them, and a mark tells a later run
// that this one did not come to its end.
type rpmTransaction struct {
	what     string   // "packages docker", for messages
	argv     []string // "rpm", "-U"
	mark     string   // path
	packages []RPM
	again    bool // an earlier run was cut off: what it had finished is installed once more, scripts and all
}

func (t rpmTransaction) run(ctx context.Context, h host.Host) error {
	if err := soundRPMs(ctx, h, t.packages); err != nil {
		return err
	}
	if err := t.once(ctx, h, rpmTestTime, "--test"); err != nil {
		return fmt.Errorf("testing %s: %w", t.what, err)
	}
	mark := startedPackages{}
	for _, p := range t.packages {
		mark.IDs = append(mark.IDs, p.id())
	}
	if err := writeJSON(h, t.mark, mark, 0o600); err != nil {
		return err
	}
	if err := t.once(ctx, h, rpmRunTime); err != nil {
		return fmt.Errorf("installing %s: %w", t.what, err)
	}
	return h.Remove(t.mark)
}

// once runs rpm, and once more when its database had to be repaired: what it had finished before counts as cut off then.
func (t rpmTransaction) once(ctx context.Context, h host.Host, limit time.Duration, extra ...string) error {
	argv := t.argv[:len(t.argv):len(t.argv)]
	if t.again {
		argv = append(argv, "--replacepkgs")
	}
	err := runRPM(ctx, h, limit, rpmFiles(append(argv, extra...), t.packages), t.packages...)
	if !rpmBroken(err) {
		return err
	}
	if err := repairRPM(ctx, h); err != nil {
		return err
	}
	if !t.again {
		argv = append(argv, "--replacepkgs")
	}
	return runRPM(ctx, h, limit, rpmFiles(append(argv, extra...), t.packages), t.packages...)
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

// packageIDs are the packages as rpm is asked for them.
func packageIDs(packages []RPM) []string {
	ids := make([]string, len(packages))
	for i, p := range packages {
		ids[i] = p.id()
	}
	return ids
}

// queryPackages returns the installed versions of packages by their id. It only reads: a database that a killed rpm left
// open is a *rpmDatabaseError.
func queryPackages(ctx context.Context, h host.Host, packages []RPM) (map[string][]string, error) {
	return queryIDs(ctx, h, packageIDs(packages))
}

// queryRepaired is queryIDs for who may change the host: a damaged database is repaired first.
func queryRepaired(ctx context.Context, h host.Host, ids []string) (map[string][]string, error) {
	installed, err := queryIDs(ctx, h, ids)
	if !errors.As(err, new(*rpmDatabaseError)) {
		return installed, err
	}
	if err := repairRPM(ctx, h); err != nil {
		return nil, err
	}
	return queryIDs(ctx, h, ids)
}

// queryIDs is queryPackages for names alone.
func queryIDs(ctx context.Context, h host.Host, ids []string) (map[string][]string, error) {
	installed := map[string][]string{}
	lines, err := queryRPM(ctx, h, queryFormat, ids)
	for _, line := range lines {
		if id, evr, ok := strings.Cut(line, " "); ok && slices.Contains(ids, id) {
			installed[id] = append(installed[id], evr)
		}
	}
	return installed, err
}

// fullFormat prints a package as RPM.full does.
const fullFormat = `%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}\n`

// queryFull returns those of the packages, as RPM.full names them, that are installed. A damaged database is repaired.
func queryFull(ctx context.Context, h host.Host, names []string) ([]string, error) {
	lines, err := queryRPM(ctx, h, fullFormat, names)
	if errors.As(err, new(*rpmDatabaseError)) {
		if err := repairRPM(ctx, h); err != nil {
			return nil, err
		}
		lines, err = queryRPM(ctx, h, fullFormat, names)
	}
	return slices.DeleteFunc(lines, func(l string) bool { return !slices.Contains(names, l) }), err
}

// queryRPM returns what rpm prints of those packages that are installed. Its exit code is the number of those that are not,
// so its output is what counts.
func queryRPM(ctx context.Context, h host.Host, format string, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	limited, cancel := context.WithTimeout(ctx, rpmAskTime)
	defer cancel()
	out, err := h.Run(limited, nil, append([]string{"rpm", "-q", "--qf", format}, names...)...)
	if rpmBroken(err) {
		return nil, &rpmDatabaseError{err} // it says of every package that it is not installed
	}
	if err != nil && ctx.Err() == nil && (limited.Err() != nil || errors.Is(err, context.DeadlineExceeded)) {
		return nil, &rpmDatabaseError{fmt.Errorf("rpm does not answer within %s: it waits for a lock that a process which died has left", rpmAskTime)}
	}
	var failed *host.RunError
	if errors.As(err, &failed) && failed.Code > 0 {
		out = []byte(failed.Stdout)
	} else if err != nil {
		return nil, fmt.Errorf("asking rpm what is installed: %w", err)
	}
	var lines []string
	missing := 0
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "package ") && strings.HasSuffix(line, " is not installed") {
			missing++
			continue
		}
		lines = append(lines, line)
	}
	if failed != nil && missing == 0 {
		return nil, fmt.Errorf("asking rpm what is installed: %w", err)
	}
	return lines, nil
}
