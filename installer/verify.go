package installer

import (
	"context"

	"offgrid/bundle/progress"
	"offgrid/installer/host"
)

// Difference is something on the host that is no longer as it was installed.
type Difference struct {
	Role   string `json:"role"`
	Step   string `json:"step"` // ID
	Object string `json:"object"`
	Why    string `json:"why"`
	Medium bool   `json:"medium"` // only the bundle has what puts it right: it is not carried to hosts
}

// Verified is what Verify looked at.
type Verified struct {
	Checked     int          `json:"checked"` // steps
	Differences []Difference `json:"differences"`
}

// Verify compares the host with what was installed on it: every file is hashed again, every unit and setting is looked at.
// What other hosts decide is not asked.
func (s *Session) Verify(ctx context.Context) (Verified, error) {
	v := Verified{Differences: []Difference{}}
	jobs, err := s.resumed(ctx, "")
	if err != nil {
		return v, err
	}
	defer closeJobs(jobs)
	if len(jobs) == 0 {
		return v, s.nothingCarried()
	}
	seen := map[string]bool{}
	for _, j := range jobs {
		plan := j.Roles[0].Plan
		for _, phase := range plan.Phases {
			for _, step := range phase.Steps {
				if dials(step) || seen[step.ID()] {
					continue
				}
				seen[step.ID()] = true
				s.verifyStep(ctx, plan.Role, phase.Name, step, &v)
				if ctx.Err() != nil {
					return v, ctx.Err()
				}
			}
		}
	}
	return v, nil
}

// checkAlone checks a step without what other steps see to.
func checkAlone(ctx context.Context, h host.Host, step Step) (Status, error) {
	if c, ok := step.(*CarryStep); ok {
		return c.checkCarried(ctx, h)
	}
	return step.Check(ctx, h)
}

// verifyStep looks at one step.
func (s *Session) verifyStep(ctx context.Context, role, phase string, step Step, v *Verified) {
	v.Checked++
	line := step.Line()
	now, err := checkAlone(ctx, s.Host, step)
	why := now.Why
	if err != nil {
		why = err.Error()
	}
	if err != nil || now.State != Satisfied {
		_, dir := step.(*DirStep)
		f, file := step.(*FileStep)
		medium := needsMedium(phase) && !dir || file && f.gone
		v.Differences = append(v.Differences, Difference{Role: role, Step: step.ID(), Object: line.Object, Why: why, Medium: medium})
	}
	s.Report.Report(progress.Event{Phase: "verify", Item: line.Object, Kind: progress.Skip, Text: why})
}
