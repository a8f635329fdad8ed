package installer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"offgrid/bundle"
	"offgrid/bundle/progress"
	"offgrid/installer/host"
)

// Waiting is a role that only other hosts or time can finish.
type Waiting struct {
	Role string `json:"role"`
	Why  string `json:"why"`
}

// Outcome is how far a run came.
type Outcome struct {
	Done    bool         `json:"done"`
	Waiting []Waiting    `json:"waiting"`
	Changed int          `json:"changed"` // steps that changed the host
	Health  []HealthLine `json:"health"`  // looked at when everything is done
	// Kernel is what is left to do for the kernel that the bundle brings; nil: nothing, and so without one.
	Kernel *KernelOutcome `json:"kernel,omitempty"`
	// Upgrades are those of this run, in order; none is missing that failed: that is an error.
	Upgrades []Upgraded `json:"upgrades,omitempty"`

	told bool // that the medium may be removed
}

// Healthy reports whether no line of the health check failed.
func (o Outcome) Healthy() bool {
	return !slices.ContainsFunc(o.Health, func(l HealthLine) bool { return !l.OK })
}

// Install does what the job's plans say, all roles up to the point where each is done or waits for others. What waits is
// left to a timer that resumes it. Cancelling ctx ends the run after the step at work.
func (s *Session) Install(ctx context.Context, job *Job) (Outcome, error) {
	if class, refused := Refused(job.Findings); refused {
		return Outcome{}, &RefusedError{Findings: job.Findings, Class: class}
	}
	lock, err := s.lock(ctx)
	if err != nil {
		return Outcome{}, err
	}
	defer lock.Close()
	var indexes []*bundle.RoleIndex
	for _, r := range job.Roles {
		indexes = append(indexes, r.Input.Index)
	}
	if err := s.decideKernels(ctx, indexes); err != nil {
		return Outcome{}, err
	}
	return s.apply(ctx, lock, []*Job{job})
}

// Resume goes on with everything that was carried to this host.
func (s *Session) Resume(ctx context.Context) (Outcome, error) {
	if err := s.decideCarried(ctx); err != nil {
		return Outcome{}, err
	}
	jobs, err := s.resumed(ctx, "")
	if err != nil {
		return Outcome{}, err
	}
	defer closeJobs(jobs)
	if len(jobs) == 0 {
		return Outcome{}, s.nothingCarried()
	}
	lock, err := s.lock(ctx)
	if err != nil {
		return Outcome{}, err
	}
	defer lock.Close()
	return s.apply(ctx, lock, jobs)
}

// lock takes the state directory. An unattended run that has it is asked to stop: the operator comes first, and this run
// does its work as well.
func (s *Session) lock(ctx context.Context) (*StateLock, error) {
	lock, err := LockState(s.local(StateDir))
	var held *LockedError
	if !errors.As(err, &held) {
		return lock, err
	}
	service := s.unattended(held.PID)
	if service == "" {
		return nil, held
	}
	// It finishes its step first. The timer would start it again, but then it finds us at work.
	if _, err := s.Host.Run(ctx, nil, "systemctl", "stop", service); err != nil {
		return nil, held
	}
	return LockState(s.local(StateDir))
}

// unattended returns the service of a process that a timer started, "" when it is this one's own or an operator's.
func (s *Session) unattended(pid string) string {
	n, err := strconv.Atoi(pid)
	if err != nil || n == os.Getpid() || s.Unattended {
		return ""
	}
	line, err := host.ReadFile(s.Host, "/proc/"+pid+"/cmdline", inlineMax)
	switch {
	case err == nil && strings.Contains(string(line), "\x00--unattended"):
		return convergeService
	case err == nil && strings.Contains(string(line), "\x00images\x00"):
		return imagesService // one that an operator typed is no service's, and stopping that changes nothing
	}
	return ""
}

