package pki

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"offgrid/builder/cluster"
	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// RenewRequest says which certificates are made anew. What is left empty does not choose.
type RenewRequest struct {
	Request
	Role   string        // only what this role needs of its hosts
	Hosts  []string      // only these hosts; bundle.JoinPack is the name of those that join
	Within time.Duration // only certificates that end within it
	After  int64         // the renewal gets a serial greater than this one
}

// Renewed is a certificate that was made anew.
type Renewed struct {
	Host  string    `json:"host"`
	Name  string    `json:"name"`
	Was   time.Time `json:"was"`   // when the old one ends
	Until time.Time `json:"until"` // when the new one ends
}

// Renewal is what Renew made. Serial is 0 when no certificate was chosen: nothing has changed then.
type Renewal struct {
	Serial int64     `json:"serial"`
	Kept   string    `json:"kept"`   // directory that holds the old certificates and keys, "" when nothing was renewed
	Leaves []Renewed `json:"leaves"` // in the order of the cluster file
}

// ChoiceError says that a renewal was asked for a host or role that the cluster file does not have.
type ChoiceError struct{ Text string }

func (e *ChoiceError) Error() string { return "renewing certificates: " + e.Text }

// chosen is a certificate that is to be made anew.
type chosen struct {
	host cluster.Host
	spec spec
	old  Pair
}

func (c chosen) rel() string { return filepath.Join(hostsDir, c.host.Name, c.spec.name) }

// Renew makes leaf certificates anew, ahead of time: new keys, the same authorities, the names and addresses of the cluster
// file as it is now. All of them or none take the place of the old ones, which are kept below old/SERIAL. Certificates that
// do not exist yet are the next build's affair.
func Renew(ctx context.Context, dir string, req RenewRequest) (*Renewal, error) {
	silenceLibrary()
	if err := prepare(dir, req.Now); err != nil {
		return nil, err
	}
	set, problems := &Set{}, &Problems{Dir: dir}
	readAuthority(dir, req.Request, set, problems)
	if len(problems.Items) > 0 {
		return nil, problems
	}
	all, err := choose(dir, req, problems)
	if err != nil {
		return nil, err
	}
	if len(problems.Items) > 0 {
		return nil, problems
	}
	last, err := readSerial(dir)
	if err != nil || len(all) == 0 {
		return &Renewal{Leaves: []Renewed{}}, err
	}
	r := &Renewal{Serial: max(last+1, req.After+1, req.Now.Unix()), Leaves: []Renewed{}}
	r.Kept = filepath.Join(dir, oldDir, serialName(r.Serial))
	made := map[string]Pair{}
	for _, c := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		pair, err := issue(set.cas[c.spec.ca], c.spec, req.Request)
		if err != nil {
			return nil, fmt.Errorf("renewing certificate %q of host %q: %w", c.spec.name, c.host.Name, err)
		}
		made[c.rel()] = pair
		r.Leaves = append(r.Leaves, Renewed{Host: c.host.Name, Name: c.spec.name, Was: c.old.Parsed.NotAfter.UTC(), Until: pair.Parsed.NotAfter.UTC()})
	}
	sayCapped(set, all, made, req)
	if err := stage(dir, r.Serial, made); err != nil {
		return nil, fmt.Errorf("renewing certificates in %q: %w", dir, err)
	}
	return r, finish(dir)
}

// choose lists what is to be made anew.
func choose(dir string, req RenewRequest, problems *Problems) ([]chosen, error) {
	if err := checkChoice(req); err != nil {
		return nil, err
	}
	var all []chosen
	for _, h := range withJoin(req.Cluster) {
		if len(req.Hosts) > 0 && !slices.Contains(req.Hosts, h.Name) {
			continue
		}
		for _, s := range specsOf(req.Cluster, h) {
			if req.Role != "" && s.role != req.Role {
				continue
			}
			c := chosen{host: h, spec: s}
			if !exists(filepath.Join(dir, c.rel())) {
				continue
			}
			var err error
			if c.old, err = readPair(filepath.Join(dir, c.rel()), certName, keyName); err != nil {
				problems.add(c.rel(), "%v; put the file back from a copy, or move the directory %s away to have a new certificate made", err, s.name)
				continue
			}
			if req.Within == 0 || c.old.Parsed.NotAfter.Sub(req.Now) < req.Within {
				all = append(all, c)
			}
		}
	}
	return all, nil
}

