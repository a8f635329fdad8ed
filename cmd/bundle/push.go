package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"offgrid/builder"
	"offgrid/bundle"
)

func newPush(a *app) *cobra.Command {
	var plain, keys bool
	cmd := &cobra.Command{
		Use:   "push [REGISTRY] [FILE...]",
		Short: "Put the site's images, or bundles, into a registry",
		Long: `Without FILE: put every container image of bundle.lock into REGISTRY, under the
names that nodes ask for when images.registry in cluster.yaml says REGISTRY (and
REGISTRY may then be left out). Do so before nodes are installed: with
images.registry set, bundles carry no images. What the store lacks is fetched.

With FILE: put these bundles there as OCI artifacts, offgrid/SITE/ROLE:SERIAL,
unchanged: their fingerprints stay. Bundles whose host packs are plain hold the
private keys of their hosts in the clear, and whoever may read the registry then
has them: that must be agreed to with --with-keys.

A login is taken from docker's or podman's (docker login, podman login).

With --json: a list of ref, digest and source.

` + exitText,
		Example: `  bundle push registry.site.example:5000
  bundle push registry.site.example:5000 dist/*.bundle`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o := builder.PushOptions{PlainHTTP: plain}
			if len(args) > 0 {
				o.Registry, args = args[0], args[1:]
			}
			if len(args) > 0 {
				return a.pushBundles(cmd.Context(), o, args, keys)
			}
			return a.pushImages(cmd.Context(), o)
		},
	}
	a.fetchFlags(cmd)
	cmd.Flags().BoolVar(&plain, "plain-http", false, "the registry has no TLS: what is pushed can be read and changed on its way")
	cmd.Flags().BoolVar(&keys, "with-keys", false, "push bundles although they hold private keys in the clear (security.packs: plain)")
	return cmd
}

func (a *app) pushImages(ctx context.Context, o builder.PushOptions) error {
	opts, err := a.site()
	if err != nil {
		return err
	}
	site, err := builder.OpenSite(opts)
	if err != nil {
		return err
	}
	defer site.Close()
	pushed, err := site.Push(ctx, o)
	if err != nil {
		return err
	}
	return a.sayPushed(pushed)
}

func (a *app) pushBundles(ctx context.Context, o builder.PushOptions, paths []string, keys bool) error {
	var all []builder.PushedRef
	for _, path := range paths {
		if _, err := named(path); err != nil {
			return err
		}
		plain, err := hasPlainPack(path)
		if err != nil {
			return err
		}
		if plain && !keys {
			return &refusal{fmt.Errorf("%s holds the private keys of its hosts in the clear: whoever may read the registry would have them", path),
				"build it with security.packs: sealed in cluster.yaml, or push it with --with-keys if only those who may have the keys can read it; images alone need no file: `bundle push REGISTRY`"}
		}
		pushed, err := builder.PushBundle(ctx, path, o)
		if err != nil {
			return err
		}
		all = append(all, pushed...)
	}
	return a.sayPushed(all)
}

// hasPlainPack reports whether a bundle in the file holds secrets that are not sealed.
func hasPlainPack(path string) (plain bool, err error) {
	all, err := bundle.OpenAll(path)
	for _, b := range all {
		plain = plain || slices.ContainsFunc(b.PackHosts(), func(host string) bool {
			p, ok := b.Pack(host)
			return ok && !p.Sealed
		})
		err = errors.Join(err, b.Close())
	}
	return plain, err
}

func (a *app) sayPushed(all []builder.PushedRef) error {
	var rows [][]string
	for _, p := range all {
		rows = append(rows, []string{p.Source, p.Ref, p.Digest.Short()})
	}
	a.console.Table([]string{"SOURCE", "IN THE REGISTRY", "DIGEST"}, rows)
	return a.printJSON(all)
}
