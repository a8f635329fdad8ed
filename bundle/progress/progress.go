// Package progress is how the libraries say what they are doing: by events. They never print, log or hold a bar.
package progress

// Kind tells what an Event says.
type Kind int

// Kinds of events.
const (
	Start   Kind = iota // work on Item begins; Total is its size when known
	Advance             // Done of Total bytes are through
	Done                // Item is finished
	Skip                // Item needed nothing; Text says why
	Warn                // Text is for the operator and changes nothing
	Note                // Text is for the operator: a milestone
	Wait                // the work waits for what Text names
)

// Event is one thing that happened.
type Event struct {
	Phase string // "lock", "fetch", "encode", "seal", "carry", "apply", "converge", "health", "undo"
	Item  string // "kubelet v1.20.15"
	Kind  Kind
	Done  int64 // bytes
	Total int64 // bytes; 0 when unknown
	Text  string
}

// Func takes events, from several goroutines at once. A nil Func is silence.
type Func func(Event)

// Report calls f unless it is nil.
func (f Func) Report(e Event) {
	if f != nil {
		f(e)
	}
}
