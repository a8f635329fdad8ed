package builder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"offgrid/builder/catalogue"
	"offgrid/builder/cluster"
	"offgrid/builder/internal/filelock"
	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// Names inside a site directory.
const (
	ClusterName = "cluster.yaml"
	PKIName     = "pki"
	DistName    = "dist"
	RenewalName = "renewal"

	siteLockName = ".bundle-running" // held while a command works on the site
	maxYAML      = 16 << 20          // bytes of a cluster file, catalogue or lock
)

// SiteOptions says which site to work on, and with what.
type SiteOptions struct {
	Dir           string // site directory
	CatalogueName string // for messages
	Catalogue     []byte
	Baseline      []byte        // what hosts have when the cluster file names no baseline (see bundle.Baseline)
	Store         string        // directory of the store; made when it is not there
	Mirrors       []string      // "FROM=TO", tried in order before upstream
	MirrorSets    []string      // names of sets in the catalogue, after Mirrors
	Parallel      int           // downloads at the same time
	Attempts      int           // tries at each address; 0: 5
	Stall         time.Duration // longest time without a byte; 0: one minute
	Installer     string        // Build: path of the installer that goes into dist/
	Program       bundle.Digest // Build: of the running program; another one may render other files
	Now           func() time.Time
	Report        progress.Func
}

// Site is a site directory that nobody else works on, with its store. Close it.
type Site struct {
	opts      SiteOptions
	cluster   *cluster.File
	catalogue *catalogue.Catalogue
	data      []byte // of the cluster file
	baseline  []byte // what the hosts have
	store     *Store
	lock      *filelock.Lock
}

// BusyError says that another bundle command works on the same site.
type BusyError struct{ Dir string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("opening site %q: another bundle command is at work there", e.Dir)
}

// NoSiteError says that a directory has no cluster file.
type NoSiteError struct{ Dir string }

func (e *NoSiteError) Error() string {
	return fmt.Sprintf("opening site %q: there is no %s", e.Dir, ClusterName)
}

// OpenSite reads the cluster file and the catalogue and opens the store. Findings about the cluster file come all at once
// (*cluster.Problems), its warnings are reported. A site that another process works on is a *BusyError.
func OpenSite(o SiteOptions) (*Site, error) {
	s := &Site{opts: o}
	if err := s.readCluster(); err != nil {
		return nil, err
	}
	if err := s.readBaseline(); err != nil {
		return nil, err
	}
	var err error
	if s.catalogue, err = catalogue.Load(o.CatalogueName, o.Catalogue); err != nil {
		return nil, err
	}
	if err := s.hold(); err != nil {
		return nil, err
	}
	if err := removeTemp(o.Dir, LockName); err != nil {
		return nil, errors.Join(fmt.Errorf("opening site: %w", err), s.lock.Release())
	}
	if s.store, err = OpenStore(o.Store); err != nil {
		return nil, errors.Join(err, s.lock.Release())
	}
	return s, nil
}

// readCluster reads the cluster file.
func (s *Site) readCluster() (err error) {
	name := s.path(ClusterName)
	if s.data, err = readLimited(name); errors.Is(err, fs.ErrNotExist) {
		return &NoSiteError{s.opts.Dir}
	} else if err != nil {
		return err
	}
	if s.cluster, err = cluster.Load(name, s.data); err != nil {
		return err
	}
	for _, w := range s.cluster.Warnings() {
		s.report(progress.Event{Phase: "lock", Kind: progress.Warn, Text: fmt.Sprintf("%s:%d: %s: %s", ClusterName, w.Line, w.Path, w.Text)})
	}
	return nil
}

// BaselineError says that the file which the cluster file names as what the hosts have cannot be used.
type BaselineError struct {
	Name string // as the cluster file says
	Err  error
}

func (e *BaselineError) Error() string {
	return fmt.Sprintf("%s: host.baseline: %q: %v", ClusterName, e.Name, e.Err)
}
func (e *BaselineError) Unwrap() error { return e.Err }

// readBaseline reads what the hosts have: the file that the cluster file names, or else the built-in list.
func (s *Site) readBaseline() (err error) {
	name := s.cluster.OS.Baseline
	if name == "" {
		s.baseline = s.opts.Baseline
		return nil
	}
	if s.baseline, err = readAtMost(s.path(name), bundle.MaxBaseline); errors.Is(err, fs.ErrNotExist) {
		err = errors.New("there is no such file in the site; run \"./install baseline > baseline.json\" on a host and bring it")
	}
	if err == nil {
		_, err = bundle.ParseBaseline(s.baseline)
	}
	if err != nil {
		return &BaselineError{name, err}
	}
	return nil
}

// hold keeps other commands from the site.
func (s *Site) hold() (err error) {
	s.lock, err = filelock.Try(s.path(siteLockName))
	if errors.Is(err, filelock.ErrHeld) {
		return &BusyError{s.opts.Dir}
	}
	if err != nil {
		return fmt.Errorf("opening site: %w", err)
	}
	return nil
}

// Close lets others work on the site.
func (s *Site) Close() error { return errors.Join(s.store.Close(), s.lock.Release()) }

// path returns the path of a name inside the site.
func (s *Site) path(name string) string { return filepath.Join(s.opts.Dir, name) }

func (s *Site) report(e progress.Event) { s.opts.Report.Report(e) }

// InitSite writes example as the cluster file of dir and returns its path. It makes dir; a cluster file that is there is
// an error that wraps fs.ErrExist.
func InitSite(dir string, example []byte) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making site %q: %w", dir, err)
	}
	path := filepath.Join(dir, ClusterName)
	if _, err := os.Lstat(path); err == nil {
		return "", fmt.Errorf("making site %q: %s is already there: %w", dir, ClusterName, fs.ErrExist)
	}
	return path, WriteFile(path, 0o644, writeBytes(example))
}
