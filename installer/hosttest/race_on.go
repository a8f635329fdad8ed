//go:build race

package hosttest

// every is of how many changes one is tried: the race detector needs some runs of the same code, not all kills.
const every = 11
