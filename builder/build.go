package builder

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"offgrid/builder/internal/pki"
	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// BuildOptions says what to build.
type BuildOptions struct {
	// Renewal leaves out what hosts have that were installed from the same lock: programs, packages and images. The bundles go
	// to renewal/ instead of dist/ and have the fingerprints of whole ones.
	Renewal bool
	// Best compresses programs as small as can be, for a stick that is made once and copied often: about a tenth smaller, and
	// ten times the work for what was not compressed so before. The content is the same, the fingerprints are others.
	Best bool
	// SingleFile also writes install-ROLE for each bundle: the installer with the bundle behind it, in one executable.
	SingleFile bool
	// Site writes site.bundle, one file with the bundles of all roles and each blob once, in place of ROLE.bundle.
	Site bool
	// Since is an older bundle, a site file or a directory of them: the bundles go to delta/ instead of dist/, and bring what those
	// lack. "" builds whole ones.
	Since string
	// Sign says who signs the bundles.
	Sign SignOptions
	// Passphrases is how the passphrase of the host packs is come by.
	Passphrases Passphrases
}

func (o BuildOptions) level() bundle.Level {
	if o.Best {
		return bundle.Best
	}
	return bundle.Default
}

// BuildResult says what is in dist/, or renewal/, now.
type BuildResult struct {
	Dist      string        `json:"dist"`            // path of the directory
	Since     string        `json:"since,omitempty"` // what the bundles build on: they bring only what that lacks
	Renewal   bool          `json:"renewal"`         // programs, packages and images were left out
	Locked    bool          `json:"locked"`          // there was no lock, so one was made first
	Unchanged bool          `json:"unchanged"`       // nothing had to be written
	Signer    *Signer       `json:"signer"`          // the key that signed; null: the bundles are not signed
	Packs     string        `json:"packs"`           // cluster.PacksSealed or cluster.PacksPlain
	Sealed    int           `json:"sealed"`          // host packs that were sealed in this build; the others had been before
	Bundles   []BuiltBundle `json:"bundles"`         // in the order in which roles are installed
	Files     []DistFile    `json:"files"`           // everything in dist/, sorted by name
}

// BuiltBundle is one role bundle.
type BuiltBundle struct {
	Role string        `json:"role"`
	Path string        `json:"path"`
	Root bundle.Digest `json:"root"`
	// Fingerprint is that of the root, as the installer prints it.
	Fingerprint string   `json:"fingerprint"`
	Size        int64    `json:"size"` // bytes of the role's own file, also when it is in site.bundle
	Hosts       []string `json:"hosts"`
	// Install is the path of the installer with this bundle behind it; "" when there is none.
	Install string `json:"install,omitempty"`
}

// DistFile is one file in dist/.
type DistFile struct {
	Name   string        `json:"name"`
	Size   int64         `json:"size"` // bytes
	SHA256 bundle.Digest `json:"sha256"`
}

// InstallerError says that the file given as installer cannot be one.
type InstallerError struct {
	Path string
	Err  error
}

func (e *InstallerError) Error() string {
	return fmt.Sprintf("reading installer %q: %v", e.Path, e.Err)
}
func (e *InstallerError) Unwrap() error { return e.Err }

