package installer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/bundle/progress"
	"offgrid/installer/host"
)

// UndoOptions is what Undo works with.
type UndoOptions struct {
	Host      host.Host
	Journal   *Journal
	Role      string   // "": everything
	PurgeData bool     // remove data directories, too
	Steps     []string // only these, by their ID; nil: all
	Report    progress.Func
	// Stay is what the roles that stay need of the packages, by role: "chrony.x86_64". It becomes theirs.
	Stay map[string][]string
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
	claims := undoOrder(o.Journal.Claims())
	kinds := UndoKinds()
	for _, c := range claims {
		if ctx.Err() != nil {
			return res, errors.Join(append(errs, fmt.Errorf("stopping before %s: %w", c.Step, context.Cause(ctx)))...)
		}
		if o.Role != "" && !slices.Contains(c.Roles, o.Role) || o.Steps != nil && !slices.Contains(o.Steps, c.Step) {
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

// undoOrder is the order in which steps are taken back: last thing first, but packages after all files, and directories
// and what was carried at the end. A role may have changed a file long before the run that installed the package it
// belongs to, and rpm keeps a copy of every configuration file that is not as the package brought it.
func undoOrder(claims []Claim) []Claim {
	rank := func(c Claim) int {
		switch kind, _, _ := strings.Cut(c.Step, ":"); kind {
		case kindPackages, kindKernel:
			return 1
		case kindDir, kindCarry:
			return 2
		}
		return 0
	}
	slices.Reverse(claims)
	slices.SortStableFunc(claims, func(a, b Claim) int { return cmp.Compare(rank(a), rank(b)) })
	return claims
}

// inherit makes those packages of a step that other roles need their own, before the step is taken back.
func (o *UndoOptions) inherit(c Claim) (stay []string, err error) {
	if !strings.HasPrefix(c.Step, kindPackages+":") {
		return nil, nil
	}
	ours, _, err := packagesOf(c.Begins)
	if err != nil {
		return nil, err
	}
	for _, role := range bundle.RoleOrder() {
		var heir packagesBefore
		for _, id := range ours {
			if slices.Contains(o.Stay[role], id) {
				heir.Missing = append(heir.Missing, id)
			}
		}
		if len(heir.Missing) == 0 {
			continue
		}
		before, err := json.Marshal(heir)
		if err != nil {
			return nil, err
		}
		for _, r := range []Record{{Event: Begin, Before: before}, {Event: DoneOK}} {
			r.Role, r.Step = role, kindPackages+":"+role
			if err := o.Journal.Append(r); err != nil {
				return nil, err
			}
		}
		stay = append(stay, heir.Missing...)
	}
	return stay, nil
}

// undo takes one step back.
func (o *UndoOptions) undo(ctx context.Context, kinds map[string]UndoFunc, c Claim) error {
	kind, object, _ := strings.Cut(c.Step, ":")
	take, ok := kinds[kind]
	if !ok {
		return fmt.Errorf("internal error: no way to undo a step of kind %q", kind)
	}
	o.Report.Report(progress.Event{Phase: "undo", Item: c.Step, Kind: progress.Start})
	stay, err := o.inherit(c)
	if err == nil {
		err = take(ctx, Undoing{Host: o.Host, ID: c.Step, Object: object, Begins: c.Begins, PurgeData: o.PurgeData, Stay: stay, Report: o.Report})
	}
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
