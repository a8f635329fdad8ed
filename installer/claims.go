package installer

import (
	"encoding/json"
	"slices"
)

// Claim is a step that the installer began on this host and has not taken back: what it owns there.
type Claim struct {
	Step   string
	Roles  []string          // that need it, in the order in which they came
	Begins []json.RawMessage // the Before of each begin record, oldest first
	Done   bool              // the last begin has its done record
}

// Claims returns what is owned, in the order in which it was begun first. That a step was begun decides, not that it was
// done: a crash may lie between its effect and the record.
func (j *Journal) Claims() []Claim {
	var claims []*Claim
	byStep := map[string]*Claim{}
	for _, r := range j.recs {
		c := byStep[r.Step]
		if c == nil {
			if r.Event != Begin {
				continue // a share or done without a begin owns nothing
			}
			c = &Claim{Step: r.Step}
			byStep[r.Step], claims = c, append(claims, c)
		}
		switch r.Event {
		case Begin:
			c.Begins, c.Done = append(c.Begins, r.Before), false
			c.add(r.Role)
		case Share:
			c.add(r.Role)
		case DoneOK:
			c.Done = true
		case Release:
			c.Roles = slices.DeleteFunc(c.Roles, func(role string) bool { return role == r.Role })
		case Undone:
			delete(byStep, r.Step)
			claims = slices.DeleteFunc(claims, func(o *Claim) bool { return o == c })
		}
	}
	out := make([]Claim, len(claims))
	for i, c := range claims {
		out[i] = *c
	}
	return out
}

// add notes that a role needs the step.
func (c *Claim) add(role string) {
	if !slices.Contains(c.Roles, role) {
		c.Roles = append(c.Roles, role)
	}
}

// claim returns the claim of one step, nil when it is not owned.
func (j *Journal) claim(step string) *Claim {
	for _, c := range j.Claims() {
		if c.Step == step {
			return &c
		}
	}
	return nil
}
