package installer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"offgrid/bundle"
	"offgrid/bundle/progress"
	"offgrid/installer/host"
)

// PutBackError is an upgrade that failed, and what became of the host.
type PutBackError struct {
	Role     string
	From, To Edition
	Cause    error        // why the upgrade was given up
	Back     error        // why the put-back did not come to its end; nil when it did
	Waiting  []string     // what the old version waits for, when it does
	Health   []HealthLine // of the old version, when it came up
}

func (e *PutBackError) Error() string {
	text := fmt.Sprintf("upgrading %s from %s to %s: %v; ", e.Role, orBundle(e.From), orBundle(e.To), e.Cause)
	old := orBundle(e.From)
	bad := failing(e.Health, nil)
	switch {
	case e.Back != nil:
		return text + fmt.Sprintf("putting %s back did not come to its end either: %v; %s still holds it", old, e.Back, OldDir(e.Role))
	case len(e.Waiting) > 0:
		return text + fmt.Sprintf("%s was put back and waits: %s", old, strings.Join(e.Waiting, ", "))
	case len(bad) > 0:
		return text + fmt.Sprintf("%s was put back, but it is not healthy: %s", old, strings.Join(bad, "; "))
	}
	return text + old + " was put back and works"
}

func (e *PutBackError) Unwrap() []error {
	var errs []error
	for _, err := range []error{e.Cause, e.Back} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// keptContent opens a program that was kept.
func keptContent(h host.Host, role string, d bundle.Digest) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return h.Open(keptProgramPath(role, d)) }
}

// putBackAsked gives an upgrade up that is not finished, since the operator came with the old bundle. When the old version
// is healthy, that is a good end.
func (s *Session) putBackAsked(ctx context.Context, journal *Journal, r *RoleJob) error {
	err := s.putBack(ctx, journal, *r.Plan.Upgrade.begun, errors.New("the operator gave it up by installing the old bundle"))
	var back *PutBackError
	if errors.As(err, &back) && back.Back == nil && len(back.Waiting) == 0 && len(failing(back.Health, r.Plan.Upgrade.begun.Ailing)) == 0 {
		return nil
	}
	return err
}

// putBack makes the host what it was before the upgrade. It may be cut off at any moment and go on later: from its first
// record on, nothing leads back to the new version but an operator. It always returns a *PutBackError.
func (s *Session) putBack(ctx context.Context, journal *Journal, rec upgradeRecord, cause error) error {
	ctx = context.WithoutCancel(ctx)
	e := &PutBackError{Role: rec.Role, From: rec.From, To: rec.To, Cause: cause}
	s.Report.Report(progress.Event{Phase: "apply", Item: "upgrade of " + rec.Role, Kind: progress.Warn,
		Text: fmt.Sprintf("%v; putting %s back", cause, orBundle(rec.From))})
	e.Back = s.restore(ctx, journal, rec, e)
	return e
}

// restore is putBack up to its end.
func (s *Session) restore(ctx context.Context, journal *Journal, rec upgradeRecord, e *PutBackError) error {
	if rec.State != upgradeBack {
		rec.State, rec.Why = upgradeBack, e.Cause.Error()
		if err := writeUpgrade(s.Host, rec); err != nil {
			return err
		}
	}
	job, err := s.keptPlan(ctx, rec)
	if err != nil {
		return err
	}
	defer job.Close()
	r := job.Roles[0]
	if err := s.undoSteps(ctx, journal, rec.Role, rec.Added); err != nil {
		return err
	}
	if err := linkBlobs(s.Host, rec.Role); err != nil {
		return err
	}
	var out Outcome
	if _, err := s.applySteps(ctx, journal, r, needsMedium, &out); err != nil {
		return err
	}
	if err := dropBlobs(s.Host, rec.Role); err != nil {
		return err
	}
	if err := dropPacks(s.Host, RoleDir(rec.Role), rec.From.Bundle); err != nil {
		return err
	}
	res, err := s.waitForOld(ctx, journal, r, &out)
	if err != nil {
		return err
	}
	if e.Waiting = res.Waiting; res.Done {
		e.Health = s.Health(ctx, r)
	}
	// A node that is cordoned and cannot be uncordoned keeps what was kept: the timer tries again.
	if err := s.uncordon(ctx, &r.Input, r.Plan.Host); err != nil {
		return err
	}
	return s.dropOld(journal, rec.Role, givenUpText(rec.To.Bundle)+rec.Why)
}

// waitForOld applies the old plan, and gives the old version as long to come up as the new one had.
func (s *Session) waitForOld(ctx context.Context, journal *Journal, r RoleJob, out *Outcome) (res Result, err error) {
	waitFor(ctx, min(upgradeWait, s.Patience), func() (string, bool) {
		res, err = s.applySteps(ctx, journal, r, func(phase string) bool { return !needsMedium(phase) }, out)
		return "", err != nil || res.Done || !s.others(ctx, &r)
	})
	return res, err
}
