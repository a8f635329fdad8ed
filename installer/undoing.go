package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"offgrid/bundle/progress"
	"offgrid/installer/host"
)

// Undoing is one step being taken back.
type Undoing struct {
	Host      host.Host
	ID        string            // "file:/opt/etcd/cfg/etcd"
	Object    string            // the ID without its kind
	Begins    []json.RawMessage // what the begin records hold, oldest first: the first knows what was there, all know what we put there
	PurgeData bool              // take data directories away, too
	Stay      []string          // packages that others need: "chrony.x86_64"
	Report    progress.Func
}

// UndoFunc takes one step back. It may be called again after a crash in the middle of it. What was changed since by
// somebody else is left or saved, and reported.
type UndoFunc func(ctx context.Context, u Undoing) error

// note tells the operator something about this step's undo.
func (u Undoing) note(format string, args ...any) {
	u.Report.Report(progress.Event{Phase: "undo", Item: u.ID, Kind: progress.Note, Text: fmt.Sprintf(format, args...)})
}

// first decodes what was there before the step began for the first time.
func (u Undoing) first(v any) error {
	if len(u.Begins) == 0 {
		return errors.New("the journal has no begin record")
	}
	return decodeBefore(u.Begins[0], v)
}

// decodeBefore reads a begin record's value. Unknown fields are an error: guessing could remove what is not ours.
func decodeBefore(raw json.RawMessage, v any) error {
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("reading the begin record: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("reading the begin record: data after the value")
	}
	return nil
}

// UndoKinds returns the undo function of every kind of step that has one. The kind is what an ID has before its first
// colon.
func UndoKinds() map[string]UndoFunc {
	return map[string]UndoFunc{
		kindBlock:       undoBlock,
		kindBootDefault: undoBootDefault,
		kindBootOnce:    undoBootOnce,
		kindCarry:       undoCarry,
		kindDir:         undoDir,
		kindDisable:     undoDisable,
		kindEnforce:     undoEnforce,
		kindFile:        undoFile,
		kindFlush:       undoFlush,
		kindFstab:       undoFstab,
		kindHostname:    undoHostname,
		kindImage:       undoImage,
		kindJSON:        undoJSON,
		kindKeep:        undoKeep,
		kindKernel:      undoKernel,
		kindKey:         undoKey,
		kindLink:        undoLink,
		kindMember:      undoMember,
		kindModule:      undoModule,
		kindOldKernels:  undoOldKernels,
		kindPackages:    undoPackages,
		kindRestore:     undoRestore,
		kindSettings:    undoSettings,
		kindSwapoff:     undoSwapoff,
		kindSysctl:      undoSysctl,
		kindUnit:        undoUnit,
		kindUser:        undoUser,
	}
}
