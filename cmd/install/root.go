package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"offgrid/bundle"
	"offgrid/bundle/progress"
	"offgrid/bundle/seal"
	"offgrid/cmd/internal/console"
	"offgrid/cmd/internal/passphrase"
	"offgrid/cmd/internal/version"
	"offgrid/installer"
	"offgrid/installer/host"
)

// deps is everything of the machine that the commands touch. Tests put another one in its place.
type deps struct {
	in         io.Reader
	out, err   io.Writer
	host       host.Host
	root       string // where the host's root directory is; "" for this machine
	now        func() time.Time
	probe      installer.Prober
	executable func() (string, error)
	trusted    string         // the block of keys that the build has put into this program
	patience   *time.Duration // nil: as long as it takes
	// secret reads what is typed at a terminal without showing it; nil: from in, when that is one.
	secret func(context.Context) (string, error)
}

// patience is the longest that a run waits for one thing that this host does by itself.
const patience = 5 * time.Minute

// run is main without the process: tests call it.
func run(ctx context.Context, args []string, d deps) int {
	asJSON := slices.Contains(args, "--json") || slices.Contains(args, "--json=true")
	c := console.New(console.Options{Program: "install", In: d.in, Out: d.out, Err: d.err, JSON: asJSON, Secret: d.secret})
	defer c.Close()
	a := &app{deps: d, console: c}
	root := a.newRoot()
	root.SetArgs(args)
	root.SetIn(d.in)
	root.SetOut(d.out)
	root.SetErr(d.err)
	err := root.ExecuteContext(ctx)
	if err != nil && ctx.Err() != nil && !errors.Is(err, context.Canceled) {
		err = fmt.Errorf("%w: %w", err, context.Canceled) // the cause is the signal's name
	}
	v := judge(err)
	if err != nil {
		for i := range v.hints {
			v.hints[i] = a.typed(v.hints[i])
		}
		c.PrintError(err, v.hints...)
	}
	return v.code
}

// app is what the commands share: the machine, the console and the flags.
type app struct {
	deps
	console *console.Console

	roles  []string
	ip     string
	bundle string

	unsigned bool
	older    bool

	tokenFile string
	secretAt  passphrase.Source
	words     seal.Passphrase // that secretAt gave
	asked     int             // passphrases at the terminal
	yes       bool
	plan      bool
	// onlyRenewal refuses bundles that are more than renewals.
	onlyRenewal bool
	drain       time.Duration
	reboot      string
	kernel      string
}

// session is the installer on this machine.
func (a *app) session(unattended bool) (*installer.Session, error) {
	executable, err := a.executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	s := &installer.Session{Host: a.host, Root: a.root, Executable: executable, Version: version.Number, Now: a.now, Probe: a.probe,
		Patience: patience, Report: a.report()}
	if a.patience != nil {
		s.Patience = *a.patience
	}
	s.Unattended, s.DrainTimeout, s.Passphrase = unattended, a.drain, a.passphrase
	s.Reboot, s.Kernel = a.reboot, a.kernel
	s.AllowOlder = a.older
	if s.Trust, err = a.trust(); err != nil {
		return nil, err
	}
	return s, a.kernelFlagsKnown()
}

// typed is a command as the operator has to type it: a file that is installer and bundle in one has a name of its own.
func (a *app) typed(text string) string {
	path, err := a.executable()
	name := filepath.Base(path)
	if err != nil || !strings.HasPrefix(name, "install-") {
		return text
	}
	return strings.ReplaceAll(text, "./install ", "./"+name+" ")
}

// report shows progress. What the health check finds is printed as a table at the end and not a second time.
func (a *app) report() progress.Func {
	show := a.console.Progress()
	return func(e progress.Event) {
		if e.Phase == "health" && e.Kind == progress.Warn {
			e.Kind = progress.Skip
		}
		show(e)
	}
}

