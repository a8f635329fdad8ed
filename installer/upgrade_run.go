package installer

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"offgrid/bundle"
	"offgrid/bundle/progress"
	"offgrid/installer/host"
)

// upgradeWait is how long an upgraded role may take to do what it did before, while the rest of the cluster answers.
const upgradeWait = 5 * time.Minute

// Upgraded is an upgrade that came to its end in this run, or still waits.
type Upgraded struct {
	Role  string  `json:"role"`
	From  Edition `json:"from"`
	To    Edition `json:"to"`
	State string  `json:"state"` // "done", "waiting" or "put back"
}

// applyUpgrades does the upgrades among the roles, one after the other, each with its health check, and puts one back that
// fails. It returns the roles with plans as the rest of the run goes on with them.
func (s *Session) applyUpgrades(ctx context.Context, journal *Journal, roles []RoleJob, out *Outcome) ([]RoleJob, error) {
	if err := s.sweep(journal); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(roles, func(r RoleJob) bool { return r.Plan.Upgrade != nil }) {
		return roles, nil
	}
	// Whatever cuts this off, the host ends it by itself. A timer that was there before waits for something else.
	mine, err := s.timerMissing()
	if err == nil {
		err = s.converge(context.WithoutCancel(ctx), true)
	}
	if err != nil {
		return nil, err
	}
	roles = slices.Clone(roles)
	for i := range roles {
		r := &roles[i]
		if r.Plan.Upgrade == nil {
			continue
		}
		u := r.Plan.Upgrade
		state, err := s.upgrade(ctx, journal, r, out)
		if err != nil {
			return nil, errors.Join(err, s.ended(ctx, mine, err))
		}
		out.Upgrades = append(out.Upgrades, Upgraded{Role: r.Plan.Role, From: u.From, To: u.To, State: state})
		if state != upgradeWaits {
			r.Plan = r.Plan.plain()
		}
	}
	return roles, s.ended(ctx, mine, nil)
}

// States of an upgrade in the outcome of a run.
const (
	upgradeDone    = "done"
	upgradeWaits   = "waiting"
	upgradePutBack = "put back"
)

// timerMissing reports whether nothing makes the host go on by itself.
func (s *Session) timerMissing() (bool, error) {
	there, err := host.Exists(s.Host, unitDir+convergeTimer)
	return !there, err
}

// ended takes the timer away that the upgrades of this run started, unless there is something to go on with. With
// upgrades that were cut off, which began in another run, the next resume does that: it knows all roles.
func (s *Session) ended(ctx context.Context, mine bool, cause error) error {
	for _, role := range bundle.RoleOrder() {
		if rec, err := readUpgrade(s.Host, role); err != nil || rec != nil {
			return err
		}
	}
	var back *PutBackError
	if !mine || errors.As(cause, &back) && len(back.Waiting) > 0 {
		return nil
	}
	return s.converge(context.WithoutCancel(ctx), false)
}

