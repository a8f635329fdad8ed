package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"offgrid/builder"
)

func newPKIRotate(a *app) *cobra.Command {
	var o builder.RotateOptions
	rotate := &cobra.Command{
		Use:   "rotate",
		Short: "Change the certificate authorities, in three steps",
		Long: `Change the site's three certificate authorities while the cluster runs: they end
one day, or somebody may have their keys. It goes in three steps, and every host
gets the bundles of one step before any host gets those of the next:

  1  hosts trust the new authorities beside the old ones  (rotate)
  2  they get certificates of the new ones                (rotate --next)
  3  they trust only the new ones                         (rotate --next)

After each: bundle build --renewal, and ./install on every host. What else is to
be done between them stands in installer/UPGRADE.md. A bundle that comes too
early or too late is refused by the host. The key of service account tokens, the
encryption key and the cluster's identity stay.

With --json: step (0 when it was given up), serial, kept (where the old ones
are), authorities (name, cn, signs, until) and leaves (host, name, was, until).

` + exitText,
		Example: "  bundle pki rotate\n  bundle build --renewal\n  bundle pki rotate --next     # when every host has it",
		Args:    atMost(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.rotatePKI(cmd.Context(), o) },
	}
	a.siteFlags(rotate)
	rotate.Flags().BoolVar(&o.Next, "next", false, "go on: every host has the bundles of the last step")
	rotate.Flags().BoolVar(&o.Cancel, "cancel", false, "give up, while hosts have no certificates of the new ones yet")
	rotate.MarkFlagsMutuallyExclusive("next", "cancel")
	return rotate
}

func (a *app) rotatePKI(ctx context.Context, o builder.RotateOptions) error {
	r, err := builder.Rotate(ctx, builder.SiteOptions{Dir: a.dir, Now: time.Now, Report: a.console.Progress()}, o)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, c := range r.Authorities {
		signs := ""
		if c.Signs {
			signs = "signs"
		}
		rows = append(rows, []string{c.Name, c.CN, c.Until.Format(time.DateOnly), signs})
	}
	if r.Step == 0 {
		a.console.Say("Given up. The new authorities are kept in %s.", r.Kept)
	} else {
		a.console.Say("Step %d of 3.", r.Step)
	}
	a.console.Table([]string{"AUTHORITY", "NAME", "UNTIL", ""}, rows)
	if len(r.Leaves) > 0 {
		a.console.Say("%s certificates were made anew. The old ones are kept in %s.", strconv.Itoa(len(r.Leaves)), r.Kept)
	}
	a.sayStep(r.Step)
	return a.printJSON(r)
}

// sayStep tells what is to be done in a step.
func (a *app) sayStep(step int) {
	const build = "Next: bundle build --renewal, and ./install on every host, "
	switch step {
	case 1:
		a.console.Say(build + "etcd first. Restart pods that ask the API. Then: bundle pki rotate --next")
	case 2:
		a.console.Say(build + "etcd, masters, nodes. Let every kubelet ask for a new certificate. Then: bundle pki rotate --next")
	case 3:
		a.console.Say(build + "nodes first, then masters, then etcd. With that the change is over.")
	default:
		a.console.Say(build + "if any has got the bundles of step 1.")
	}
}
