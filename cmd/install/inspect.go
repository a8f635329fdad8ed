package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"offgrid/installer"
)

func (a *app) newStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show which roles this host has, how far they are and whom they wait for",
		Long: `Show the roles that were installed on this host, how many of their steps are done, the state of their
services, and what the host still waits for. Nothing is changed.

` + exitText,
		Example: "  ./install status",
		Args:    none,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context()) },
	}
}

func (a *app) status(ctx context.Context) error {
	s, err := a.session(false)
	if err != nil {
		return err
	}
	all, err := s.Status(ctx)
	if err != nil {
		return err
	}
	role := s.Interrupted()
	switch {
	case role != "":
		a.say("", "The installation of "+role+" was cut off before everything was carried to this host: the medium is needed once more for ./install --role "+role)
	case len(all) == 0:
		a.console.Say("Nothing was installed on this host.")
	}
	for _, r := range all {
		a.console.Say("%s on %s (%s), cluster %s, bundle %s", r.Role, r.Host, r.IP, r.Cluster, r.Bundle.Short())
		a.console.Say("  %d of %d steps are done", r.Done, r.Steps)
		switch {
		case r.Waiting != "":
			a.say("  ", r.Waiting)
		case r.Next != "":
			a.say("  ", "next: "+r.Next)
		}
		for _, u := range r.Units {
			a.console.Say("  %-34s %s, %s", u.Name, u.Active, u.File)
		}
		a.say("  ", strings.Join(r.Versions, ", "))
	}
	return a.printJSON(all)
}

func (a *app) newVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Compare this host with what was installed on it",
		Long: `Read every installed file again and compare its digest, mode and owner; look at every package, service
and kernel setting. What differs is named, and the exit code is 6 then. Nothing is changed.

` + exitText,
		Example: "  ./install verify",
		Args:    none,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.verify(cmd.Context()) },
	}
}

func (a *app) verify(ctx context.Context) error {
	s, err := a.session(false)
	if err != nil {
		return err
	}
	v, err := s.Verify(ctx)
	if err != nil {
		return err
	}
	for _, d := range v.Differences {
		a.say("  ", fmt.Sprintf("FAILED %s (%s): %s", d.Object, d.Role, d.Why))
	}
	if err := a.printJSON(v); err != nil {
		return err
	}
	if len(v.Differences) > 0 {
		help := "./install resume puts them right"
		if i := slices.IndexFunc(v.Differences, func(d installer.Difference) bool { return d.Medium }); i >= 0 {
			help = "with the bundle beside it, ./install --role " + v.Differences[i].Role + " puts them right"
		}
		a.console.Say("%d of %d things differ; %s.", len(v.Differences), v.Checked, help)
		return errUnhealthy
	}
	a.console.Say("All %d things are as they were installed.", v.Checked)
	return nil
}
