package installer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"offgrid/installer/host"
)

// crashesMost is how often a service of the new version may end by itself before nothing better is expected of it. systemd
// starts it again every five seconds; one may well end once or twice while others are started anew.
const crashesMost = 4

// crashWatch looks at the services of an upgraded role while something is waited for, so that a version that cannot start is
// put back within a minute, and not when all patience is over.
type crashWatch struct {
	units  []string
	down   map[string]bool // that waited to be started again when it was last looked
	counts map[string]int
	blame  func(context.Context) bool // whether it is the version's fault: an API server ends without etcd, too
}

// watchCrashes is a watch over the services of a role's plan.
func (s *Session) watchCrashes(r *RoleJob) *crashWatch {
	w := &crashWatch{down: map[string]bool{}, counts: map[string]int{}, blame: func(ctx context.Context) bool { return s.others(ctx, r) }}
	for _, step := range r.Plan.Steps() {
		if u, ok := step.(*UnitStep); ok && strings.HasSuffix(u.Unit, ".service") {
			w.units = append(w.units, u.Unit)
		}
	}
	return w
}

// look counts, and returns an error once a service has ended too often.
func (w *crashWatch) look(ctx context.Context, h host.Host) error {
	for _, unit := range w.units {
		u, err := host.ShowUnit(ctx, h, unit)
		if err != nil {
			return err
		}
		down := u.Sub == "auto-restart" || u.Active == "failed"
		if down && !w.down[unit] {
			w.counts[unit]++
		}
		w.down[unit] = down
		if down && w.counts[unit] >= crashesMost && w.blame(ctx) {
			return fmt.Errorf("%s has ended %d times by itself; see: journalctl -u %s -n 20", unit, w.counts[unit], strings.TrimSuffix(unit, ".service"))
		}
	}
	return nil
}

// over is the plan with the watch in all that waits.
func (w *crashWatch) over(p *Plan) *Plan {
	q := *p
	q.Phases = slices.Clone(p.Phases)
	for i := range q.Phases {
		q.Phases[i].Steps = slices.Clone(q.Phases[i].Steps)
		for j, step := range q.Phases[i].Steps {
			wait, ok := step.(*WaitStep)
			if !ok {
				continue
			}
			q.Phases[i].Steps[j] = &WaitStep{Name: wait.Name, Wait: wait.Wait, Probe: func(ctx context.Context, h host.Host) (Status, error) {
				now, err := wait.Probe(ctx, h)
				if err == nil && now.State == Pending {
					err = w.look(ctx, h)
				}
				return now, err
			}}
		}
	}
	return &q
}
