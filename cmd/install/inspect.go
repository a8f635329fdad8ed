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
		Short: "Show the roles of this host, how far they are, whom they wait for",
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
		a.console.Say("  fingerprint %s", r.Bundle.Fingerprint())
		a.say("  ", signedBy(r))
		a.console.Say("  %d of %d steps are done", r.Done, r.Steps)
		if r.Upgrade != "" {
			a.say("  ", r.Upgrade+" is not finished; the version before is kept")
		}
		if r.Kernel != nil && r.Kernel.Why != r.Waiting {
			a.say("  ", r.Kernel.Why)
		}
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
		a.statusOf(r)
	}
	return a.printJSON(all)
}

// statusOf prints what only shows itself in time: certificates that end, members that are away.
func (a *app) statusOf(r installer.RoleStatus) {
	ok := 0
	for _, c := range r.Certificates {
		switch c.State {
		case "ok":
			ok++
		case "expired":
			a.say("  ", fmt.Sprintf("EXPIRED %s, since %s", c.Path, c.Expires.Format("2006-01-02")))
		case "early":
			a.say("  ", fmt.Sprintf("WARNING %s is not valid yet: this host's clock is behind", c.Path))
		default:
			a.say("  ", fmt.Sprintf("WARNING %s expires in %d days, on %s", c.Path, c.Days, c.Expires.Format("2006-01-02")))
		}
	}
	if len(r.Certificates) > 0 {
		first := r.Certificates[0]
		a.say("  ", fmt.Sprintf("%d of %d certificates are valid for 90 days and more; the first ends on %s", ok, len(r.Certificates), first.Expires.Format("2006-01-02")))
	}
	for _, m := range r.Etcd {
		state := "healthy, " + m.Version
		if m.Leader {
			state += ", leads"
		}
		if !m.Healthy {
			state = "AWAY: " + m.Text
		}
		a.lines(wrap(fmt.Sprintf("  %-8s %-16s %-16s ", m.Name, m.Host, m.IP), "    ", state))
	}
	if v := r.VIP; v != nil {
		state := "another host holds it"
		if v.Here {
			state = "this host holds it"
		}
		if v.Answers {
			state += "; an API server answers there"
		} else {
			state += "; NO ANSWER there: " + v.Text
		}
		a.say("  ", "VIP "+v.Address+": "+state)
	}
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
