// Package installer turns a host into what its bundle says, and back. A Session opens bundles, looks at the host, judges it
// in a preflight that reports everything at once, makes a Plan of checkable steps, and applies it with a write-ahead Journal,
// so that a run may be killed at any moment and go on later, or be taken back as if it had never been.
//
// It runs on hosts without internet, from what was carried there; it imports nothing of the build side, prints nothing, and
// changes the machine only through host.Host. What it dials is in probe.go and probe_dns.go.
package installer
