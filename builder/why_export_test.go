package builder

import "offgrid/bundle"

// WhyFor explains a package of a lock.
func (l *Lock) WhyFor(name string, base *bundle.Baseline) (*Why, error) { return l.why(name, base) }