// apply runs the plans: first whatever needs the medium, for all roles, then the rest.
func (s *Session) apply(ctx context.Context, lock *StateLock, jobs []*Job) (Outcome, error) {
	out := Outcome{Waiting: []Waiting{}, Health: []HealthLine{}}
	journal, err := s.journal(lock)
	if err != nil {
		return out, err
	}
	defer journal.Close()
	var roles []RoleJob
	for _, j := range jobs {
		roles = append(roles, j.Roles...)
	}
	if roles, err = s.applyUpgrades(ctx, journal, roles, &out); err != nil {
		return out, err
	}
	if err := s.applyMedium(ctx, journal, roles, &out); err != nil {
		return out, err
	}
	for _, r := range roles {
		res, err := s.applySteps(ctx, journal, r, func(phase string) bool { return !needsMedium(phase) }, &out)
		if err != nil {
			return out, err
		}
		for _, why := range res.Waiting {
			out.Waiting = append(out.Waiting, Waiting{Role: r.Plan.Role, Why: why})
		}
	}
	out.Done = len(out.Waiting) == 0
	if err := s.kernelOutcome(ctx, roles, &out); err != nil {
		return out, err
	}
	// Whatever the operator presses now, the host must know whether it has to go on by itself.
	if err := s.settle(context.WithoutCancel(ctx), roles, &out); err != nil {
		return out, err
	}
	if out.Done {
		for _, r := range roles {
			if !slices.ContainsFunc(out.Health, func(l HealthLine) bool { return l.Role == r.Plan.Role }) { // an upgrade has looked already
				out.Health = append(out.Health, s.Health(ctx, r)...)
			}
			out.Health = append(out.Health, s.clusterLines(ctx, r)...)
		}
	}
	return out, ctx.Err()
}

// settle starts what makes the host go on by itself, or ends it. When another role of this host is not part of this run,
// what goes on for that one is left alone: the next resume, which knows all roles, ends it.
func (s *Session) settle(ctx context.Context, roles []RoleJob, out *Outcome) error {
	installed, err := InstalledRoles(s.Host)
	if err != nil {
		return err
	}
	others := len(installed) > len(roles)
	switch {
	case !out.Done && out.atKernel() && !others:
		return s.restConverge(ctx)
	case !out.Done:
		return s.converge(ctx, true)
	case others:
		return nil
	}
	return s.converge(ctx, false)
}

// needsMedium tells the phases that read what is not carried.
func needsMedium(phase string) bool { return phase == phaseCarry || phase == phasePrograms }

// applyMedium carries and places programs, and then says that the medium may be removed.
func (s *Session) applyMedium(ctx context.Context, journal *Journal, roles []RoleJob, out *Outcome) error {
	medium := false
	for _, r := range roles {
		medium = medium || !s.isCarried(r.Bundle)
		if _, err := s.applySteps(ctx, journal, r, needsMedium, out); err != nil {
			if errors.Is(err, bundle.ErrNotCarried) {
				err = &UsageError{What: err.Error(), Hint: fmt.Sprintf("./install --role %s --ip %s   (with the medium)", r.Plan.Role, r.Plan.Host.IP)}
			}
			return err
		}
	}
	if medium && !out.told {
		out.told = true
		s.Report.Report(progress.Event{Phase: "carry", Kind: progress.Note, Text: "everything that is needed is on this host's disk: the medium may be removed now"})
	}
	return nil
}

// applySteps runs those phases of a role's plan that pick says.
func (s *Session) applySteps(ctx context.Context, journal *Journal, r RoleJob, pick func(phase string) bool, out *Outcome) (Result, error) {
	var steps []Step
	for _, phase := range r.Plan.Phases {
		if pick(phase.Name) {
			steps = append(steps, phase.Steps...)
		}
	}
	res, err := Apply(ctx, ApplyOptions{Host: s.Host, Journal: journal, Role: r.Plan.Role, Steps: steps, Report: s.Report})
	out.Changed += len(res.Changed)
	return res, err
}

// Removable says why there is nothing to uninstall, before anybody is asked: a *UsageError.
func (s *Session) Removable(req UninstallRequest) error {
	if req.Role != "" {
		if _, err := checkRoles([]string{req.Role}); err != nil {
			return err
		}
	}
	if _, err := s.Host.Lstat(StateDir); err != nil {
		return &UsageError{What: "nothing is installed on this host: there is no " + StateDir, Hint: "./install status"}
	}
	installed, err := InstalledRoles(s.Host)
	if err != nil {
		return err
	}
	if req.Role != "" && !slices.ContainsFunc(installed, func(in Installed) bool { return in.Role == req.Role }) {
		return &UsageError{What: "the role " + req.Role + " is not installed on this host", Hint: "./install status"}
	}
	return nil
}

