package builder

import (
	"time"

	"offgrid/builder/catalogue"
	"offgrid/builder/internal/fetch"
	"offgrid/builder/internal/store"
	"offgrid/bundle/progress"
)

// Store is the content-addressed cache of verified bytes on the build machine.
type Store = store.Store

// OpenStore opens the store in dir and makes it when there is none. The caller must Close it.
func OpenStore(dir string) (*Store, error) { return store.Open(dir) }

// ParseMirror reads FROM=TO, two addresses.
func ParseMirror(rule string) (catalogue.Mirror, error) {
	m, err := fetch.ParseMirror(rule)
	return catalogue.Mirror(m), err
}

// Download says how bytes are fetched. The zero value is usable.
type Download struct {
	Mirrors  []catalogue.Mirror // asked first, in this order; the original address is the last
	Parallel int                // downloads at the same time; 0: 4
	Attempts int                // tries at each address; 0: 5
	Stall    time.Duration      // longest time without a byte; 0: one minute
	// Pause before the attempt-th try at the same address, from 2; nil: 1 s, 2 s, 4 s ... 30 s.
	Pause func(attempt int) time.Duration
}

func (d Download) client(s *Store, report progress.Func) *fetch.Client {
	o := fetch.Options{Store: s, Parallel: d.Parallel, Attempts: d.Attempts, Stall: d.Stall, Pause: d.Pause, Report: report}
	for _, m := range d.Mirrors {
		o.Mirrors = append(o.Mirrors, fetch.Mirror(m))
	}
	return fetch.New(o)
}
