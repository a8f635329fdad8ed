package main

import (
	"time"

	"github.com/spf13/cobra"

	"offgrid/builder"
)

func newPKI(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "pki",
		Short:   "Look after the site's certificates",
		Long:    "Look after the certificates in the site's pki/ directory.\n\n" + exitText,
		Example: "  bundle pki show",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{"unknown command \"pki " + args[0] + "\"", "bundle pki"}
			}
			return cmd.Help()
		},
	}
	show := &cobra.Command{
		Use:   "show",
		Short: "List every certificate: whose it is, for what, until when",
		Long: `List the certificates in pki/: the authorities and each host's, what for and
until when. Nothing is made or changed.

With --json: a list of path, subject, issuer, ca, names, notBefore and
notAfter.

` + exitText,
		Example: "  bundle pki show --dir mysite",
		Args:    atMost(0),
		RunE:    func(*cobra.Command, []string) error { return a.showPKI() },
	}
	a.siteFlags(show)
	cmd.AddCommand(show)
	return cmd
}

func (a *app) showPKI() error {
	certificates, err := builder.Certificates(a.dir)
	if err != nil {
		return err
	}
	if a.console.JSON() {
		return a.console.PrintJSON(certificates)
	}
	var rows [][]string
	for _, c := range certificates {
		rows = append(rows, []string{c.Path, c.Subject, c.Issuer, c.NotAfter.UTC().Format(time.DateOnly), commas(c.Names)})
	}
	a.console.Table([]string{"CERTIFICATE", "SUBJECT", "SIGNED BY", "UNTIL", "NAMES"}, rows)
	return nil
}