// Build makes dist/ from the lock, the cluster file and pki/. Without a lock it locks first; one that no longer fits is a
// *StaleError. When nothing has changed since the last build, nothing is written: the files in dist/ are compared
// with their digests all the same.
func (s *Site) Build(ctx context.Context, o BuildOptions) (*BuildResult, error) {
	if o.Since != "" && (o.Renewal || o.Site) {
		return nil, &SinceError{o.Since, "that goes together neither with --renewal nor with --site"}
	}
	dist := s.path(o.directory())
	var since []*bundle.Bundle
	if o.Since != "" {
		var err error
		if since, err = openSince(o.Since); err != nil {
			return nil, err
		}
		defer closeBundles(since)
	}
	if err := checkInstaller(s.opts.Installer, s.catalogue.Platform.Arch); err != nil {
		return nil, &InstallerError{s.opts.Installer, err}
	}
	lock, locked, err := s.currentLock(ctx)
	if err != nil {
		return nil, err
	}
	set, sign, err := s.secrets(ctx, o.Sign)
	if err != nil {
		return nil, err
	}
	key, err := s.inputKey(o, since, sign)
	if err != nil {
		return nil, err
	}
	result := BuildResult{Dist: dist, Since: o.Since, Renewal: o.Renewal, Locked: locked, Signer: sign.signer(), Packs: s.cluster.Security.Packs}
	if old := readStamp(dist); old != nil && old.Input == key && !o.Passphrases.New && intact(ctx, dist, old) {
		result.Unchanged = true
		return result.of(old), nil
	}
	roles, sealed, err := s.assemble(ctx, lock, set, o.level(), o.Passphrases)
	if err == nil {
		result.Sealed = sealed
		key, err = s.inputKey(o, since, sign) // the first sealing has added to pki/
	}
	if err != nil {
		return nil, err
	}
	for i := range roles {
		roles[i].in.Renewal = o.Renewal
		if sign.key != nil {
			roles[i].in.Sign = sign.key.Sign
		}
	}
	if since != nil {
		if roles, err = s.deltas(ctx, roles, since); err != nil {
			return nil, err
		}
	}
	now, err := s.writeDist(ctx, dist, key, roles, sign.extras, o)
	if err != nil {
		return nil, err
	}
	return result.of(now), nil
}

// directory is the name of the one that the bundles go to.
func (o BuildOptions) directory() string {
	switch {
	case o.Since != "":
		return DeltaName
	case o.Renewal:
		return RenewalName
	}
	return DistName
}

// secrets makes what is missing in pki/, reads the key that signs, and makes the files of dist/ that it shows in.
func (s *Site) secrets(ctx context.Context, o SignOptions) (*pki.Set, *signing, error) {
	set, err := pki.Ensure(ctx, s.path(PKIName), pki.Request{Cluster: s.cluster, Now: s.opts.Now(), Report: s.opts.Report, Signing: !o.Unsigned && o.Key == ""})
	if err != nil {
		return nil, nil, err
	}
	if len(set.Made) > 0 {
		s.report(progress.Event{Phase: "pki", Kind: progress.Note, Text: fmt.Sprintf("made %d certificates and secrets in %s: keep this directory, and keep it off the stick", len(set.Made), s.path(PKIName))})
	}
	sign, err := s.signing(set, o)
	if err != nil {
		return nil, nil, err
	}
	sign.extras, err = s.extraFiles(sign)
	return set, sign, err
}

// of fills in what the stamp knows.
func (r BuildResult) of(st *stamp) *BuildResult {
	r.Files, r.Bundles = st.Files, []BuiltBundle{}
	for _, b := range st.Bundles {
		b.Path = r.Dist + "/" + b.Path
		b.Fingerprint = b.Root.Fingerprint()
		if b.Install != "" {
			b.Install = r.Dist + "/" + b.Install
		}
		r.Bundles = append(r.Bundles, b)
	}
	return &r
}

// currentLock reads the lock, or makes it when there is none, and insists that it fits.
func (s *Site) currentLock(ctx context.Context) (lock *Lock, made bool, err error) {
	lock, err = ReadLock(s.path(LockName))
	if errors.Is(err, fs.ErrNotExist) {
		s.report(progress.Event{Phase: "lock", Kind: progress.Note, Text: "there is no " + LockName + " yet: locking first"})
		if _, err = s.Lock(ctx); err != nil {
			return nil, false, err
		}
		made = true
		lock, err = ReadLock(s.path(LockName))
	}
	if err != nil {
		return nil, made, err
	}
	return lock, made, lock.Check(s.cluster, s.opts.Catalogue, s.baseline)
}

// checkInstaller looks whether the file is a static Linux program for the hosts' processor. It is not run.
func checkInstaller(path, arch string) error {
	f, err := elf.Open(path)
	var system *fs.PathError
	if errors.As(err, &system) {
		return err
	}
	if err != nil {
		return errors.New("not a Linux program")
	}
	defer f.Close()
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	if f.Machine != machines[arch] {
		return fmt.Errorf("built for %s, the hosts are %s", strings.TrimPrefix(f.Machine.String(), "EM_"), arch)
	}
	if _, found, err := bundle.FileAppended(path); err != nil || found {
		return errors.Join(err, errors.New("a bundle is behind it: name the installer alone, without one"))
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("linked dynamically: it would depend on the host's libraries; build it with CGO_ENABLED=0")
		}
	}
	return nil
}
