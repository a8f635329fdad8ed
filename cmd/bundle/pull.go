package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"offgrid/builder"
)

func newPull(a *app) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "pull REF",
		Short: "Get a bundle back out of a registry, byte for byte",
		Long: `Write the bundle that bundle push has put into a registry as REF to a file: the
same bytes, with its signature. The signature is looked at when the bundle's
root is there, before anything else is asked for; with --key it must be of that
key. Every blob is compared with its digest. A pull that was cut off goes on
where it stopped: what came stays in FILE.pulling until then.

A registry without TLS on another machine is asked only for what a digest names:
REF@sha256:DIGEST, as bundle push prints it.

With --json: file, role, root, fingerprint, keyID (of the signature, "" without
one), signer (key, id, fingerprint, when it was verified) and size.

` + exitText,
		Example: `  bundle pull registry.site.example:5000/offgrid/demo/node:1700000000
  bundle pull --key minisign.pub registry.example/offgrid/demo/node:1700000000`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{"which reference? One, as bundle push printed it", cmd.CommandPath()}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.pull(cmd.Context(), args[0], out) },
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "file to write (default: ROLE.bundle)")
	a.keyFlag(cmd)
	return cmd
}

func (a *app) pull(ctx context.Context, ref, out string) error {
	trust, err := a.trust(out)
	if err != nil {
		return err
	}
	p, err := builder.PullBundle(ctx, builder.PullOptions{
		Ref: ref, Out: out, Trust: trust, Report: a.console.Progress(),
		Download: builder.Download{Parallel: 4, Attempts: 5, Stall: time.Minute},
	})
	if err != nil {
		return err
	}
	signed := signedFacts{KeyID: p.KeyID}
	if p.Signer != nil {
		signed.Key, signed.Fingerprint = &p.Signer.Key, p.Signer.Fingerprint
	}
	a.console.Say("%s: role %s, fingerprint %s", p.File, p.Role, p.Fingerprint)
	a.console.Say("  signed by %s", &signed)
	return a.printJSON(p)
}
