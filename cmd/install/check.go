package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"offgrid/installer"
)

// checkTimeout is the usual time of a check: a few seconds for each node, and as long again for a slow host.
const checkTimeout = 5 * time.Minute

func (a *app) newCheck() *cobra.Command {
	req := installer.CheckRequest{}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Look at the whole cluster from a master, with test pods",
		Long: `Look at the whole cluster: its masters, etcd, nodes and load balancers, and what users need of it. For
that a pod is started on every node that is Ready, in a namespace of its own: logs and exec, pods that
talk across nodes, names (DNS), a service at its address and at every node's port, and the tokens of
pods at every API server. Everything that was made is removed at the end, also after an interrupt; what
a check that was killed has left is removed by the next one.

` + exitText,
		Example: `  /var/lib/offgrid/install check
  /var/lib/offgrid/install check --json
  /var/lib/offgrid/install check --keep    # leave the test pods`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.check(cmd.Context(), req) },
	}
	cmd.Flags().BoolVar(&req.Keep, "keep", false, "leave the test pods")
	cmd.Flags().DurationVar(&req.Timeout, "timeout", checkTimeout, "how long it may take, without the removal of the pods")
	return cmd
}

// check looks, prints a line for each thing that was looked at, and fails when one is wrong.
func (a *app) check(ctx context.Context, req installer.CheckRequest) error {
	if req.Timeout <= 0 {
		return &usageError{fmt.Sprintf("--timeout %s leaves no time", req.Timeout), "./install check"}
	}
	s, err := a.session(false)
	if err != nil {
		return err
	}
	lines, err := s.Check(ctx, req)
	if err != nil {
		return err
	}
	a.printLines(lines)
	if err := a.printJSON(map[string]any{"lines": lines}); err != nil {
		return err
	}
	failed := 0
	for _, l := range lines {
		if !l.OK {
			failed++
		}
	}
	if failed > 0 {
		a.console.Say("%d of %d checks failed.", failed, len(lines))
		return errUnhealthy
	}
	a.console.Say("All %d checks are well.", len(lines))
	return nil
}
