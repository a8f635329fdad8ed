package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"offgrid/builder"
	"offgrid/cmd/internal/console"
)

func newStore(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Look after the store of what was fetched",
		Long: `The store keeps every byte that was fetched, by its digest, for all sites of
this machine. Exported and imported it builds the same bundles elsewhere, or in
five years when upstream has gone.

` + exitText,
		Example: "  bundle store export offgrid-store.tar",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{"unknown command \"store " + args[0] + "\"", "bundle store"}
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(newStoreExport(a), newStoreImport(a), newStoreGC(a))
	return cmd
}

func newStoreExport(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "export FILE",
		Short:   "Write the whole store into one tar file",
		Long:    "Write everything in the store into one plain tar file; every blob is checked on\nthe way. FILE may be - for stdout. There are no keys in it.\n\nWith --json: file and size.\n\n" + exitText,
		Example: "  bundle store export /backup/offgrid-store.tar",
		Args:    files(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.exportStore(cmd.Context(), args[0]) },
	}
	a.storeFlag(cmd)
	return cmd
}

func (a *app) exportStore(ctx context.Context, path string) error {
	if path == "-" {
		return builder.ExportStore(ctx, a.store, a.out)
	}
	if err := builder.WriteFile(path, 0o644, func(w io.Writer) error { return builder.ExportStore(ctx, a.store, w) }); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	a.console.Say("wrote %s, %s", path, console.Bytes(info.Size()))
	return a.printJSON(map[string]any{"file": path, "size": info.Size()})
}

func newStoreImport(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "import FILE",
		Short:   "Take an exported store into this one",
		Long:    "Take what bundle store export wrote into the store; every blob is checked on\nthe way.\n\nWith --json: blobs, records and bytes.\n\n" + exitText,
		Example: "  bundle store import /backup/offgrid-store.tar",
		Args:    files(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.importStore(cmd.Context(), args[0]) },
	}
	a.storeFlag(cmd)
	return cmd
}

func (a *app) importStore(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	done, err := builder.ImportStore(ctx, a.store, f)
	if err != nil {
		return err
	}
	a.console.Say("%d blobs and %d records, %s, are in %s", done.Blobs, done.Records, console.Bytes(done.Bytes), a.store)
	return a.printJSON(done)
}

func newStoreGC(a *app) *cobra.Command {
	var days int
	var sites []string
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Remove what was not used for a while",
		Long: `Remove what no command has used for --days, and unfinished downloads of that
age. What the bundle.lock of a --site needs stays, however old it is; without
--site the bundle.lock of the current directory counts, where there is one. What
is missing later is fetched again, if upstream still has it.

With --json: blobs, records, partials (unfinished downloads) and bytes removed.

` + exitText,
		Example: "  bundle store gc --days 90 --site mysite --site /srv/other",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if days < 0 {
				return &usageError{"--days must not be negative", "bundle store gc"}
			}
			locks, err := readLocks(sites)
			if err != nil {
				return err
			}
			return a.gc(cmd.Context(), time.Now().AddDate(0, 0, -days), locks)
		},
	}
	a.storeFlag(cmd)
	cmd.Flags().IntVar(&days, "days", 30, "keep what was used within so many days")
	cmd.Flags().StringArrayVar(&sites, "site", nil, "keep what the bundle.lock of this site directory needs; repeatable")
	cmd.MarkFlagDirname("site")
	return cmd
}

// readLocks reads the locks of the sites; without any, that of the current directory if it is a site.
func readLocks(sites []string) ([]*builder.Lock, error) {
	here := len(sites) == 0
	if here {
		sites = []string{"."}
	}
	var locks []*builder.Lock
	for _, site := range sites {
		lock, err := builder.ReadLock(filepath.Join(site, builder.LockName))
		if here && errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, err
		}
		locks = append(locks, lock)
	}
	return locks, nil
}

func (a *app) gc(ctx context.Context, after time.Time, locks []*builder.Lock) error {
	gone, err := builder.CleanStore(ctx, a.store, after, locks...)
	if err != nil {
		return err
	}
	a.console.Say("removed %d blobs, %d records and %d unfinished downloads: %s are free again", gone.Blobs, gone.Records, gone.Partials, console.Bytes(gone.Bytes))
	return a.printJSON(gone)
}
