package main

import (
	"context"

	"github.com/spf13/cobra"

	"offgrid/builder"
	"offgrid/cmd/internal/console"
)

func newLock(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lock",
		Short: "Decide every byte that will be shipped, and write bundle.lock",
		Long: `Resolve the catalogue and cluster.yaml against upstream: addresses, sizes and
digests of all that the bundles will carry, and who vouches for each, are
written to bundle.lock. Only this command decides anything; review what changed
in bundle.lock and keep it with cluster.yaml. Images without a digest in the
catalogue, and those of extras in cluster.yaml, are pinned to what their tags
name now.

With --json: path, changed, bytes and entries (id, version, url, size, sha256,
vouched).

` + exitText,
		Example: `  bundle lock --mirrors cn
  bundle lock --mirror https://dl.k8s.io/=https://mirror.example/k8s/`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.lock(cmd.Context()) },
	}
	a.fetchFlags(cmd)
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
