package installer

import (
	"context"
	"encoding/json"

	"offgrid/installer/host"
)

// State is what a step's Check finds.
type State int

// States of a step.
const (
	Needed    State = iota // Do has work
	Satisfied              // the host is as the step wants it
	Pending                // only other hosts or time can satisfy it; Status.Why names what for
	Conflict               // the host holds something that the step must not replace; Status.Why says what
)

// Status is a State and the reason for it.
type Status struct {
	State State
	Why   string // for people: "waiting for etcd02 (20.0.0.103)"
}

// Line describes a step as data: the plan, --json and progress print the same value.
type Line struct {
	Verb   string `json:"verb"`   // "write", "enable", "install", "wait for"
	Object string `json:"object"` // "/opt/etcd/cfg/etcd"
	Why    string `json:"why"`    // one clause; "" when the verb and object say it
}

// Step is one checkable unit of an installation. Do is idempotent: after a crash it may run again on its own half-done work.
type Step interface {
	// ID is "kind:object", the same in every run and for every role that plans the step.
	ID() string
	Line() Line
	// Check only reads.
	Check(context.Context, host.Host) (Status, error)
	// Do changes the host, or waits where the step is Pending. The runner calls Check again afterwards and insists on
	// Satisfied (or Pending).
	Do(context.Context, host.Host) error
}

// Undoer is a step that uninstall can take back. Before is recorded in the journal ahead of every Do; it holds all that the
// undo function of the step's kind needs, so that uninstall works from the journal alone. With again the step was begun
// before: what was there in the first place is already recorded, and only what this Do is about to put there matters.
//
// A step that is no Undoer changes nothing on the host itself: it leaves no record, and an interrupt may stop it half-way.
type Undoer interface {
	Before(ctx context.Context, h host.Host, again bool) (json.RawMessage, error)
}
