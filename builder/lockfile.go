package builder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"offgrid/builder/cluster"
	"offgrid/builder/internal/strictyaml"
	"offgrid/bundle"
)

// LockName is the name of the lock file in a site directory.
const LockName = "bundle.lock"

// Kinds of lock entries.
const (
	EntryArchive = "archive" // tar.gz of which some members are shipped
	EntryFile    = "file"    // shipped as it is
	EntryRPM     = "rpm"
	EntryImage   = "image"
)

const lockHead = `# Every byte that a bundle of this site may ship. Written by "bundle lock"; review its diff, edit cluster.yaml instead.
`

// NoLockError says that a site has no lock yet. It wraps fs.ErrNotExist.
type NoLockError struct{ Dir string }

func (e *NoLockError) Error() string {
	return fmt.Sprintf("reading lock: there is no %s in %q yet", LockName, e.Dir)
}

func (e *NoLockError) Unwrap() error { return fs.ErrNotExist }

// ReadLock reads and checks a lock file. One that is not there is a *NoLockError.
func ReadLock(name string) (*Lock, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NoLockError{filepath.Dir(name)}
	}
	if err != nil {
		return nil, fmt.Errorf("reading lock: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, strictyaml.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading lock: %w", err)
	}
	return ParseLock(filepath.Base(name), data)
}

// ParseLock reads a lock: nothing unknown, nothing missing, entries sorted by their ID. Errors name the line.
func ParseLock(name string, data []byte) (*Lock, error) {
	l := &Lock{}
	source, err := strictyaml.Decode(name, data, l)
	if err != nil {
		return nil, err
	}
	var found []strictyaml.Problem
	say := func(text string, at ...any) {
		found = append(found, source.Problem(at, text))
	}
	if l.Schema != LockSchema {
		say(fmt.Sprintf("is %d, this program reads %d", l.Schema, LockSchema), "schema")
	}
	if l.Date.IsZero() || l.Catalogue.IsZero() || l.Request.IsZero() || l.Baseline.IsZero() {
		say("date, catalogue, request and baseline must be there")
	}
	for i := range l.Entries {
		e := &l.Entries[i]
		if text := e.fault(); text != "" {
			say(text, "entries", i)
		}
		if i > 0 && l.Entries[i-1].ID >= e.ID {
			say(fmt.Sprintf("%q must come after %q: entries are sorted and there once", e.ID, l.Entries[i-1].ID), "entries", i, "id")
		}
	}
	if len(found) > 0 {
		strictyaml.SortProblems(found)
		return nil, &strictyaml.Problems{Name: name, Items: found}
	}
	return l, nil
}

// fault says what is wrong with an entry, "" when nothing is.
func (e *LockEntry) fault() string {
	wants := map[string][3]bool{ // members, package, image
		EntryArchive: {true, false, false}, EntryFile: {}, EntryRPM: {false, true, false}, EntryImage: {false, false, true},
	}
	want, ok := wants[e.Kind]
	switch {
	case !ok:
		return fmt.Sprintf("kind %q: want archive, file, rpm or image", e.Kind)
	case e.ID == "" || e.Version == "" || e.Vouched == "":
		return "id, version and vouched must be there"
	case !strings.HasPrefix(e.URL, "https://") && !strings.HasPrefix(e.URL, "http://"):
		return fmt.Sprintf("url %q: want https://...", e.URL)
	case e.Size <= 0 || e.SHA256.IsZero():
		return "size and sha256 must be there"
	case want != [3]bool{len(e.Members) > 0, e.Package != nil, e.Image != nil}:
		return fmt.Sprintf("an entry of kind %s has %s and nothing of another kind", e.Kind, detail(want))
	case e.Image != nil:
		return e.Image.fault(e.SHA256)
	case e.Package != nil && (e.Package.Name == "" || e.Package.Version == "" || e.Package.Release == "" || e.Package.Arch == ""):
		return "the package's name, version, release and arch must be there"
	case e.Package != nil && (len(e.Package.Roles) == 0 || !slices.IsSorted(e.Package.Roles)):
		return "the roles whose hosts get the package must be there, sorted"
	}
	for _, m := range e.Members {
		if m.Name == "" || m.Path == "" || m.Size <= 0 || m.SHA256.IsZero() {
			return "each member has name, path, size and sha256"
		}
	}
	return ""
}

func detail(want [3]bool) string {
	for i, name := range []string{"members", "a package", "an image"} {
		if want[i] {
			return name
		}
	}
	return "no details"
}

func (m *LockImage) fault(manifest bundle.Digest) string {
	if m.Ref == "" || m.Manifest.SHA256 != manifest {
		return "an image has a ref, and the entry's sha256 is its manifest's"
	}
	blobs := append([]LockBlob{m.Manifest, m.Config}, m.Layers...)
	if m.Index != nil {
		blobs = append(blobs, *m.Index)
	}
	for _, b := range blobs {
		if b.MediaType == "" || b.Size <= 0 || b.SHA256.IsZero() {
			return "each part of an image has mediaType, sha256 and size"
		}
	}
	return ""
}

// Bytes returns the lock as it is written: the same lock gives the same bytes. Their digest is what bundles carry.
func (l *Lock) Bytes() ([]byte, error) {
	data, err := strictyaml.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("writing lock: %w", err)
	}
	return append([]byte(lockHead), data...), nil
}

// WriteLock replaces the lock file atomically and durably.
func WriteLock(name string, l *Lock) error {
	data, err := l.Bytes()
	if err != nil {
		return err
	}
	return WriteFile(name, 0o644, writeBytes(data))
}

// StaleError says that a lock was made for something else.
type StaleError struct {
	Changed []string // what has changed since, for people
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("%s is stale: %s since it was made; run \"bundle lock\" and review what changes", LockName, strings.Join(e.Changed, ", and "))
}

// Check returns a *StaleError unless the lock was made from this catalogue, for hosts with this baseline and for what this
// cluster file asks for.
func (l *Lock) Check(c *cluster.File, catalogueBytes, baseline []byte) error {
	var changed []string
	if l.Catalogue != bundle.DigestOf(catalogueBytes) {
		changed = append(changed, "the catalogue has changed")
	}
	if l.Baseline != bundle.DigestOf(baseline) {
		changed = append(changed, "the baseline, what the hosts have already, has changed")
	}
	want, err := RequestDigest(c)
	if err != nil {
		return err
	}
	if l.Request != want {
		changed = append(changed, "the versions, roles, kernel, pod network or extra images in cluster.yaml have changed")
	}
	if changed != nil {
		return &StaleError{Changed: changed}
	}
	return nil
}

// RequestDigest is the digest of what a cluster file asks the lock for: the versions it names, the roles in use, whether a
// kernel is carried, the pod network and the operator's own images.
func RequestDigest(c *cluster.File) (bundle.Digest, error) {
	data, err := json.Marshal(struct {
		Versions cluster.Versions
		Roles    []string
		CNI      string
		Images   []string
		Kernel   bool
	}{c.Versions, rolesInUse(c), c.Network.CNI, slices.Sorted(slices.Values(c.Extras.Images)), c.CarriesKernel()})
	if err != nil {
		return bundle.Digest{}, fmt.Errorf("internal error: writing the request: %w", err)
	}
	return bundle.DigestOf(data), nil
}

// rolesInUse returns the roles that some host has, or may get by joining, sorted.
func rolesInUse(c *cluster.File) []string {
	var roles []string
	for _, h := range c.Hosts {
		roles = append(roles, h.Roles...)
	}
	if len(c.Nodes.JoinCIDRs) > 0 {
		roles = append(roles, cluster.RoleNode)
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}
