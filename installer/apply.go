package installer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"offgrid/bundle/progress"
	"offgrid/installer/host"
)

// ApplyOptions is what Apply works with.
type ApplyOptions struct {
	Host    host.Host
	Journal *Journal
	Role    string // that the steps are for
	Steps   []Step // in order
	Report  progress.Func
}

// Apply makes every step's wish true, in order. It stops at the first step that fails or stays pending; a pending one is no
// error. When ctx is cancelled, the step at work is finished before Apply returns the cancellation: only steps that merely
// wait are interrupted. Apply may run again after a crash at any moment.
func Apply(ctx context.Context, o ApplyOptions) (Result, error) {
	var res Result
	for _, s := range o.Steps {
		if ctx.Err() != nil {
			return res, fmt.Errorf("stopping before %s: %w", s.ID(), context.Cause(ctx))
		}
		st, err := o.apply(ctx, s, &res)
		if err != nil {
			return res, err
		}
		if st.State == Pending {
			o.report(s, progress.Wait, st.Why)
			res.Waiting = []string{st.Why}
			return res, nil
		}
	}
	res.Done = true
	return res, nil
}

// report says something about a step.
func (o *ApplyOptions) report(s Step, kind progress.Kind, text string) {
	line := s.Line()
	o.Report.Report(progress.Event{Phase: "apply", Item: line.Verb + " " + line.Object, Kind: kind, Text: text})
}

// apply makes one step's wish true.
func (o *ApplyOptions) apply(ctx context.Context, s Step, res *Result) (Status, error) {
	st, err := s.Check(ctx, o.Host)
	if err != nil {
		return st, &StepError{s.ID(), s.Line(), err}
	}
	switch st.State {
	case Conflict:
		return st, &ConflictError{s.ID(), s.Line(), st.Why}
	case Satisfied:
		o.report(s, progress.Skip, st.Why)
		return st, o.settle(s)
	}
	o.report(s, progress.Start, "")
	u, changes := s.(Undoer)
	if changes {
		// What changes the host is brought to its end, whatever the operator presses.
		ctx = context.WithoutCancel(ctx)
		if err := o.begin(ctx, s.ID(), u); err != nil {
			return st, &StepError{s.ID(), s.Line(), err}
		}
		res.Changed = append(res.Changed, s.ID())
	}
	st, err = o.do(ctx, s)
	if err != nil {
		if changes {
			// The step's own error matters more than one of recording it.
			_ = o.Journal.Append(Record{Role: o.Role, Step: s.ID(), Event: Failed, Err: err.Error()})
		}
		var conflict *ConflictError
		if errors.As(err, &conflict) {
			return st, err
		}
		return st, &StepError{s.ID(), s.Line(), err}
	}
	if st.State == Satisfied {
		o.report(s, progress.Done, "")
		if changes {
			err = o.Journal.Append(Record{Role: o.Role, Step: s.ID(), Event: DoneOK})
		}
	}
	return st, err
}

// begin records what is there before the step changes it.
func (o *ApplyOptions) begin(ctx context.Context, id string, u Undoer) error {
	before, err := u.Before(ctx, o.Host, o.Journal.claim(id) != nil)
	if err != nil {
		return err
	}
	return o.Journal.Append(Record{Role: o.Role, Step: id, Event: Begin, Before: before})
}

// do runs the step and insists that its check agrees afterwards.
func (o *ApplyOptions) do(ctx context.Context, s Step) (Status, error) {
	if err := s.Do(ctx, o.Host); err != nil {
		return Status{}, err
	}
	st, err := s.Check(ctx, o.Host)
	if err == nil && st.State == Conflict {
		line := s.Line()
		return st, &ConflictError{s.ID(), line, st.Why}
	}
	if err == nil && st.State != Satisfied && st.State != Pending {
		err = fmt.Errorf("it was done, but its check still says: %s", st.Why)
	}
	return st, err
}

// settle records what must be known of a step that needed nothing: nothing at all when it was never ours, the end of one
// that a crash interrupted, and that this role needs what another one has done.
func (o *ApplyOptions) settle(s Step) error {
	c := o.Journal.claim(s.ID())
	if c == nil {
		return nil
	}
	if !slices.Contains(c.Roles, o.Role) {
		if err := o.Journal.Append(Record{Role: o.Role, Step: s.ID(), Event: Share}); err != nil {
			return err
		}
	}
	if !c.Done {
		return o.Journal.Append(Record{Role: o.Role, Step: s.ID(), Event: DoneOK})
	}
	return nil
}
