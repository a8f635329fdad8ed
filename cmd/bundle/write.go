package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"offgrid/builder"
	"offgrid/builder/medium"
	mediumlist "offgrid/bundle/medium"
	"offgrid/bundle/recovery"
	"offgrid/cmd/internal/console"
)

func newWrite(a *app) *cobra.Command {
	o := medium.Options{Parity: recovery.DefaultPercent}
	var part, from string
	cmd := &cobra.Command{
		Use:   "write DIR",
		Short: "Copy dist/ to a stick and read everything back",
		Long: `Copy what ` + "`bundle build`" + ` wrote to a directory on a medium: the installer, the
bundles, a recovery record beside each (see ` + "`bundle repair`" + `), a run sheet to
print (RUNSHEET.html, RUNSHEET.txt) and SHA256SUMS. The file system is looked at
first: files that are too large for it (4 GiB on FAT32) are written in parts,
which the installer reads as they are; a medium that is full or read-only is
refused before anything is changed. Everything is read back from the medium and
compared. Only then it says "safe to unplug".

Interrupted or repeated it finishes: what is right already is not written again.
The files of an older build are replaced; files of others are never touched. A
medium whose writing was not finished is known to ./install as such.

With --json: target, fileSystem (kind, readOnly, free, largest), sameFileSystem
(as dist/), files, written, removed, split and bytes.

` + exitText,
		Example: `  bundle write /media/stick
  bundle write --parity 10 --part-size 2000M --dir mysite /mnt`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{"name the directory where the medium is mounted", cmd.CommandPath()}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.PartSize, err = bytesOf(part); err != nil {
				return &usageError{"--part-size: " + err.Error(), cmd.CommandPath()}
			}
			if o.Parity < 0 || o.Parity > recovery.MaxPercent {
				return &usageError{fmt.Sprintf("--parity takes 0 to %d", recovery.MaxPercent), cmd.CommandPath()}
			}
			o.Target, o.Report, o.Source = args[0], a.console.Progress(), from
			if from == "" {
				o.Source = filepath.Join(a.dir, builder.DistName)
			}
			return a.write(cmd.Context(), o)
		},
	}
	a.siteFlags(cmd)
	cmd.Flags().StringVar(&from, "from", "", "directory to copy instead of dist/ of the site, such as renewal/")
	cmd.Flags().IntVar(&o.Parity, "parity", o.Parity, "percent of each file's size that its recovery record gets; 0: it only tells what is damaged")
	cmd.Flags().StringVar(&part, "part-size", "", "size of a file at most, such as 2000M or 1G (default: what the file system takes)")
	cmd.MarkFlagDirname("from")
	return cmd
}

// bytesOf reads a size such as 700M: K, M and G are powers of 1024.
func bytesOf(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	digits, shift := strings.TrimRight(strings.ToUpper(text), "B"), 0
	for i, unit := range []string{"K", "M", "G"} {
		if strings.HasSuffix(digits, unit) {
			digits, shift = strings.TrimSuffix(digits, unit), 10*(i+1)
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 40)
	if err != nil || n < 1 || n > recovery.MaxSize>>shift {
		return 0, fmt.Errorf("%q is not a size such as 2000M", text)
	}
	return n << shift, nil
}

func (a *app) write(ctx context.Context, o medium.Options) error {
	res, err := medium.Write(ctx, o)
	if err != nil {
		return err
	}
	kind := res.System.Kind
	if kind == "" {
		kind = "unknown file system"
	}
	a.console.Say("%s (%s): %d files, %s; %d written, %d right already", res.Target, kind, len(res.Files), console.Bytes(res.Bytes), len(res.Written), len(res.Files)-1-len(res.Written))
	if len(res.Removed) > 0 {
		a.console.Say("removed, of an older build: %s", commas(res.Removed))
	}
	if len(res.Split) > 0 {
		a.console.Say("in parts, which ./install reads as they are: %s", commas(res.Split))
	}
	if res.Same {
		a.console.Say("Note: this directory is on the same file system as %s. If a medium was meant, it is not mounted there.", o.Source)
	}
	a.console.Say("Everything was read back and is right. Print RUNSHEET.html, or take RUNSHEET.txt along.")
	a.console.Say("safe to unplug")
	return a.printJSON(res)
}

func newRepair(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "repair FILE|DIR...",
		Short: "Mend damaged files on their medium from their recovery records",
		Long: `Compare each file with its recovery record, make what is damaged or missing
again from the parity or from another copy beside it, and write it to the
medium: a new file beside the damaged one, which then takes its place. Of a file
in parts only the damaged parts are written, and parts with other names get
theirs back. A damaged record is made anew. Of a directory all files that have a
record are mended. Damage beyond the parity is refused, and the file to copy
again is named.

With --json: a list of file, bad (blocks), rebuilt, copied, power (blocks that
could be rebuilt), written, renamed and record (it was made anew).

` + exitText,
		Example: "  bundle repair /media/stick\n  bundle repair /media/stick/node.bundle",
		Args:    files(0),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.repair(cmd.Context(), args) },
	}
	return cmd
}

