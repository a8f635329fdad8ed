package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"offgrid/bundle"
	mediumlist "offgrid/bundle/medium"
	"offgrid/bundle/recovery"
)

// bundlesIn puts the bundles of a directory in the place of its name. A directory that is a bundle stays.
func bundlesIn(paths []string) ([]string, error) {
	var all []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || !info.IsDir() || isBundle(path) {
			all = append(all, path)
			continue
		}
		found, err := mediumFiles(path)
		if err != nil {
			return nil, err
		}
		found = slices.DeleteFunc(found, func(name string) bool { return filepath.Ext(name) != ".bundle" })
		if len(found) == 0 {
			return nil, &refusal{fmt.Errorf("%s: there is no bundle in this directory", path), "bundles are called ROLE.bundle: name the directory that holds them"}
		}
		all = append(all, found...)
	}
	return all, nil
}

func isBundle(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "oci-layout"))
	return err == nil
}

// mediumFiles lists what lies in a directory as files that have a record, are in parts, or are bundles, by the name of the
// whole.
func mediumFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("looking into %s: %w", dir, err)
	}
	var found []string
	for _, e := range entries {
		name := e.Name()
		base := strings.TrimSuffix(strings.TrimSuffix(name, recovery.Suffix), ".001")
		if e.IsDir() || strings.HasPrefix(name, ".") || base == name && filepath.Ext(name) != ".bundle" {
			continue
		}
		found = append(found, filepath.Join(dir, base))
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// recoverable checks the record beside a bundle, and with damaged compares the bundle with it. It returns what is wrong with
// the record, and what makes the damage more than it can repair. opened is nil when the bundle could not be opened.
func (a *app) recoverable(ctx context.Context, path string, opened []*bundle.Bundle, v *verified, damaged bool) []error {
	if opened != nil {
		path = opened[0].Path // a part may have been named
	}
	rec, err := recovery.Open(path + recovery.Suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return []error{&recordFault{err}}
	}
	damage, err := rec.Check(ctx)
	power := len(rec.Parity) - damage.Parity
	rec.Close()
	if err != nil {
		return []error{err}
	}
	v.Recovery = &power
	var faults []error
	if !damage.Whole() {
		faults = append(faults, &recordFault{fmt.Errorf("%s: the recovery record is damaged itself (%d of its %d parity blocks); it can still repair %d blocks", rec.Path, damage.Parity, len(rec.Parity), power)})
	}
	if !damaged {
		return faults
	}
	healing, err := a.examine(ctx, path, opened)
	if healing != nil && opened != nil {
		for _, line := range bundle.Describe(opened, healing) {
			a.console.Say("%s", line)
		}
	}
	if err != nil {
		return append(faults, err)
	}
	if healing.Bad() == 0 { // what was wrong is right now: it was the reader
		return faults
	}
	v.Repairable = true
	a.console.Say("%s: %d of %d blocks are bad, and the recovery record can repair %d", path, healing.Bad(), len(healing.Record.Blocks), power)
	return append(faults, &repairable{path})
}

func (a *app) examine(ctx context.Context, path string, opened []*bundle.Bundle) (*recovery.Healing, error) {
	if opened != nil {
		return opened[0].Examine(ctx, a.console.Progress())
	}
	p, err := recovery.Find(path)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.Examine(ctx, nil)
}

// recordFault is what is wrong with a record. The bundle itself may be good.
type recordFault struct{ err error }

func (e *recordFault) Error() string { return e.err.Error() }
func (e *recordFault) Unwrap() error { return e.err }

// repairable says that the damage that was named before can be mended.
type repairable struct{ path string }

func (e *repairable) Error() string {
	return e.path + ": the damage is within what its recovery record repairs"
}

// recoveryHints says what helps a damaged file that has a record.
func recoveryHints(err error) []string {
	var (
		fixable *repairable
		beyond  *recovery.BeyondError
		missing *recovery.MissingError
		size    *recovery.PartSizeError
		damage  *bundle.DamageError
	)
	switch {
	case errors.As(err, new(*mediumlist.UnfinishedError)):
		return []string{"bundle write to this medium once more: it finishes what was interrupted"}
	case errors.As(err, &fixable):
		return []string{"bundle repair " + fixable.path}
	case errors.As(err, &beyond):
		return []string{"copy again from where it was written: " + strings.Join(beyond.Again, ", ")}
	case errors.As(err, &missing):
		return []string{"copy again from where it was written: " + strings.Join(missing.Files, ", ")}
	case errors.As(err, &size):
		return []string{"copy again from where it was written: " + filepath.Base(size.Path)}
	case errors.As(err, new(*recovery.OtherBuildError)):
		return []string{"copy the file and its record again, both from the same build"}
	case errors.As(err, &damage) && damage.Verdict == recovery.RightLater:
		return []string{"the copy is good: try another port, another reader or another machine"}
	case errors.As(err, new(*recovery.FormatError)):
		return []string{"use the bundle program of the release that made the record"}
	case errors.As(err, new(*recovery.RecordError)), errors.As(err, new(*recordFault)):
		return []string{"bundle repair makes the record anew as long as the bundle is whole"}
	}
	return nil
}

// hasRecord reports whether a recovery record lies beside the file.
func hasRecord(path string) bool {
	_, err := os.Stat(path + recovery.Suffix)
	return err == nil
}
