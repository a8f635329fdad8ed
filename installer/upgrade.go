package installer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// Edition is one bundle of a role, for telling two apart.
type Edition struct {
	Bundle  bundle.Digest `json:"bundle"`  // of the root
	Serial  int64         `json:"serial"`  // of the cluster; grows with every lock
	Version string        `json:"version"` // of etcd for the role etcd, else of Kubernetes: "v1.20.15"
}

// editionOf names the bundle of a role.
func editionOf(r *RoleJob) Edition {
	c := r.Input.Index.Cluster
	v := Edition{Bundle: r.Plan.Bundle, Serial: c.Serial, Version: c.Policy.KubeVersion}
	if r.Plan.Role == bundle.RoleEtcd {
		v.Version = c.Policy.EtcdVersion
	}
	return v
}

// name is the release in a sentence.
func (r Edition) name(role string) string {
	if r.Version == "" {
		return "bundle " + r.Bundle.Short() + " of " + role
	}
	return role + " " + r.Version
}

// Upgrade is what becomes of a role that is on the host already, from another bundle of the same cluster.
type Upgrade struct {
	Title    string   `json:"title"` // "upgrade of node from v1.20.13 to v1.20.15"
	From     Edition  `json:"from"`
	To       Edition  `json:"to"`
	Restarts []string `json:"restarts"` // services that are started anew
	Drain    bool     `json:"drain"`    // the node gives its pods to others first
	PutBack  bool     `json:"putBack"`  // the other way round: an upgrade that is not finished is given up

	begun *upgradeRecord // what the host knows of it; nil: nothing yet
	old   *RoleJob       // the installed version; nil once begun
	keep  *KeepStep
	copy  int64 // bytes that are kept as copies, since they lie on another file system than what is kept
}

// States of an upgrade that is not finished.
const (
	upgradeBegun = "begun"        // the new version is on its way; resume goes on
	upgradeBack  = "putting back" // it was given up; resume puts the old version back
)

// upgradeRecord is old/ROLE/upgrade.json: an upgrade that is not finished. It holds all that a put-back must know.
type upgradeRecord struct {
	Format   int           `json:"format"` // 0
	Role     string        `json:"role"`
	IP       string        `json:"ip"`
	From     Edition       `json:"from"`
	To       Edition       `json:"to"`
	State    string        `json:"state"`
	Why      string        `json:"why"`      // it is put back; "" when it is not
	Drain    bool          `json:"drain"`    // the node is cordoned and drained before
	Ailing   []string      `json:"ailing"`   // health lines that were not right before: the upgrade is not to blame
	Programs []keptProgram `json:"programs"` // that are kept
	Added    []string      `json:"added"`    // IDs of steps that only the new plan has
	Gone     []string      `json:"gone"`     // IDs of steps that only the old plan has
	// Packages are the new versions of packages that the host had in another one before, by NAME.ARCH.
	Packages map[string]string `json:"packages"`
}

// readUpgrade returns what is known of a role's upgrade, nil when none is at work.
func readUpgrade(h host.Host, role string) (*upgradeRecord, error) {
	name := path.Join(OldDir(role), upgradeName)
	data, err := host.ReadFile(h, name, saveMax)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var rec upgradeRecord
	if err := bundle.DecodeStrict(data, &rec, saveMax); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if rec.Format != 0 {
		return nil, fmt.Errorf("reading %s: format %d is newer than this installer", name, rec.Format)
	}
	if rec.Role != role {
		return nil, fmt.Errorf("reading %s: it is about role %q", name, rec.Role)
	}
	return &rec, nil
}

func writeUpgrade(h host.Host, rec upgradeRecord) error {
	return writeJSON(h, path.Join(OldDir(rec.Role), upgradeName), rec, 0o600)
}

// title is what an operator calls it.
func (u *Upgrade) title(role string) string {
	verb := "upgrade of "
	switch {
	case u.PutBack:
		return fmt.Sprintf("put-back of %s from %s to %s", role, orBundle(u.To), orBundle(u.From))
	case u.From.Version == u.To.Version && u.From.Version != "":
		return fmt.Sprintf("update of %s %s from bundle %s to %s: the same versions, other settings or certificates", role, u.To.Version,
			u.From.Bundle.Short(), u.To.Bundle.Short())
	}
	return verb + fmt.Sprintf("%s from %s to %s", role, orBundle(u.From), orBundle(u.To))
}

// orBundle is the version, or what tells the bundle from others when it has none.
func orBundle(r Edition) string {
	if r.Version == "" {
		return "bundle " + r.Bundle.Short()
	}
	return r.Version
}

// planUpgrade finds out whether a role of the job is on the host from another bundle, and puts into its plan what an
// upgrade needs before and after the usual steps. It only reads.
func (s *Session) planUpgrade(ctx context.Context, job *Job, r *RoleJob) error {
	rec, err := readUpgrade(s.Host, r.Plan.Role)
	if err != nil {
		return err
	}
	if rec != nil {
		r.Plan.Upgrade = &Upgrade{From: rec.From, To: rec.To, Drain: rec.Drain, begun: rec, Restarts: []string{}, PutBack: rec.To.Bundle != r.Plan.Bundle}
		r.Plan.Upgrade.Title = r.Plan.Upgrade.title(r.Plan.Role)
		if !r.Plan.Upgrade.PutBack {
			r.Plan.Upgrade.keep = &KeepStep{Role: r.Plan.Role, Record: *rec}
			s.upgradePhases(r)
		}
		return nil
	}
	installed, err := InstalledRoles(s.Host)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(installed, func(in Installed) bool { return in.Role == r.Plan.Role })
	if at < 0 || installed[at].Bundle == r.Plan.Bundle {
		return nil
	}
	return s.planNewUpgrade(ctx, job, r, installed[at])
}

