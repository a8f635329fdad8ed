package installer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"offgrid/bundle/progress"
	"offgrid/installer/host"
)

// UndoOptions is what Undo works with.
type UndoOptions struct {
	Host      host.Host
	Journal   *Journal
	Role      string // "": everything
	PurgeData bool   // remove data directories, too
	Report    progress.Func
}

// UndoResult is what Undo did.
type UndoResult struct {
	Undone []string // IDs, in the order in which they were taken back
	Shared []string // IDs of what stays because another role needs it
}

// Undo takes back what the installer did to the host, last thing first, knowing nothing but the journal. With a role, what
// other roles need stays. It goes on past errors and returns all of them; what failed stays in the journal, and a second
// Undo tries it again. When nothing is left, the state directory goes, too, with the journal in it.
//
// When ctx is cancelled, the step at work is finished first.
func Undo(ctx context.Context, o UndoOptions) (UndoResult, error) {
	var res UndoResult
	var errs []error
	claims := o.Journal.Claims()
	slices.Reverse(claims)
	kinds := UndoKinds()
	for _, c := range claims {
		if ctx.Err() != nil {
			return res, errors.Join(append(errs, fmt.Errorf("stopping before %s: %w", c.Step, context.Cause(ctx)))...)
		}
		if o.Role != "" && !slices.Contains(c.Roles, o.Role) {
			continue
		}
		if o.Role != "" && len(c.Roles) > 1 {
			if err := o.Journal.Append(Record{Role: o.Role, Step: c.Step, Event: Release}); err != nil {
				return res, errors.Join(append(errs, err)...)
			}
			res.Shared = append(res.Shared, c.Step)
			continue
		}
		if err := o.undo(context.WithoutCancel(ctx), kinds, c); err != nil {
			errs = append(errs, fmt.Errorf("undoing %s: %w", c.Step, err))
			continue
		}
		if err := o.Journal.Append(Record{Role: o.Role, Step: c.Step, Event: Undone}); err != nil {
			return res, errors.Join(append(errs, err)...)
		}
		res.Undone = append(res.Undone, c.Step)
	}
	if err := o.finish(context.WithoutCancel(ctx)); err != nil {
		errs = append(errs, err)
	}
	return res, errors.Join(errs...)
}

// undo takes one step back.
func (o *UndoOptions) undo(ctx context.Context, kinds map[string]UndoFunc, c Claim) error {
	kind, object, _ := strings.Cut(c.Step, ":")
	take, ok := kinds[kind]
	if !ok {
		return fmt.Errorf("internal error: no way to undo a step of kind %q", kind)
	}
	o.Report.Report(progress.Event{Phase: "undo", Item: c.Step, Kind: progress.Start})
	err := take(ctx, Undoing{Host: o.Host, ID: c.Step, Object: object, Begins: c.Begins, PurgeData: o.PurgeData, Report: o.Report})
	if err == nil {
		o.Report.Report(progress.Event{Phase: "undo", Item: c.Step, Kind: progress.Done})
	}
	return err
}

// finish makes systemd forget the unit files that went, and removes the state directory when nothing is owned any more.
func (o *UndoOptions) finish(ctx context.Context) error {
	units := slices.ContainsFunc(o.Journal.recs, func(r Record) bool {
		kind, object, _ := strings.Cut(r.Step, ":")
		return r.Event == Undone && (kind == kindUnit || kind == kindFile && strings.Contains(object, "/systemd/system/"))
	})
	if units {
		if _, err := o.Host.Run(ctx, nil, "systemctl", "daemon-reload"); err != nil {
			return fmt.Errorf("making systemd read its unit files: %w", err)
		}
	}
	if len(o.Journal.Claims()) > 0 {
		return nil
	}
	if err := removeState(Undoing{Host: o.Host, ID: "state", Report: o.Report}); err != nil {
		return fmt.Errorf("removing %s: %w", StateDir, err)
	}
	return nil
}
