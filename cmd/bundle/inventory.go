package main

import (
	"errors"

	"github.com/spf13/cobra"

	"offgrid/builder"
	"offgrid/manifests"
)

func newInventory(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inventory",
		Short: "Write an Ansible inventory and play for a site with many hosts",
		Long: `Write ansible/hosts.yaml and ansible/install.yaml into the site directory: the
hosts that the bundles in dist/ are for, and a play that copies to each the
installer and its bundles and runs ./install there. Nothing secret is in them;
the play asks for the passphrase. Spares are left out: they are installed by
hand when they are needed. Run it from a machine inside that reaches the hosts
by SSH and has dist/ at the same place, or set offgrid_dist.

With --json: hosts (name, ip, roles, files) and files.

` + exitText,
		Example: `  bundle inventory
  ansible-playbook -i ansible/hosts.yaml ansible/install.yaml`,
		Args: atMost(0),
		RunE: func(*cobra.Command, []string) error { return a.inventory() },
	}
	a.siteFlags(cmd)
	return cmd
}

func (a *app) inventory() error {
	play, err := manifests.InstallPlay()
	if err != nil {
		return err
	}
	made, err := builder.WriteInventory(a.dir, play)
	var none *builder.NothingBuiltError
	if errors.As(err, &none) {
		return &refusal{err, "bundle build"}
	}
	if err != nil {
		return trouble(err)
	}
	var rows [][]string
	for _, h := range made.Hosts {
		rows = append(rows, []string{h.Name, h.IP, commas(h.Roles), commas(h.Files)})
	}
	a.console.Table([]string{"HOST", "ADDRESS", "ROLES", "FILES"}, rows)
	a.console.Say("wrote %s", commas(made.Files))
	a.console.Say("Then: ansible-playbook -i %s %s", quoted(made.Files[0]), quoted(made.Files[1]))
	return a.printJSON(made)
}