func (a *app) newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "install",
		Short: "Make this host what the cluster file plans it to be",
		Long: `install makes this host a member of the cluster that the bundle was built for. It needs no network but
the site's own. It looks at the host first and says everything that is in the way at once, shows
what it will do, asks, and does it. It can be stopped or cut off at any moment and run again.

The bundle is what --bundle names, or the one behind this program in its own file (install-ROLE), or
ROLE.bundle or site.bundle beside it. Without --role the roles are those of the cluster file for the
address whose bundles are here; without --ip the address is the one of this host that is in the
cluster file. Hosts may be installed in any order: what waits for others goes on by itself.

What is secret in a bundle is sealed. Where the bundle was built for this host's SSH key it opens by
itself; else the site's passphrase is asked for, once per run. Without a terminal it comes from
--passphrase-file or --passphrase-fd. Everything after the installation asks nobody.

` + exitText,
		Example: `  ./install --role etcd --ip 20.0.0.100     # one role
  ./install                                 # every role planned for this host
  ./install plan --role node                # show it, change nothing`,
		Args:          cobra.ArbitraryArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Sprintf("unknown command %q", args[0]), "./install"}
			}
			return a.install(cmd.Context())
		},
	}
	root.PersistentFlags().Bool("json", false, "the result on stdout as one line of JSON, progress and errors on stderr as JSON lines")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err.Error(), "./install"} })
	a.requestFlags(root)
	root.Flags().BoolVarP(&a.yes, "yes", "y", false, "do not ask")
	root.Flags().BoolVar(&a.plan, "plan", false, "show what would be done and change nothing")
	root.Flags().DurationVar(&a.drain, "drain-timeout", installer.DrainTimeout, "when a node is upgraded: how long its pods may take to go")
	root.AddCommand(a.newPlan(), a.newStatus(), a.newVerify(), a.newCheck(), a.newResume(), a.newImages(), a.newUninstall(), a.newRenew(), a.newEtcd(), a.newToken(), a.newApprove(), a.newBaseline(), a.newVersion())
	narrowHelp(root)
	return root
}

// narrowHelp folds the texts of all commands and of their flags for a console of 80 columns, which is what hosts have. What is
// indented stays as it is.
func narrowHelp(cmd *cobra.Command) {
	cmd.SetUsageTemplate(strings.ReplaceAll(cmd.UsageTemplate(), "Flags.FlagUsages ", "Flags.FlagUsagesWrapped "+strconv.Itoa(width)+" "))
	paragraphs := strings.Split(cmd.Long, "\n\n")
	for i, p := range paragraphs {
		if !strings.Contains("\n"+p, "\n ") {
			paragraphs[i] = strings.Join(wrap("", "", strings.ReplaceAll(p, "\n", " ")), "\n")
		}
	}
	cmd.Long = strings.Join(paragraphs, "\n\n")
	for _, sub := range cmd.Commands() {
		narrowHelp(sub)
	}
}

// requestFlags adds the flags that say what is to be installed.
func (a *app) requestFlags(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&a.roles, "role", nil, "etcd, master, node or lb; several with commas")
	cmd.Flags().StringVar(&a.ip, "ip", "", "address of this host in the cluster file")
	cmd.Flags().StringVar(&a.bundle, "bundle", "", "bundle, or directory with bundles")
	cmd.Flags().StringVar(&a.tokenFile, "token-file", "", "file with a token of ./install token, for a node whose own has expired; - is standard input")
	a.trustFlags(cmd)
	cmd.Flags().StringVar(&a.secretAt.File, "passphrase-file", "", passphrase.FileHelp)
	cmd.Flags().IntVar(&a.secretAt.FD, "passphrase-fd", passphrase.None, passphrase.FDHelp)
	a.kernelFlags(cmd)
	cmd.MarkFlagFilename("bundle", "bundle")
	cmd.MarkFlagFilename("passphrase-file")
	cmd.RegisterFlagCompletionFunc("role", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return bundle.RoleOrder(), cobra.ShellCompDirectiveNoFileComp
	})
}

func (a *app) request(ctx context.Context) (installer.Request, error) {
	if err := a.readWords(ctx); err != nil {
		return installer.Request{}, err
	}
	token, err := a.readToken(a.tokenFile)
	return installer.Request{Roles: a.roles, IP: a.ip, Bundle: a.bundle, Token: token}, err
}

// none is the argument check of the commands that take none.
func none(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Sprintf("%q is one argument too many", args[0]), "./" + cmd.CommandPath()}
	}
	return nil
}

func (a *app) newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the release and the bundle format it reads",
		Long:    "Print the release of this program and the number of the bundle format that it reads.\n\n" + exitText,
		Example: "  ./install version",
		Args:    none,
		RunE: func(*cobra.Command, []string) error {
			a.console.Say("install %s, bundle format %d", version.Number, bundle.Format)
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
