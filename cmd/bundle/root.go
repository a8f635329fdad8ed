package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"offgrid/builder"
	"offgrid/bundle"
	"offgrid/cmd/internal/console"
	"offgrid/cmd/internal/passphrase"
	"offgrid/cmd/internal/version"
	"offgrid/manifests"
)

// deps is what the commands have of the process. Tests put something else in its place.
type deps struct {
	in         io.Reader
	out, err   io.Writer
	workFactor int // of scrypt; 0: as much as is right
}

// run is main without the process: tests call it.
func run(ctx context.Context, args []string, d deps) int {
	asJSON := slices.Contains(args, "--json") || slices.Contains(args, "--json=true")
	c := console.New(console.Options{Program: "bundle", In: d.in, Out: d.out, Err: d.err, JSON: asJSON})
	defer c.Close()
	root := newRoot(&app{console: c, out: d.out, workFactor: d.workFactor})
	root.SetArgs(args)
	root.SetIn(d.in)
	root.SetOut(d.out)
	root.SetErr(d.err)
	err := root.ExecuteContext(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", errInterrupted, err)
	}
	v := judge(err)
	if err != nil && !errors.Is(err, errDifferent) {
		c.PrintError(err, v.hints...)
	}
	return v.code
}

// app is what the commands share: the console and the flags that several of them have.
type app struct {
	console *console.Console
	out     io.Writer // for what is not a line: completion scripts, an exported store

	dir       string
	catalogue string
	store     string
	mirrors   []string
	sets      []string
	installer string
	keySecret string // file with the passphrase of a signing key
	publicKey string // file with the key that must have signed
	parallel  int
	attempts  int
	command   string // that was typed: "bundle lock"
	stall     time.Duration

	secret     passphrase.Source
	workFactor int // of scrypt; 0: as much as is right
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "bundle",
		Short: "Everything a Kubernetes v1.20 cluster needs, in files to carry to hosts without internet",
		Long: `bundle fetches and checks everything that the hosts of a site need, makes their
certificates and configuration, and writes one file per role. Carry these and
the installer to the hosts and run ./install there.

` + exitText,
		Example: `  bundle init mysite && cd mysite   # writes cluster.yaml: edit it
  bundle lock                       # decides every byte; review bundle.lock
  bundle build                      # writes dist/`,
		Args:          cobra.ArbitraryArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Sprintf("unknown command %q", args[0]), "bundle"}
			}
			return cmd.Help()
		},
	}
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) { a.command = cmd.CommandPath() }
	root.PersistentFlags().Bool("json", false, "result on stdout as one line of JSON; progress (event, phase, item, done, total, text) and errors (error, hints) on stderr as JSON lines")
	narrowHelp(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &usageError{err.Error(), cmd.CommandPath()} })
	root.AddCommand(newInit(a), newLock(a), newBuild(a), newWrite(a), newRepair(a), newVerify(a), newInspect(a), newList(a), newDiff(a), newSBOM(a), newRepo(a), newPush(a), newPull(a), newKeygen(a), newInventory(a), newPKI(a), newStore(a), newVersion(a))
	return root
}

// helpWidth is that of the terminals that people still sit at.
const helpWidth = "80"

// narrowHelp folds the descriptions of flags.
func narrowHelp(root *cobra.Command) {
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "Flags.FlagUsages ", "Flags.FlagUsagesWrapped "+helpWidth+" "))
}

// siteFlags adds the flag that says which site a command is about.
func (a *app) siteFlags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&a.dir, "dir", "d", ".", "site directory: cluster.yaml, bundle.lock, pki/ and dist/")
	cmd.MarkFlagDirname("dir")
}

// passphraseFlags adds the flags that say where a passphrase is.
func (a *app) passphraseFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.secret.File, "passphrase-file", "", passphrase.FileHelp)
	cmd.Flags().IntVar(&a.secret.FD, "passphrase-fd", passphrase.None, passphrase.FDHelp)
	cmd.MarkFlagFilename("passphrase-file")
}

func (a *app) storeFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.store, "store", defaultStore(), "directory that keeps what was fetched")
	cmd.MarkFlagDirname("store")
}