// UninstallRequest is what is to be taken back.
type UninstallRequest struct {
	Role      string // "": everything
	PurgeData bool
}

// Uninstall puts the host back as the journal says it was.
func (s *Session) Uninstall(ctx context.Context, req UninstallRequest) (UndoResult, error) {
	if err := s.Removable(req); err != nil {
		return UndoResult{}, err
	}
	lock, err := s.lock(ctx)
	if err != nil {
		return UndoResult{}, err
	}
	defer lock.Close()
	installed, err := InstalledRoles(s.Host)
	if err != nil {
		return UndoResult{}, err
	}
	last := req.Role == "" || len(installed) == 1
	if last {
		if err := s.converge(context.WithoutCancel(ctx), false); err != nil {
			return UndoResult{}, err
		}
	}
	if err := s.unmark(req, installed); err != nil {
		return UndoResult{}, err
	}
	res, err := s.undo(ctx, lock, req)
	if err != nil || last {
		return res, err
	}
	return res, s.repair(ctx, lock)
}

// undo takes back what the journal says.
func (s *Session) undo(ctx context.Context, lock *StateLock, req UninstallRequest) (UndoResult, error) {
	journal, err := s.journal(lock)
	if err != nil {
		return UndoResult{}, err
	}
	defer journal.Close()
	return Undo(ctx, UndoOptions{Host: s.Host, Journal: journal, Role: req.Role, PurgeData: req.PurgeData, Report: s.Report, Stay: s.stay(req)})
}

// stay is what those roles need of the packages that are not uninstalled. Of a role whose bundle cannot be read nothing is
// known: the repair afterwards brings back what it misses.
func (s *Session) stay(req UninstallRequest) map[string][]string {
	need := map[string][]string{}
	installed, err := InstalledRoles(s.Host)
	if req.Role == "" || err != nil {
		return nil
	}
	for _, in := range installed {
		if in.Role == req.Role {
			continue
		}
		b, err := s.carriedRoleBundle(in.Role)
		if err != nil {
			continue
		}
		for _, p := range b.Role.Packages {
			need[in.Role] = append(need[in.Role], RPM{Name: p.Name, Arch: p.Arch}.id())
		}
		b.Close()
	}
	return need
}

// repair gives the roles that stay what went with another one although they need it, too: a package that both brought.
func (s *Session) repair(ctx context.Context, lock *StateLock) error {
	quick := *s
	quick.Patience = 0 // an uninstall waits for nobody: what the other role waits for is left to the timer
	jobs, err := quick.resumed(ctx, "")
	if err != nil {
		return err
	}
	defer closeJobs(jobs)
	_, err = quick.apply(ctx, lock, jobs)
	return err
}

// journal opens the journal for a new run.
func (s *Session) journal(lock *StateLock) (*Journal, error) {
	return lock.Journal(JournalOptions{Installer: s.Version, Run: s.Now().UTC().Format("20060102T150405.000Z"), Now: s.Now})
}

// unmark removes the mark of a data directory whose data goes, or never was.
func (s *Session) unmark(req UninstallRequest, installed []Installed) error {
	for _, in := range installed {
		if in.Role != bundle.RoleEtcd || req.Role != "" && req.Role != in.Role {
			continue
		}
		b, err := s.carriedRoleBundle(in.Role)
		if err != nil {
			continue // the mark stays: it does no harm
		}
		dir := b.Role.Cluster.Policy.EtcdDataDir
		b.Close()
		names, err := s.Host.ReadDir(dir)
		if req.PurgeData || err != nil || len(names) == 0 {
			if err := s.Host.Remove(dataMark(dir)); err != nil {
				return err
			}
		}
	}
	return nil
}

// waitFor calls look until it is satisfied or the time is over, and returns the last answer.
func waitFor(ctx context.Context, limit time.Duration, look func() (string, bool)) (text string, ok bool) {
	end := time.NewTimer(limit)
	defer end.Stop()
	again := time.NewTicker(waitEvery)
	defer again.Stop()
	for {
		if text, ok = look(); ok {
			return text, true
		}
		select {
		case <-ctx.Done():
			return text, false
		case <-end.C:
			return text, false
		case <-again.C:
		}
	}
}
