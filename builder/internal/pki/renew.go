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
	"offgrid/builder/internal/durable"
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

// authorities reads what signs, for somebody who is about to change what is in dir.
func authorities(dir string, req Request) (*Set, error) {
	silenceLibrary()
	if err := prepare(dir, req.Now); err != nil {
		return nil, err
	}
	set, problems := &Set{}, &Problems{Dir: dir}
	readAuthority(dir, req, set, problems)
	if len(problems.Items) > 0 {
		return nil, problems
	}
	return set, nil
}

// Renew makes leaf certificates anew, ahead of time: new keys, the same authorities, the names and addresses of the cluster
// file as it is now. All of them or none take the place of the old ones, which are kept below old/SERIAL. Certificates that
// do not exist yet are the next build's affair.
func Renew(ctx context.Context, dir string, req RenewRequest) (*Renewal, error) {
	set, err := authorities(dir, req.Request)
	if err != nil {
		return nil, err
	}
	problems := &Problems{Dir: dir}
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
	made, leaves, err := issueAll(ctx, set, all, req.Request)
	if err != nil {
		return nil, err
	}
	r.Leaves = leaves
	sayCapped(set, all, made, req)
	if err := (&staging{leaves: made}).write(dir, r.Serial); err != nil {
		return nil, fmt.Errorf("renewing certificates in %q: %w", dir, err)
	}
	return r, finish(dir)
}

// issueAll makes certificates anew, and what is told of them.
func issueAll(ctx context.Context, set *Set, all []chosen, req Request) (map[string]Pair, []Renewed, error) {
	made, leaves := map[string]Pair{}, []Renewed{}
	for _, c := range all {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		pair, err := issue(set.cas[c.spec.ca], c.spec, req)
		if err != nil {
			return nil, nil, fmt.Errorf("renewing certificate %q of host %q: %w", c.spec.name, c.host.Name, err)
		}
		made[c.rel()] = pair
		leaves = append(leaves, Renewed{Host: c.host.Name, Name: c.spec.name, Was: c.old.Parsed.NotAfter.UTC(), Until: pair.Parsed.NotAfter.UTC()})
	}
	return made, leaves, nil
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

// finish brings to its end what was staged: each old directory goes to old/SERIAL, the new one takes its place,
// and last the serial. It may be cut off anywhere and called again; without a renewal it does nothing.
func finish(dir string) error {
	at := filepath.Join(dir, renewingDir)
	if !exists(at) {
		return nil
	}
	if !exists(filepath.Join(at, serialFile)) {
		return os.RemoveAll(at) // all is in its place
	}
	serial, err := readSerial(at)
	if err != nil {
		return err
	}
	found, err := staged(at)
	if err != nil {
		return err
	}
	for _, from := range found {
		rel, err := filepath.Rel(at, from)
		if err != nil {
			return err
		}
		if err := replaceDir(dir, from, rel, filepath.Join(oldDir, serialName(serial), rel)); err != nil {
			return fmt.Errorf("renewing %q: %w", filepath.Join(dir, rel), err)
		}
	}
	if exists(filepath.Join(at, endFile)) {
		if err := moveAside(filepath.Join(dir, rotationDir), filepath.Join(dir, oldDir, serialName(serial), rotationDir)); err != nil {
			return err
		}
	}
	if err := os.Rename(filepath.Join(at, serialFile), filepath.Join(dir, serialFile)); err != nil {
		return err
	}
	if err := errors.Join(durable.Dir(dir), os.RemoveAll(at)); err != nil {
		return err
	}
	return durable.Dir(dir)
}

// replaceDir moves the old directory away, unless an earlier try has, and the new one into its place.
func replaceDir(dir, from, rel, kept string) error {
	now, aside := filepath.Join(dir, rel), filepath.Join(dir, kept)
	if err := moveAside(now, aside); err != nil {
		return err
	}
	if err := os.Rename(from, now); err != nil {
		return err
	}
	for at := filepath.Dir(aside); at != dir; at = filepath.Dir(at) { // the directories above may be new as well
		if err := durable.Dir(at); err != nil {
			return err
		}
	}
	return durable.Dir(filepath.Dir(now))
}
