package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"offgrid/installer"
)

func (a *app) newApprove() *cobra.Command {
	var ip string
	var all bool
	cmd := &cobra.Command{
		Use:   "approve [NAME]",
		Short: "Approve the serving certificate of a node that joined",
		Long: `Show the nodes that wait for a serving certificate, and approve one: by the address of the node, or by
the name of the node or of its request. It is run on a master. A request is approved only when it is
from that very node, for its addresses alone, and these are in the cluster file or in
nodes.joinCIDRs. Without a name or --ip nothing is approved.

` + exitText,
		Example: `  ./install approve
  ./install approve --ip 20.0.0.120`,
		Args: upTo(0, 1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && ip != "" || all && (ip != "" || len(args) > 0) {
				return &usageError{"NAME, --ip and --all-pending exclude each other", "./install approve"}
			}
			return a.approve(cmd.Context(), append(args, ip, "")[0], ip, all)
		},
	}
	cmd.Flags().StringVar(&ip, "ip", "", "address of the node")
	cmd.Flags().BoolVar(&all, "all-pending", false, "approve all that nothing speaks against")
	return cmd
}

func (a *app) approve(ctx context.Context, name, ip string, all bool) error {
	s, err := a.session(false)
	if err != nil {
		return err
	}
	meant := func(q installer.ServingRequest) bool {
		return all || ip != "" && slices.Contains(q.Addresses, ip) || ip == "" && name != "" && (q.Name == name || q.Node == name)
	}
	found, err := s.ServingRequests(ctx, meant)
	if err != nil {
		return err
	}
	var rows [][]string
	hits, faults := 0, []string{}
	for _, q := range found {
		state := "waits"
		switch {
		case q.Approved:
			state = "approved"
		case q.Fault != "":
			state = "REFUSED: " + q.Fault
		}
		if meant(q) {
			hits++
			if q.Fault != "" {
				faults = append(faults, q.Fault)
			}
		}
		rows = append(rows, []string{q.Name, q.Node, strings.Join(q.Addresses, " "), state})
	}
	if len(rows) > 0 {
		a.console.Table([]string{"REQUEST", "NODE", "FOR", "STATE"}, rows)
	} else {
		a.console.Say("No node waits for a serving certificate.")
	}
	if err := a.printJSON(found); err != nil {
		return err
	}
	what := name + ip
	if name == ip {
		what = ip
	}
	switch {
	case what != "" && hits == 0:
		return &installer.UsageError{What: fmt.Sprintf("no request of %q waits", what), Hint: "./install approve shows those that wait; on the node: systemctl status kubelet"}
	case len(faults) > 0:
		return &installer.UsageError{What: "not approved: " + strings.Join(faults, "; "), Hint: "find out whose it is before anything else; to be rid of it: kubectl delete csr NAME"}
	}
	return nil
}
