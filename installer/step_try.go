package installer

import (
	"context"
	"errors"
	"strings"

	"offgrid/installer/host"
)

const kindTry = "try"

// TryStep lets a program judge its settings before its service is started, or started anew, with them: one that works
// must not end over a fault in them. It changes nothing, and there is nothing to try once the service runs with them.
type TryStep struct {
	Path string   // of the settings
	Argv []string // ends well when they are right
	Unit UnitStep // that is started with them

	tried bool
}

// ID implements Step.
func (s *TryStep) ID() string { return kindTry + ":" + s.Path }

// Line implements Step.
func (s *TryStep) Line() Line {
	return Line{Verb: "try", Object: s.Path, Why: "before " + s.Unit.Unit + " is started with it"}
}

// Check implements Step.
func (s *TryStep) Check(ctx context.Context, h host.Host) (Status, error) {
	if s.tried {
		return Status{State: Satisfied}, nil
	}
	now, err := s.Unit.Check(ctx, h)
	if err != nil || now.State != Satisfied {
		return Status{State: Needed, Why: s.Unit.Unit + " was not started with it yet"}, err
	}
	return Status{State: Satisfied, Why: s.Unit.Unit + " runs with it"}, nil
}

// Do implements Step.
func (s *TryStep) Do(ctx context.Context, h host.Host) error {
	_, err := h.Run(ctx, nil, s.Argv...)
	var failed *host.RunError
	if errors.As(err, &failed) && failed.Code > 0 {
		said := strings.TrimSpace(failed.Stderr)
		first, _, _ := strings.Cut(said, "\n")
		return &ConflictError{s.ID(), s.Line(), "the test " + strings.Join(s.Argv, " ") + " says: " + first}
	}
	s.tried = err == nil
	return err
}
