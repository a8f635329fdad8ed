package main

import (
	"errors"
	"strings"

	"offgrid/bundle"
	"offgrid/bundle/medium"
	"offgrid/bundle/recovery"
)

// judgeMedium knows media that are damaged beyond what can be repaired, or unfinished.
func judgeMedium(err error) (verdict, bool) {
	var (
		beyond  *recovery.BeyondError
		missing *recovery.MissingError
		damage  *bundle.DamageError
	)
	hint := ""
	switch {
	case errors.As(err, new(*medium.UnfinishedError)):
		hint = "where the bundles were built, run `bundle write` to this medium again"
	case errors.As(err, &beyond):
		hint = "copy again from where it was written: " + strings.Join(beyond.Again, ", ")
	case errors.As(err, &missing):
		hint = "copy again from where it was written: " + strings.Join(missing.Files, ", ")
	case errors.As(err, new(*recovery.OtherBuildError)):
		hint = "copy the bundle and its record again, both from the same build"
	case errors.As(err, &damage) && damage.Verdict == recovery.BadReader:
		hint = "try another port or reader first, then copy the bundle again"
	default:
		return verdict{}, false
	}
	return verdict{exitDamaged, []string{"this host was not changed; " + hint}}, true
}