// planNewUpgrade compares the installed version with the one at hand.
func (s *Session) planNewUpgrade(ctx context.Context, job *Job, r *RoleJob, in Installed) error {
	old, err := s.oldJob(ctx, RoleDir(in.Role))
	if err != nil {
		return fmt.Errorf("reading what is installed, to be able to put it back: %w", err)
	}
	job.kept = append(job.kept, old)
	if old.Roles[0].Input.Index.Cluster.ID != r.Input.Index.Cluster.ID || old.Roles[0].Plan.Bundle == r.Plan.Bundle {
		return nil // another cluster is preflight's affair; the same bundle is one whose carrying was cut off at its end
	}
	u := &Upgrade{From: editionOf(&old.Roles[0]), To: editionOf(r), Restarts: []string{}, old: &old.Roles[0]}
	u.Title = u.title(in.Role)
	changed := s.changes(ctx, r.Plan)
	for _, p := range r.Plan.Steps() {
		if unit, ok := p.(*UnitStep); ok && restarted(unit, changed) {
			u.Restarts = append(u.Restarts, unit.Unit)
		}
	}
	u.Drain = r.Plan.Role == bundle.RoleNode && drains(r.Plan, changed)
	rec := upgradeRecord{Role: in.Role, IP: in.IP, From: u.From, To: u.To, State: upgradeBegun, Drain: u.Drain, Ailing: []string{}}
	rec.Programs = replaced(old.Roles[0].Plan, r.Plan)
	rec.Added, rec.Gone = onlyIn(r.Plan, old.Roles[0].Plan), onlyIn(old.Roles[0].Plan, r.Plan)
	if rec.Packages, err = s.newerPackages(ctx, r.Plan); err != nil {
		return err
	}
	u.keep = &KeepStep{Role: in.Role, Record: rec, pack: old.Roles[0].Input.state}
	s.count(job, r, u)
	r.Plan.Upgrade, r.Input.Upgrade = u, u
	s.upgradePhases(r)
	return nil
}

// oldJob prepares the role whose carried directory is dir, for the host that it was carried for.
func (s *Session) oldJob(ctx context.Context, dir string) (*Job, error) {
	in, err := readInstalled(s.Host, dir)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", dir, err)
	}
	b, err := s.carried(dir)
	if err != nil {
		return nil, err
	}
	job, err := s.prepare(ctx, in.want(), []*bundle.Bundle{b})
	if err == nil && job.Roles[0].Plan == nil {
		err = fmt.Errorf("reading %s: it holds no pack for %s", dir, in.IP)
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return job, nil
}

// upgradePhases puts the steps of an upgrade around those of the plan. What replaces nothing comes first.
func (s *Session) upgradePhases(r *RoleJob) {
	u := r.Plan.Upgrade
	first := Phase{Name: phaseKeep, Steps: []Step{u.keep}}
	if snapshot := s.snapshotStep(r); snapshot != nil {
		first.Steps = append(first.Steps, snapshot)
	}
	if u.Drain {
		c := nodeClient{probe: s.Probe, role: &r.Input, own: r.Plan.Host, limit: s.drainTimeout(), wait: min(peerPatience, s.Patience), report: s.Report}
		first.Steps = append(first.Steps, &DrainStep{node: c})
		r.Plan.Phases = append(r.Plan.Phases, Phase{Name: phaseReturn, Steps: []Step{&UncordonStep{node: c, wait: min(ownPatience, s.Patience)}}})
	}
	r.Plan.Phases = slices.Insert(r.Plan.Phases, 0, first)
}

// Phases that only upgrades have.
const (
	phaseKeep   = "before the upgrade"
	phaseReturn = "after the upgrade"
)

// plain is the plan without what an upgrade puts around it.
func (p *Plan) plain() *Plan {
	q := *p
	q.Upgrade = nil
	q.Phases = slices.DeleteFunc(slices.Clone(p.Phases), func(f Phase) bool { return f.Name == phaseKeep || f.Name == phaseReturn })
	return &q
}

// linkBlobs gives the blobs that are kept their old names back, so that carrying them again copies nothing.
func linkBlobs(h host.Host, role string) error {
	const below = "blobs/sha256"
	from, to := path.Join(OldDir(role), keptRole, below), path.Join(RoleDir(role), below)
	names, err := h.ReadDir(from)
	if err != nil {
		return err
	}
	for _, name := range names {
		there, err := host.Exists(h, path.Join(to, name))
		if err == nil && !there {
			err = keepFile(h, path.Join(from, name), path.Join(to, name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dropBlobs removes the blobs of the role that were not kept: those of the version that was given up. It comes once the old
// version is the one that is carried.
func dropBlobs(h host.Host, role string) error {
	const below = "blobs/sha256"
	names, err := h.ReadDir(path.Join(RoleDir(role), below))
	if err != nil {
		return err
	}
	for _, name := range names {
		kept, err := host.Exists(h, path.Join(OldDir(role), keptRole, below, name))
		if err == nil && !kept {
			err = h.Remove(path.Join(RoleDir(role), below, name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// givenUp finds in the journal that an upgrade to this bundle was tried and put back, and why; "" when it was not.
func givenUp(recs []Record, role string, to bundle.Digest) string {
	for i := len(recs) - 1; i >= 0; i-- {
		if r := recs[i]; r.Step == kindKeep+":"+role && r.Event == Undone && strings.HasPrefix(r.Err, givenUpText(to)) {
			return utc(r.Time) + ": " + string(bytes.TrimPrefix([]byte(r.Err), []byte(givenUpText(to))))
		}
	}
	return ""
}

// givenUpText begins the record that ends an upgrade which was put back.
func givenUpText(to bundle.Digest) string { return "the upgrade to " + to.String() + " was given up: " }
