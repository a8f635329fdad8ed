package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"offgrid/bundle"
	"offgrid/bundle/hostpack"
	"offgrid/cmd/internal/console"
)

func newList(a *app) *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use:   "list FILE",
		Short: "List what a bundle places on its hosts",
		Long: `List every file, directory and link that the bundle's role places, with mode,
owner and size, and for each host the files that it alone gets. Secret files are
marked; their content is never shown. What is in a sealed host pack cannot be
listed: it is one line. Of a site file --role says which one.

With --json: a list of host (left out: every host), path, type (file, dir,
link, pack), mode, owner, size, from (artifact, or a link's target) and secret.

` + exitText,
		Example:           "  bundle list dist/etcd.bundle",
		Args:              files(1),
		ValidArgsFunction: completeBundles,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.list(cmd.Context(), args[0], role) },
	}
	roleFlag(cmd, &role)
	return cmd
}

// placed is one thing that a bundle places.
type placed struct {
	Host   string `json:"host,omitempty"` // "": on every host of the role
	Path   string `json:"path"`
	Type   string `json:"type"` // "file", "dir", "link" or "pack": all that a sealed host pack places
	Mode   string `json:"mode,omitempty"`
	Owner  string `json:"owner,omitempty"` // "root:root"
	Size   int64  `json:"size"`
	From   string `json:"from,omitempty"` // artifact, or target of a link
	Secret bool   `json:"secret,omitempty"`
	Fill   bool   `json:"fill,omitempty"` // the installer fills in what only the host knows
}

func (a *app) list(ctx context.Context, path, role string) error {
	b, err := openRole(path, role)
	if err != nil {
		return err
	}
	defer b.Close()
	all := common(b)
	for _, host := range b.PackHosts() {
		box, err := hostpack.Load(ctx, b, host)
		if err != nil {
			return err
		}
		if box.Sealed {
			p, _ := b.Pack(host)
			all = append(all, placed{Host: host, Path: "(sealed)", Type: "pack", Size: p.Data.Size, From: "host pack, opens with " + waysOf(box), Secret: true})
			continue
		}
		pack, err := box.Open()
		if err != nil {
			return err
		}
		for _, f := range pack.Files {
			all = append(all, placed{Host: host, Path: f.Path, Type: "file", Mode: mode(f.Mode), Owner: f.Owner + ":" + f.Group, Size: int64(len(f.Data)), From: "host pack", Secret: f.Secret, Fill: f.Fill})
		}
	}
	slices.SortStableFunc(all, func(x, y placed) int {
		return cmp.Or(cmp.Compare(x.Host, y.Host), cmp.Compare(x.Path, y.Path))
	})
	if a.console.JSON() {
		return a.console.PrintJSON(all)
	}
	var rows [][]string
	for _, p := range all {
		size, from := console.Bytes(p.Size), p.From
		switch {
		case p.Type == "link":
			size, from = "-", "-> "+p.From
		case p.Type == "dir":
			size = "-"
		case p.Secret:
			from += ", secret"
		}
		if p.Fill {
			from += ", filled in on the host"
		}
		rows = append(rows, []string{cmp.Or(p.Host, "all"), orDash(p.Mode), orDash(p.Owner), size, p.Path, from})
	}
	a.console.Table([]string{"HOST", "MODE", "OWNER", "SIZE", "PATH", "FROM"}, rows)
	return nil
}

// waysOf says what opens a sealed pack.
func waysOf(x *hostpack.Box) string {
	if x.HostKey == "" {
		return "the passphrase"
	}
	return "the passphrase or the host's " + x.HostKey + " key"
}

// common lists what every host of the role gets.
func common(b *bundle.Bundle) []placed {
	var all []placed
	for _, f := range b.Role.Files {
		p := placed{Path: f.Path, Type: "file", Mode: mode(f.Mode), Owner: f.Owner + ":" + f.Group, From: f.Artifact}
		if art, ok := b.Artifact(f.Artifact); ok {
			p.Size = art.Blob.Size
		}
		all = append(all, p)
	}
	for _, d := range b.Role.Dirs {
		all = append(all, placed{Path: d.Path, Type: "dir", Mode: mode(d.Mode), Owner: d.Owner + ":" + d.Group})
	}
	for _, l := range b.Role.Links {
		all = append(all, placed{Path: l.Path, Type: "link", From: l.Target})
	}
	return all
}

func mode(m uint32) string { return fmt.Sprintf("%04o", m) }