// repaired is the result for one file.
type repaired struct {
	File    string   `json:"file"`
	Bad     int      `json:"bad"`
	Rebuilt int      `json:"rebuilt"`
	Copied  int      `json:"copied"`
	Power   int      `json:"power"`
	Written []string `json:"written"`
	Renamed []string `json:"renamed"`
	Record  bool     `json:"record"`
}

func (a *app) repair(ctx context.Context, paths []string) error {
	var names []string
	for _, path := range paths {
		found, err := recorded(path)
		if err != nil {
			return err
		}
		names = append(names, found...)
	}
	var errs []error
	results := []repaired{}
	for _, name := range names {
		r, err := a.repairOne(ctx, name)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		results, errs = append(results, r), append(errs, err)
	}
	return errors.Join(errors.Join(errs...), a.printJSON(results))
}

// recorded lists the files that a path stands for: itself, or what has a record in the directory.
func recorded(path string) ([]string, error) {
	all, err := mediumFiles(path)
	if err != nil {
		return []string{path}, nil //nolint:nilerr // it is no directory
	}
	var found []string
	for _, name := range all {
		if hasRecord(name) {
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		return nil, &refusal{fmt.Errorf("%s: there is no recovery record in this directory", path), "`bundle write` makes them; without one a damaged file must be copied again"}
	}
	return found, nil
}

func (a *app) repairOne(ctx context.Context, name string) (repaired, error) {
	r := repaired{File: name, Written: []string{}, Renamed: []string{}}
	res, err := recovery.Repair(ctx, name, freeBytes, nil)
	if res != nil {
		r.Written, r.Renamed, r.Record = append(r.Written, res.Written...), append(r.Renamed, res.Renamed...), res.Record
	}
	if res != nil && res.Healing != nil {
		h := res.Healing
		r.Bad, r.Rebuilt, r.Copied, r.Power = h.Bad(), h.Rebuilt, h.Copied, h.Power
		for _, note := range h.Notes {
			a.console.Say("%s: %s", name, note)
		}
	}
	switch {
	case err != nil:
		return r, err
	case res.Nothing():
		a.console.Say("%s: nothing to repair", name)
		return r, nil
	}
	a.console.Say("%s: %d bad blocks; %d made again from parity, %d taken from another copy", name, r.Bad, r.Rebuilt, r.Copied)
	if len(r.Written) > 0 {
		a.console.Say("  written anew and read back: %s", commas(r.Written))
	}
	if len(r.Renamed) > 0 {
		a.console.Say("  got their names back: %s", commas(r.Renamed))
	}
	if r.Record {
		a.console.Say("  its recovery record was damaged and was made anew")
	}
	return r, nil
}

func freeBytes(dir string) (int64, bool) {
	f, err := medium.Look(dir)
	return f.Free, err == nil && f.Free >= 0
}

// mediumHints says what helps when a medium cannot be written.
func mediumHints(err error) []string {
	var (
		foreign *medium.ForeignError
		room    *medium.RoomError
		space   *recovery.SpaceError
		unread  *mediumlist.ListError
	)
	switch {
	case errors.As(err, &foreign):
		return []string{"write to a directory of its own: bundle write " + filepath.Join(foreign.Dir, "offgrid") + "; or remove these files"}
	case errors.As(err, &room):
		return []string{"take a larger medium, or remove what is not needed from " + room.Dir}
	case errors.As(err, &space):
		return []string{"make room there, or copy the file to a larger disk with its record and repair it there"}
	case errors.As(err, new(*medium.ReadOnlyError)):
		return []string{"is the stick's switch on lock? else: mount -o remount,rw DIR; a DVD is burnt from a directory that `bundle write` filled"}
	case errors.As(err, new(*medium.SourceError)):
		return []string{"bundle build"}
	case errors.As(err, &unread):
		return []string{"remove " + unread.Path + " and what an older build left beside it, or write to another directory"}
	case errors.As(err, new(*medium.MediumError)):
		return []string{"take another stick; or another port, and run the same command again"}
	case errors.As(err, new(*medium.TargetError)):
		return []string{"bundle write DIR: the directory where the medium is mounted (lsblk shows it), or a new one in it"}
	case errors.Is(err, recovery.ErrNoRecord):
		return []string{"`bundle write` makes records; without one a damaged file must be copied again"}
	}
	return nil
}

// mediumCode tells what must be put right first from what failed on the way.
func mediumCode(err error) int {
	if errors.As(err, new(*medium.MediumError)) || errors.As(err, new(*recovery.SpaceError)) {
		return exitFailed
	}
	return exitRefused
}
