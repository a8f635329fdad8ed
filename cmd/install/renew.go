package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"offgrid/installer"
)

func (a *app) newRenew() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "Give this host new certificates from a renewal bundle",
		Long: `Do what install does, with the small bundles that bundle build --renewal writes and with no other: new
certificates and settings for the roles that this host has. Whole bundles are refused, so that a renewal
never becomes an upgrade by mistake. If the host does not become healthy, the old certificates come back.

` + exitText,
		Example: `  cd /media/stick/renewal && ./install renew
  ./install renew --role etcd --ip 20.0.0.100`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.onlyRenewal = true
			return a.install(cmd.Context())
		},
	}
	a.requestFlags(cmd)
	cmd.Flags().BoolVarP(&a.yes, "yes", "y", false, "do not ask")
	return cmd
}

// renewalsOnly refuses a bundle that is more than a renewal.
func renewalsOnly(job *installer.Job) error {
	for _, r := range job.Roles {
		if !r.Bundle.Renewal {
			return &installer.UsageError{What: fmt.Sprintf("%s is no renewal bundle: it holds all of the role %s", r.Bundle.Path, r.Bundle.Role.Role),
				Hint: "renewals are in renewal/ where they were built: bundle build --renewal; to install or upgrade: ./install --role " + r.Bundle.Role.Role}
		}
	}
	return nil
}
