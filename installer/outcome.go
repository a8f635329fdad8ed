package installer

import "fmt"

// Result is how far Apply came.
type Result struct {
	Done    bool     // every step is satisfied
	Waiting []string // what the first pending step waits for
	Changed []string // IDs of the steps that changed the host
}

// StepError is a step that failed.
type StepError struct {
	Step string // ID
	Line Line
	Err  error
}

func (e *StepError) Error() string {
	return fmt.Sprintf("%s %s: %v", e.Line.Verb, e.Line.Object, e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }

// ConflictError is something on the host that the installer must not replace.
type ConflictError struct {
	Step string // ID
	Line Line
	Why  string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s %s: %s", e.Line.Verb, e.Line.Object, e.Why)
}