func checkChoice(req RenewRequest) error {
	if req.Role != "" && !slices.Contains(certifiedRoles(), req.Role) {
		return &ChoiceError{fmt.Sprintf("no host gets certificates for the role %q; those that do are etcd, master and node", req.Role)}
	}
	for _, name := range req.Hosts {
		if !slices.ContainsFunc(withJoin(req.Cluster), func(h cluster.Host) bool { return h.Name == name }) {
			return &ChoiceError{fmt.Sprintf("the cluster file has no host %q", name)}
		}
	}
	return nil
}

// sayCapped warns of authorities that end before what they signed otherwise would.
func sayCapped(set *Set, all []chosen, made map[string]Pair, req RenewRequest) {
	for _, ca := range caNames() {
		end := set.cas[ca].Parsed.NotAfter
		capped := slices.ContainsFunc(all, func(c chosen) bool { return c.spec.ca == ca && made[c.rel()].Parsed.NotAfter.Equal(end) })
		if capped {
			req.Report.Report(progress.Event{Phase: "pki", Item: ca, Kind: progress.Warn,
				Text: fmt.Sprintf("the %s authority itself ends at %s, and no certificate outlives it", ca, end.UTC().Format(time.DateOnly))})
		}
	}
}

// withJoin lists the hosts of the cluster file and, when hosts may join, what stands for those.
func withJoin(f *cluster.File) []cluster.Host {
	hosts := slices.Clone(f.Hosts)
	if len(f.Nodes.JoinCIDRs) > 0 {
		hosts = append(hosts, cluster.Host{Name: bundle.JoinPack})
	}
	return hosts
}

// specsOf lists the certificates of a host, or of those that join.
func specsOf(f *cluster.File, h cluster.Host) []spec {
	if h.Name == bundle.JoinPack {
		return joinSpecs()
	}
	return specs(f, h)
}

// stage writes what was made into one directory that stands there whole or not at all. From then on the renewal has
// happened: finish only moves what is there.
func stage(dir string, serial int64, made map[string]Pair) error {
	temp, err := os.MkdirTemp(dir, tempPrefix)
	if err != nil {
		return err
	}
	err = writeSerial(temp, serial)
	for rel, pair := range made {
		if err == nil {
			err = writeDir(filepath.Join(temp, filepath.Dir(rel)), filepath.Base(rel), map[string][]byte{certName: pair.Cert, keyName: pair.Key})
		}
	}
	if err == nil {
		err = syncDir(temp)
	}
	if err == nil {
		err = os.Rename(temp, filepath.Join(dir, renewingDir))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	return syncDir(dir)
}

// finish brings a renewal to its end that was staged: each old certificate goes to old/SERIAL, the new one takes its place,
// and last the serial. It may be cut off anywhere and called again; without a renewal it does nothing.
func finish(dir string) error {
	staged := filepath.Join(dir, renewingDir)
	if !exists(staged) {
		return nil
	}
	if !exists(filepath.Join(staged, serialFile)) {
		return os.RemoveAll(staged) // all is in its place
	}
	serial, err := readSerial(staged)
	if err != nil {
		return err
	}
	found, err := filepath.Glob(filepath.Join(staged, hostsDir, "*", "*"))
	if err != nil {
		return err
	}
	for _, from := range found {
		rel, err := filepath.Rel(staged, from)
		if err != nil {
			return err
		}
		if err := replaceLeaf(dir, from, rel, filepath.Join(oldDir, serialName(serial), rel)); err != nil {
			return fmt.Errorf("renewing %q: %w", filepath.Join(dir, rel), err)
		}
	}
	if err := os.Rename(filepath.Join(staged, serialFile), filepath.Join(dir, serialFile)); err != nil {
		return err
	}
	if err := errors.Join(syncDir(dir), os.RemoveAll(staged)); err != nil {
		return err
	}
	return syncDir(dir)
}

// replaceLeaf moves the old certificate away, unless an earlier try has, and the new one into its place.
func replaceLeaf(dir, from, rel, kept string) error {
	now, aside := filepath.Join(dir, rel), filepath.Join(dir, kept)
	if err := os.MkdirAll(filepath.Dir(aside), 0o700); err != nil {
		return err
	}
	if !exists(aside) && exists(now) {
		if err := os.Rename(now, aside); err != nil {
			return err
		}
	}
	if err := os.Rename(from, now); err != nil {
		return err
	}
	for at := filepath.Dir(aside); at != dir; at = filepath.Dir(at) { // the directories above may be new as well
		if err := syncDir(at); err != nil {
			return err
		}
	}
	return syncDir(filepath.Dir(now))
}