// fetchFlags adds the flags of the commands that fetch.
func (a *app) fetchFlags(cmd *cobra.Command) {
	a.siteFlags(cmd)
	a.storeFlag(cmd)
	cmd.Flags().StringVar(&a.catalogue, "catalogue", "", "catalogue file instead of the built-in one")
	cmd.MarkFlagFilename("catalogue", "yaml")
	cmd.Flags().StringArrayVar(&a.mirrors, "mirror", nil, "FROM=TO: fetch addresses that begin with FROM from TO; repeatable, tried in order, upstream last")
	cmd.Flags().StringArrayVar(&a.sets, "mirrors", nil, "use a set of mirrors that the catalogue names, such as cn; repeatable")
	cmd.Flags().IntVar(&a.parallel, "parallel", 4, "downloads at the same time")
	cmd.Flags().IntVar(&a.attempts, "attempts", 5, "tries at each address before the next one or the end")
	cmd.Flags().DurationVar(&a.stall, "stall", time.Minute, "give up a connection that sends nothing for so long")
}

// defaultStore is in the user's cache, shared by all sites.
func defaultStore() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "offgrid-store") // no home: a daemon or a container
	}
	return filepath.Join(cache, "offgrid")
}

// site collects what the flags say about the site at hand.
func (a *app) site() (builder.SiteOptions, error) {
	o := builder.SiteOptions{
		Dir: a.dir, Store: a.store, Mirrors: a.mirrors, MirrorSets: a.sets,
		Parallel: a.parallel, Attempts: a.attempts, Stall: a.stall,
		CatalogueName: "built-in catalogue", Now: time.Now, Report: a.console.Progress(),
	}
	var err error
	if a.catalogue == "" {
		o.Catalogue, err = manifests.Catalogue()
	} else {
		o.CatalogueName = a.catalogue
		o.Catalogue, err = os.ReadFile(a.catalogue)
	}
	if a.catalogue != "" && errors.Is(err, fs.ErrNotExist) {
		return o, &refusal{fmt.Errorf("reading catalogue: %w", err), "name its file with --catalogue, or leave that out for the built-in one"}
	}
	if err != nil {
		return o, fmt.Errorf("reading catalogue: %w", err)
	}
	if o.Baseline, err = manifests.Baseline(); err != nil {
		return o, fmt.Errorf("reading the built-in baseline: %w", err)
	}
	if a.parallel < 1 || a.parallel > 64 || a.attempts < 1 || a.stall <= 0 {
		return o, &usageError{"--parallel takes 1 to 64, --attempts and --stall more than nothing", a.command}
	}
	return o, nil
}

// program identifies the running program by its bytes: another one may render other files from the same input.
func program() (bundle.Digest, error) {
	path, err := os.Executable()
	if err != nil {
		return bundle.Digest{}, fmt.Errorf("finding this program: %w", err)
	}
	return builder.FileDigest(path)
}

// files returns the argument check of the commands that take one or more files.
func files(most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return &usageError{"which file?", cmd.CommandPath()}
		case most > 0 && len(args) > most:
			return &usageError{fmt.Sprintf("%q is one argument too many", args[most]), cmd.CommandPath()}
		}
		return nil
	}
}

// atMost returns the argument check of the commands whose n arguments may be left out.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return &usageError{fmt.Sprintf("%q is one argument too many", args[n]), cmd.CommandPath()}
		}
		return nil
	}
}

// completeBundles completes the names of bundle files.
func completeBundles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"bundle"}, cobra.ShellCompDirectiveFilterFileExt
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the release and the bundle format it writes",
		Long:    "Print the release of this program and the number of the bundle format that it\nreads and writes. With --json: version and format.\n\n" + exitText,
		Example: "  bundle version --json",
		Args:    atMost(0),
		RunE: func(*cobra.Command, []string) error {
			a.console.Say("bundle %s, bundle format %d", version.Number, bundle.Format)
			return a.printJSON(map[string]any{"version": version.Number, "format": bundle.Format})
		},
	}
}

// printJSON prints the result of a command for programs.
func (a *app) printJSON(v any) error {
	if !a.console.JSON() {
		return nil
	}
	return a.console.PrintJSON(v)
}

// commas joins names for people.
func commas(names []string) string { return strings.Join(names, ", ") }
