package installer

import (
	"context"
	"fmt"
	"slices"
)

// agree makes the roles of one host want the same of what they share, such as /etc/hosts: where their bundles are of
// different age, it is done as the newest one says. Otherwise each run would take back what the one before has done.
func (s *Session) agree(ctx context.Context, job *Job) error {
	installed, err := InstalledRoles(s.Host)
	if err != nil {
		return err
	}
	var oldest int64
	plans := []RoleJob{}
	for _, r := range job.Roles {
		if r.Plan == nil {
			continue
		}
		if serial := r.Input.Index.Cluster.Serial; len(plans) == 0 || serial < oldest {
			oldest = serial
		}
		plans = append(plans, r)
	}
	for _, in := range installed {
		if slices.Contains(job.Want.Roles, in.Role) {
			continue
		}
		other, err := s.newerRole(ctx, in, oldest)
		if err != nil {
			return fmt.Errorf("reading the role %s of this host: %w", in.Role, err)
		}
		if other != nil {
			job.kept = append(job.kept, other)
			plans = append(plans, other.Roles[0])
		}
	}
	for _, r := range job.Roles {
		if r.Plan != nil {
			yield(r, plans)
		}
	}
	return nil
}

// compare looks at what the host has already: other roles, and other versions of those of the job.
func (s *Session) compare(ctx context.Context, job *Job) error {
	if s.alone {
		return nil
	}
	if err := s.agree(ctx, job); err != nil {
		return err
	}
	for i := range job.Roles {
		if job.Roles[i].Plan == nil {
			continue
		}
		if err := s.planUpgrade(ctx, job, &job.Roles[i]); err != nil {
			return err
		}
	}
	return nil
}

// want is what was asked for when the role was carried.
func (in Installed) want() Want {
	return Want{Roles: []string{in.Role}, IP: in.IP, Name: in.Host, Token: in.Token}
}

// newerRole prepares an installed role when its bundle is newer; nil when it is not.
func (s *Session) newerRole(ctx context.Context, in Installed, than int64) (*Job, error) {
	b, err := s.carriedRoleBundle(in.Role)
	if err != nil {
		return nil, nil // it is damaged: whoever looks at that role says so
	}
	newer := b.Role.Cluster.Serial > than
	if err := b.Close(); err != nil || !newer {
		return nil, err
	}
	alone := *s
	alone.alone = true
	return alone.oldJob(ctx, RoleDir(in.Role))
}

// yield replaces the steps of a plan that a newer one has, too. Only what is done to the host is shared: what a role waits
// for is its own.
func yield(r RoleJob, plans []RoleJob) {
	serial := r.Input.Index.Cluster.Serial
	newest := map[string]int64{}
	steps := map[string]Step{}
	for _, other := range plans {
		at := other.Input.Index.Cluster.Serial
		for _, step := range other.Plan.Steps() {
			if _, changes := step.(Undoer); changes && at > serial && at > newest[step.ID()] {
				newest[step.ID()], steps[step.ID()] = at, step
			}
		}
	}
	for _, phase := range r.Plan.Phases {
		for i, step := range phase.Steps {
			if better := steps[step.ID()]; better != nil {
				phase.Steps[i] = better
			}
		}
	}
}
