package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"offgrid/builder"
)

func newPKI(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "pki",
		Short:   "Look after the site's certificates",
		Long:    "Look after the certificates in the site's pki/ directory.\n\n" + exitText,
		Example: "  bundle pki show\n  bundle pki renew --expiring 90",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{"unknown command \"pki " + args[0] + "\"", "bundle pki"}
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(newPKIShow(a), newPKIRenew(a), newPKIRotate(a), newPKILock(a), newPKIUnlock(a))
	return cmd
}

func newPKIShow(a *app) *cobra.Command {
	show := &cobra.Command{
		Use:   "show",
		Short: "List every certificate: whose it is, for what, until when",
		Long: `List the certificates in pki/: the authorities and each host's, what for, until
when and how many days that are. Those with fewer than 90 days left are marked.
Nothing is made or changed. What kubelets get from the cluster is not here: they
renew it themselves. It works while the private keys are locked, too.

With --json: a list of path, host, name, subject, issuer, ca, names, notBefore,
notAfter, days and state (ok, soon, expired, early).

` + exitText,
		Example: "  bundle pki show --dir mysite",
		Args:    atMost(0),
		RunE:    func(*cobra.Command, []string) error { return a.showPKI(time.Now()) },
	}
	a.siteFlags(show)
	return show
}

func (a *app) showPKI(now time.Time) error {
	certificates, err := builder.Certificates(a.dir, now)
	if err != nil {
		return err
	}
	if a.console.JSON() {
		return a.console.PrintJSON(certificates)
	}
	if step, err := builder.RotationStep(a.dir); err != nil {
		return err
	} else if step > 0 {
		a.console.Say("The authorities are being changed: step %d of 3.", step)
		a.sayStep(step)
	}
	if builder.PKILocked(a.dir) {
		a.console.Say("The private keys are locked: `bundle pki unlock` gives them back. Certificates can be seen all the same.")
	}
	ending := 0
	var rows [][]string
	for _, c := range certificates {
		mark := map[string]string{"ok": "", "early": "not valid yet"}
		state, plain := mark[c.State]
		if !plain {
			state = c.State
		}
		if c.State != "ok" && !c.CA {
			ending++
		}
		rows = append(rows, []string{orDash(c.Host), c.Name, c.Issuer, c.NotAfter.UTC().Format(time.DateOnly), strconv.Itoa(c.Days), state})
	}
	a.console.Table([]string{"HOST", "CERTIFICATE", "SIGNED BY", "UNTIL", "DAYS", ""}, rows)
	if ending > 0 {
		a.console.Say("%d certificates end within 90 days. To make them anew: bundle pki renew --expiring 90", ending)
	}
	return nil
}

func newPKIRenew(a *app) *cobra.Command {
	var role string
	var hosts []string
	var days int
	renew := &cobra.Command{
		Use:   "renew",
		Short: "Make certificates anew, ahead of time",
		Long: `Make the hosts' certificates anew: new keys, signed by the same authorities, for
the names and addresses that cluster.yaml has now. Without a flag all of them.
All or none take the place of the old ones, which stay in pki/old. No host
notices before it is given a new bundle: build one next.

With --json: serial, kept (where the old ones are) and leaves (host, name, was,
until: when the old and the new one end).

` + exitText,
		Example: `  bundle pki renew --expiring 90
  bundle pki renew --role etcd --host node01
  bundle build --renewal                       # small bundles with them`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if days < 0 || days > 36500 || cmd.Flags().Changed("expiring") && days == 0 {
				return &usageError{"--expiring takes a number of days, 1 to 36500", cmd.CommandPath()}
			}
			return a.renewPKI(cmd.Context(), builder.RenewOptions{Role: role, Hosts: hosts, Within: time.Duration(days) * 24 * time.Hour})
		},
	}
	a.siteFlags(renew)
	renew.Flags().StringVar(&role, "role", "", "only what hosts need for this role: etcd, master or node")
	renew.Flags().StringArrayVar(&hosts, "host", nil, "only this host of cluster.yaml, or join for nodes that join; repeatable")
	renew.Flags().IntVar(&days, "expiring", 0, "only what ends within so many days")
	return renew
}

func (a *app) renewPKI(ctx context.Context, o builder.RenewOptions) error {
	r, err := builder.Renew(ctx, builder.SiteOptions{Dir: a.dir, Now: time.Now, Report: a.console.Progress()}, o)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, l := range r.Leaves {
		rows = append(rows, []string{l.Host, l.Name, l.Was.Format(time.DateOnly), l.Until.Format(time.DateOnly)})
	}
	if len(rows) == 0 {
		a.console.Say("No certificate was chosen: nothing has changed. What there is: bundle pki show")
		return a.printJSON(r)
	}
	a.console.Table([]string{"HOST", "CERTIFICATE", "WAS UNTIL", "IS UNTIL"}, rows)
	a.console.Say("The old ones are kept in %s.", r.Kept)
	a.console.Say("Next: bundle build --renewal (small, for hosts that have the rest) or bundle build, then ./install on one host after the other.")
	return a.printJSON(r)
}
