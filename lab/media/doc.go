// Package media has tests that write to real file systems: on loop devices, read-only, and exactly as large as is needed. They
// need root; `make e2e` runs them.
package media
