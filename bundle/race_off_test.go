//go:build !race

package bundle

// raceEnabled makes long loops take fewer rounds: the race detector needs some runs of the same code, not all inputs.
const raceEnabled = false
