// Package version is the number of this release.
package version

// Number is the release that both programs belong to. It stands here and not in a linker flag, so that the same source
// gives the same bytes wherever it is built.
const Number = "0.1.0"
