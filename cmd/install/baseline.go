package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) newBaseline() *cobra.Command {
	return &cobra.Command{
		Use:   "baseline",
		Short: "Print what is installed here, for a build that ships the rest",
		Long: `Print the packages of this host with what they provide and need, as JSON. Run it once on a host as the
site has them, fresh from its installation, and give the file to bundle lock: the bundles then hold
what such a host lacks, and nothing that it has. Nothing is changed, and no secret is in it.

` + exitText,
		Example: "  ./install baseline > baseline.json",
		Args:    none,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.baseline(cmd.Context()) },
	}
}

func (a *app) baseline(ctx context.Context) error {
	s, err := a.session(false)
	if err != nil {
		return err
	}
	b, err := s.Baseline(ctx)
	if err != nil {
		return err
	}
	data, err := b.Bytes()
	if err != nil {
		return err
	}
	if _, err := a.out.Write(data); err != nil {
		return fmt.Errorf("writing the baseline: %w", err)
	}
	return nil
}