// sweep removes what a killed run left of an upgrade that had replaced nothing yet, or that was finished.
func (s *Session) sweep(journal *Journal) error {
	for _, role := range bundle.RoleOrder() {
		rec, err := readUpgrade(s.Host, role)
		if err != nil {
			return err
		}
		if rec == nil {
			if err := s.dropOld(journal, role, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropOld ends an upgrade: what was kept goes. why says in the journal what became of it.
func (s *Session) dropOld(journal *Journal, role, why string) error {
	there, err := host.Exists(s.Host, OldDir(role))
	if err != nil {
		return err
	}
	claimed := journal.claim(kindKeep+":"+role) != nil
	if why != "" && claimed {
		// First the word, then the deed: after a crash between the two, sweep removes what is left.
		if err := journal.Append(Record{Role: role, Step: kindKeep + ":" + role, Event: Undone, Err: why}); err != nil {
			return err
		}
		claimed = false
	}
	if there {
		if err := removeOld(s.Host, role); err != nil {
			return fmt.Errorf("removing what was kept of %s: %w", role, err)
		}
	}
	if err := removeEmptyOld(s.Host); err != nil {
		return err
	}
	if claimed {
		return journal.Append(Record{Role: role, Step: kindKeep + ":" + role, Event: Undone})
	}
	return nil
}

// upgrade does one role's upgrade, or goes on with it, or puts it back.
func (s *Session) upgrade(ctx context.Context, journal *Journal, r *RoleJob, out *Outcome) (state string, err error) {
	u := r.Plan.Upgrade
	s.Report.Report(progress.Event{Phase: "apply", Kind: progress.Note, Text: u.Title})
	switch {
	case u.PutBack && u.begun.State == upgradeBegun && s.asked(r):
		return upgradePutBack, s.putBackAsked(ctx, journal, r)
	case u.PutBack && u.begun.State == upgradeBegun:
		return "", s.putBack(ctx, journal, *u.begun, errors.New("it was cut off before the new bundle was carried to this host"))
	case u.begun != nil && u.begun.State == upgradeBack:
		return "", s.putBack(ctx, journal, *u.begun, errors.New(u.begun.Why))
	}
	if u.begun == nil {
		u.keep.Record.Ailing = s.ailing(ctx, u.old)
	}
	first := func(phase string) bool { return phase == phaseKeep }
	if _, err := s.applySteps(ctx, journal, *r, first, out); err != nil {
		return "", s.abandon(ctx, journal, r, err)
	}
	if err := ctx.Err(); err != nil {
		return "", s.abandon(ctx, journal, r, err)
	}
	waiting, cause := s.applyNew(ctx, journal, r, out)
	switch {
	case cause != nil && ctx.Err() != nil:
		return "", cause // interrupted: the same command, or the timer, goes on
	case cause != nil:
		return "", s.putBack(ctx, journal, u.keep.Record, cause)
	case len(waiting) > 0:
		return upgradeWaits, nil
	}
	return upgradeDone, s.finishUpgrade(ctx, journal, u.keep.Record)
}

// asked reports whether the operator brought the old bundle to give the upgrade up, rather than that a resume found it.
func (s *Session) asked(r *RoleJob) bool {
	return r.Plan.Bundle == r.Plan.Upgrade.From.Bundle && !s.isCarried(r.Bundle)
}

// ailing are the health lines of the installed version that are not right now.
func (s *Session) ailing(ctx context.Context, old *RoleJob) []string {
	quick := *s
	quick.Patience, quick.Report = 0, nil
	names := []string{}
	for _, l := range quick.Health(ctx, *old) {
		if !l.OK {
			names = append(names, l.Name)
		}
	}
	return names
}

// abandon ends an upgrade that has replaced nothing yet: the node is uncordoned, what was kept goes.
func (s *Session) abandon(ctx context.Context, journal *Journal, r *RoleJob, cause error) error {
	ctx = context.WithoutCancel(ctx)
	err := s.uncordon(ctx, &r.Input, r.Plan.Host)
	if err == nil {
		err = s.dropOld(journal, r.Plan.Role, "")
	}
	return errors.Join(cause, err)
}

// uncordon is what an upgrade owes the cluster when it does not come to its own UncordonStep.
func (s *Session) uncordon(ctx context.Context, in *RoleInput, own bundle.Host) error {
	n := nodeClient{probe: s.Probe, role: in, own: own, report: s.Report}
	return n.uncordon(ctx, s.Host)
}

// applyNew brings the new version up and looks at its health. waiting is what it waits for that is not its own affair.
func (s *Session) applyNew(ctx context.Context, journal *Journal, r *RoleJob, out *Outcome) (waiting []string, cause error) {
	if err := s.applyMedium(ctx, journal, []RoleJob{*r}, out); err != nil {
		if errors.Is(err, bundle.ErrNotCarried) {
			err = errors.New("it was cut off before all programs were in place, and the medium is not here")
		}
		return nil, err
	}
	// A kernel comes after the upgrade: the version is judged on the kernel that the host has.
	rest := func(phase string) bool { return phase != phaseKeep && phase != phaseKernel && !needsMedium(phase) }
	watched := *r
	watched.Plan = s.watchCrashes(r).over(r.Plan)
	var res Result
	why, done := waitFor(ctx, min(upgradeWait, s.Patience), func() (string, bool) {
		res, cause = s.applySteps(ctx, journal, watched, rest, out)
		return strings.Join(res.Waiting, ", "), cause != nil || res.Done || !s.others(ctx, r)
	})
	switch {
	case cause != nil:
		return nil, cause
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case !done:
		return nil, fmt.Errorf("%s does not come up: %s", r.Plan.Upgrade.To.name(r.Plan.Role), why)
	case !res.Done:
		return res.Waiting, nil
	}
	lines := s.Health(ctx, *r)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if bad := failing(lines, r.Plan.Upgrade.keep.Record.Ailing); len(bad) > 0 {
		return nil, fmt.Errorf("the health check failed: %s", strings.Join(bad, "; "))
	}
	out.Health = append(out.Health, lines...)
	return nil, nil
}

// failing are the lines that are not right and were before.
func failing(lines []HealthLine, before []string) []string {
	var bad []string
	for _, l := range lines {
		if !l.OK && !slices.Contains(before, l.Name) {
			bad = append(bad, l.Name+": "+l.Text)
		}
	}
	return bad
}

// others reports whether the part of the cluster that a role needs is there without this host: only then is it the
// upgrade's fault that the role does not come up. On a site that is off, it waits.
func (s *Session) others(ctx context.Context, r *RoleJob) bool {
	index := r.Input.Index
	switch r.Plan.Role {
	case bundle.RoleEtcd, bundle.RoleMaster:
		c, ok := etcdCredential(&r.Input)
		if !ok {
			return true
		}
		answers := askMembers(ctx, s.Probe, index, c)
		healthy := 0
		for _, a := range answers {
			if a.healthy && (a.member.IP != r.Plan.Host.IP || r.Plan.Role == bundle.RoleMaster) {
				healthy++
			}
		}
		return 2*healthy > len(answers) || len(answers) == 1
	case bundle.RoleNode:
		c, _ := fileCredential(&r.Input, "bootstrap.kubeconfig")
		_, err := s.Probe(ctx, Probe{URL: index.Cluster.APIServer + "/readyz", CAPEM: c.ca, Timeout: peerAnswer})
		return err == nil
	}
	return true
}

// finishUpgrade takes away what only the old version had, and then what was kept of it.
func (s *Session) finishUpgrade(ctx context.Context, journal *Journal, rec upgradeRecord) error {
	if err := s.undoSteps(ctx, journal, rec.Role, rec.Gone); err != nil {
		return err
	}
	if err := s.dropOld(journal, rec.Role, ""); err != nil {
		return err
	}
	s.Report.Report(progress.Event{Phase: "apply", Kind: progress.Note, Text: rec.To.name(rec.Role) + " is healthy; what was kept of " + orBundle(rec.From) + " is removed"})
	return nil
}

// undoSteps takes back those steps of a role that it has no use for any more.
func (s *Session) undoSteps(ctx context.Context, journal *Journal, role string, steps []string) error {
	if len(steps) == 0 {
		return nil
	}
	_, err := Undo(context.WithoutCancel(ctx), UndoOptions{Host: s.Host, Journal: journal, Role: role, Steps: steps, Report: s.Report})
	return err
}

// keptPlan prepares the old version from what was kept of it.
func (s *Session) keptPlan(ctx context.Context, rec upgradeRecord) (*Job, error) {
	job, err := s.oldJob(ctx, path.Join(OldDir(rec.Role), keptRole))
	if err != nil {
		return nil, err
	}
	r := &job.Roles[0]
	r.Plan = r.Plan.plain()
	if r.Plan.Bundle != rec.From.Bundle {
		job.Close()
		return nil, fmt.Errorf("reading %s: it holds another bundle than the one to put back", OldDir(rec.Role))
	}
	for _, step := range r.Plan.Steps() {
		if set, ok := step.(*PackagesStep); ok {
			set.Newer = rec.Packages
		}
	}
	for _, f := range programSteps(r.Plan) {
		if slices.ContainsFunc(rec.Programs, func(p keptProgram) bool { return p.Digest == f.Digest }) {
			f.Content = keptContent(s.Host, rec.Role, f.Digest)
		}
	}
	return job, nil
}
