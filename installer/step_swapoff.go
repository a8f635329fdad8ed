package installer

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"offgrid/installer/host"
)

const kindSwapoff = "swapoff"

// SwapoffStep turns swap off for the time until the next boot.
type SwapoffStep struct{}

// swapoffBefore is a SwapoffStep's begin record.
type swapoffBefore struct {
	Swaps []string `json:"swaps"` // devices and files that were in use
}

// ID implements Step.
func (s *SwapoffStep) ID() string { return kindSwapoff + ":all" }

// Line implements Step.
func (s *SwapoffStep) Line() Line {
	return Line{Verb: "turn off", Object: "swap", Why: "kubelet refuses to run beside it"}
}

// Check implements Step.
func (s *SwapoffStep) Check(_ context.Context, h host.Host) (Status, error) {
	swaps, err := activeSwaps(h)
	if err != nil || len(swaps) == 0 {
		return Status{State: Satisfied}, err
	}
	return Status{State: Needed, Why: strings.Join(swaps, ", ") + " in use"}, nil
}

// Before implements Undoer.
func (s *SwapoffStep) Before(_ context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	swaps, err := activeSwaps(h)
	if err != nil {
		return nil, err
	}
	return json.Marshal(swapoffBefore{Swaps: swaps})
}

// Do implements Step.
func (s *SwapoffStep) Do(ctx context.Context, h host.Host) error {
	_, err := h.Run(ctx, nil, "swapoff", "-a")
	return err
}

// undoSwapoff turns on what was on.
func undoSwapoff(ctx context.Context, u Undoing) error {
	var b swapoffBefore
	if err := u.first(&b); err != nil {
		return err
	}
	now, err := activeSwaps(u.Host)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range b.Swaps {
		if slices.Contains(now, name) {
			continue
		}
		_, err := u.Host.Run(ctx, nil, "swapon", name)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// activeSwaps lists what the kernel swaps to.
func activeSwaps(h host.Host) ([]string, error) {
	text, err := readOptional(h, "/proc/swaps")
	if err != nil {
		return nil, err
	}
	var names []string
	for i, line := range strings.Split(text, "\n") {
		if fields := strings.Fields(line); i > 0 && len(fields) > 0 {
			names = append(names, fields[0])
		}
	}
	return names, nil
}
