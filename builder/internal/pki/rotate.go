package pki

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// A change of authorities goes in three steps, each with bundles of its own that every host gets before the next one:
// trust the new authorities beside the old ones, have certificates of the new ones, trust only those.
const (
	StepNone   = 0 // no change is under way
	StepTrust  = 1
	StepSwitch = 2
	StepEnd    = 3 // what was signed by the old authorities is not accepted any more; nothing is kept of this step
)

const (
	rotationDir    = "rotation" // the authorities that do not sign: the new ones in step 1, the old ones in step 2
	rotationFile   = "rotation.json"
	rotationFormat = 1
	endFile        = "rotation-ends" // in what is staged: the directory rotation goes
)

// rotation is rotation.json.
type rotation struct {
	Format int `json:"format"`
	Step   int `json:"step"`
}

// RotateRequest says what is to become of the change of authorities.
type RotateRequest struct {
	Request
	Next   bool  // the next step: every host has the bundles of this one
	Cancel bool  // give up, in step 1
	After  int64 // the step gets a serial greater than this one
}

// Rotation is what a step has made.
type Rotation struct {
	Step        int         `json:"step"` // 1, 2 or 3; 0 when it was given up
	Serial      int64       `json:"serial"`
	Kept        string      `json:"kept"` // directory that holds what was replaced
	Authorities []Authority `json:"authorities"`
	Leaves      []Renewed   `json:"leaves"` // made anew in this step, in the order of the cluster file
}

// Authority is one that hosts trust from this step on.
type Authority struct {
	Name  string    `json:"name"`
	CN    string    `json:"cn"`
	Signs bool      `json:"signs"`
	Until time.Time `json:"until"`
}

// RotationError says that a step was asked for that is not due.
type RotationError struct{ Text, Hint string }

func (e *RotationError) Error() string { return "changing authorities: " + e.Text }

// Rotate begins a change of the authorities, or takes it to its next step. As with a renewal, all of a step has happened or none
// of it, whatever happens to this machine, and what was replaced is kept below old/SERIAL.
func Rotate(ctx context.Context, dir string, req RotateRequest) (*Rotation, error) {
	set, err := authorities(dir, req.Request)
	if err != nil {
		return nil, err
	}
	problems := &Problems{Dir: dir}
	if err := due(set.Step, req); err != nil {
		return nil, err
	}
	last, err := readSerial(dir)
	if err != nil {
		return nil, err
	}
	r := &Rotation{Step: set.Step + 1, Serial: max(last+1, req.After+1, req.Now.Unix()), Leaves: []Renewed{}}
	r.Kept = filepath.Join(dir, oldDir, serialName(r.Serial))
	staged := &staging{dirs: map[string]map[string][]byte{}}
	switch {
	case req.Cancel:
		r.Step, staged.ends = StepNone, true
	case r.Step == StepTrust:
		err = stageTrust(req, r.Serial, staged)
	case r.Step == StepSwitch:
		err = stageSwitch(ctx, dir, req, set, r, staged)
	default:
		staged.ends = true
	}
	if err != nil {
		return nil, err
	}
	if err := staged.write(dir, r.Serial); err != nil {
		return nil, fmt.Errorf("changing authorities in %q: %w", dir, err)
	}
	if err := finish(dir); err != nil {
		return nil, err
	}
	now := &Set{}
	if readAuthority(dir, req.Request, now, problems); len(problems.Items) > 0 {
		return nil, problems
	}
	r.Authorities = now.authorities()
	return r, nil
}

// due refuses a step out of order.
func due(step int, req RotateRequest) error {
	const next = "bundle build --renewal, ./install on every host, and then: bundle pki rotate --next"
	switch {
	case step == StepNone && (req.Next || req.Cancel):
		return &RotationError{"none is under way", "`bundle pki rotate` begins one"}
	case step != StepNone && !req.Next && !req.Cancel:
		return &RotationError{fmt.Sprintf("one is under way, in step %d of 3", step), next}
	case step == StepSwitch && req.Cancel:
		return &RotationError{"in step 2 hosts have certificates of the new authorities: it cannot be given up any more", next}
	case req.Next && req.Cancel:
		return &RotationError{"it cannot go on and be given up at once", "`bundle pki rotate --help`"}
	}
	return nil
}

