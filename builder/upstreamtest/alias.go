// Package upstreamtest is the upstream for tests outside of package builder.
package upstreamtest

import (
	"testing"

	"offgrid/builder/internal/upstreamtest"
)

// Upstream is a running server.
type Upstream = upstreamtest.Upstream

// Fault is what goes wrong with a path.
type Fault = upstreamtest.Fault

// New starts an upstream that ends with the test.
func New(t testing.TB) *Upstream { return upstreamtest.New(t) }
