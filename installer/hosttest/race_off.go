//go:build !race

package hosttest

// every is of how many changes one is tried, so that all tests take minutes.
const every = 5
