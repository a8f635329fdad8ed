package main

import (
	"context"

	"github.com/spf13/cobra"

	"offgrid/builder"
	"offgrid/cmd/internal/console"
)

func newLock(a *app) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "lock",
		Short: "Decide every byte that will be shipped, and write bundle.lock",
		Long: `Resolve the catalogue and cluster.yaml against upstream: addresses, sizes and
digests of all that the bundles will carry, and who vouches for each, are
written to bundle.lock. Only this command decides anything; review what changed
in bundle.lock and keep it with cluster.yaml. Images without a digest in the
catalogue, and those of extras in cluster.yaml, are pinned to what their tags
name now.

Packages are found by solving: what the catalogue wants, and all that it needs
on a host that has only the baseline, a minimal CentOS 7.9 unless host.baseline
in cluster.yaml names a list from a real host (./install baseline). What the
baseline has is not shipped. When nothing fits, the chain of reasons is told.
--why explains one package of bundle.lock and fetches nothing.

With --json: path, changed, bytes and entries (id, version, url, size, sha256,
vouched); with --why: package, source, sha256, key, roles, replaces and chain.

` + exitText,
		Example: `  bundle lock --mirrors cn
  bundle lock --mirror https://dl.k8s.io/=https://mirror.example/k8s/
  bundle lock --why libcgroup`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("why") {
				return a.why(why)
			}
			return a.lock(cmd.Context())
		},
	}
	a.fetchFlags(cmd)
	cmd.Flags().StringVar(&why, "why", "", "say why a package is in bundle.lock, and change nothing")
	return cmd
}

func (a *app) lock(ctx context.Context) error {
	o, err := a.site()
	if err != nil {
		return err
	}
	site, err := builder.OpenSite(o)
	if err != nil {
		return err
	}
	defer site.Close()
	result, err := site.Lock(ctx)
	if err != nil {
		return err
	}
	a.sayLock(result)
	return a.printJSON(result)
}

// why explains one package of the lock.
func (a *app) why(name string) error {
	o, err := a.site()
	if err != nil {
		return err
	}
	site, err := builder.OpenSite(o)
	if err != nil {
		return err
	}
	defer site.Close()
	w, err := site.Why(name)
	if err != nil {
		return err
	}
	a.console.Say("%s", w.Package)
	if !w.Baseline {
		signed := "vouched for by its digest in the catalogue"
		if w.Key != "" {
			signed = "signed by " + w.Key
		}
		a.console.Say("  from %s, %s", w.Source, signed)
		a.console.Say("  sha256 %s", w.SHA256)
		a.console.Say("  for the hosts of %s", commas(w.Roles))
		if len(w.Replaces) > 0 {
			a.console.Say("  in place of %s", commas(w.Replaces))
		}
	}
	for _, step := range w.Chain {
		a.console.Say("  %s", step)
	}
	return a.printJSON(w)
}

func (a *app) sayLock(r *builder.LockResult) {
	var rows [][]string
	for _, e := range r.Entries {
		rows = append(rows, []string{e.ID, e.Version, console.Bytes(e.Size), e.Vouched})
	}
	a.console.Table([]string{"WHAT", "VERSION", "SIZE", "VOUCHED FOR BY"}, rows)
	switch {
	case !r.Changed:
		a.console.Say("%s is as it was: %d downloads, %s", r.Path, len(r.Entries), console.Bytes(r.Bytes))
	default:
		a.console.Say("wrote %s: %d downloads, %s", r.Path, len(r.Entries), console.Bytes(r.Bytes))
	}
}