// stageTrust makes the new authorities. They have names of their own, so that a certificate tells who signed it.
func stageTrust(req RotateRequest, serial int64, s *staging) error {
	files := map[string][]byte{}
	for _, name := range caNames() {
		ca, err := newCA(fmt.Sprintf("%s-%d", name, serial), req.Cluster.Metadata.Name, req.Cluster.Security.CertCAYears, req.Now)
		if err != nil {
			return fmt.Errorf("making the new %s authority: %w", name, err)
		}
		files[name+"-ca.pem"], files[name+"-ca-key.pem"] = ca.Cert, ca.Key
	}
	return s.rotation(files, StepTrust)
}

// stageSwitch makes the new authorities those that sign, and all certificates anew.
func stageSwitch(ctx context.Context, dir string, req RotateRequest, set *Set, r *Rotation, s *staging) error {
	authority, err := readFiles(filepath.Join(dir, authorityDir))
	if err != nil {
		return err
	}
	next, err := readFiles(filepath.Join(dir, rotationDir))
	if err != nil {
		return err
	}
	old := map[string][]byte{}
	for _, name := range caNames() {
		old[name+"-ca.pem"] = authority[name+"-ca.pem"]
		for _, file := range []string{name + "-ca.pem", name + "-ca-key.pem"} {
			authority[file] = next[file]
		}
		ca, err := parsePair(next[name+"-ca.pem"], next[name+"-ca-key.pem"])
		if err != nil {
			return fmt.Errorf("reading the new %s authority: %w", name, err)
		}
		set.cas[name] = ca
	}
	s.dirs[authorityDir] = authority
	all, err := choose(dir, RenewRequest{Request: req.Request}, &Problems{})
	if err != nil {
		return err
	}
	if s.leaves, r.Leaves, err = issueAll(ctx, set, all, req.Request); err != nil {
		return err
	}
	return s.rotation(old, StepSwitch)
}

// readFiles reads the small files of a directory.
func readFiles(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = readSecret(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// readRotation reads the authorities that hosts trust beside those that sign, and the step of their change.
func readRotation(dir string, set *Set, problems *Problems) {
	set.Step, set.trust = StepNone, map[string]Pair{}
	path := filepath.Join(dir, rotationDir)
	if !exists(path) {
		return
	}
	const remedy = "put the file back from a copy of the directory"
	data, err := readSecret(filepath.Join(path, rotationFile))
	var r rotation
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err == nil && (r.Format != rotationFormat || r.Step != StepTrust && r.Step != StepSwitch) {
		err = fmt.Errorf("format %d and step %d; this program knows format %d, and the steps 1 and 2", r.Format, r.Step, rotationFormat)
	}
	if err != nil {
		problems.add(filepath.Join(rotationDir, rotationFile), "%v; %s", err, remedy)
		return
	}
	set.Step = r.Step
	for _, name := range caNames() {
		cert, err := readSecret(filepath.Join(path, name+"-ca.pem"))
		if err == nil {
			set.trust[name], err = parseCertificate(cert)
		}
		if err == nil && !set.trust[name].Parsed.IsCA {
			err = errors.New("this is not a certificate authority")
		}
		if err != nil {
			problems.add(filepath.Join(rotationDir, name+"-ca.pem"), "%v; %s", err, remedy)
		}
	}
}

// Trust is the certificates, in PEM, of all authorities of that name which hosts trust: the one that signs comes first.
func (s *Set) Trust(name string) []byte {
	return slices.Concat(s.cas[name].Cert, s.trust[name].Cert)
}

func (s *Set) authorities() []Authority {
	all := []Authority{}
	for _, name := range caNames() {
		for i, p := range []Pair{s.cas[name], s.trust[name]} {
			if p.Parsed != nil {
				all = append(all, Authority{Name: name, CN: p.Parsed.Subject.CommonName, Signs: i == 0, Until: p.Parsed.NotAfter.UTC()})
			}
		}
	}
	return all
}

// ReadStep returns the step of the change of authorities that a directory is in, StepNone when none is under way.
func ReadStep(dir string) (int, error) {
	set, problems := &Set{}, &Problems{Dir: dir}
	if readRotation(dir, set, problems); len(problems.Items) > 0 {
		return StepNone, problems
	}
	return set.Step, nil
}
