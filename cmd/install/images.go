package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) newImages() *cobra.Command {
	return &cobra.Command{
		Use:   "images",
		Short: "Give docker the container images again that it has lost",
		Long: `Ask docker on this node for every container image that the bundle brought, and load those again that
are missing or have another content, from this host's disk: no medium and no registry is needed.
A timer runs this. When all is right nothing is said; while another installer is at work or docker
is down nothing is done, and the timer comes again.

` + exitText,
		Example: "  /var/lib/offgrid/install images",
		Args:    none,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.images(cmd.Context()) },
	}
}

func (a *app) images(ctx context.Context) error {
	s, err := a.session(false)
	if err != nil {
		return err
	}
	report, err := s.Images(ctx)
	if report.Skipped != "" {
		text := "Nothing was done: " + report.Skipped
		if !strings.HasSuffix(text, "?") { // docker asks whether it runs
			text += "."
		}
		a.console.Say("%s", text)
	}
	for _, i := range report.Images {
		switch {
		case !i.Loaded:
		case i.Found == "":
			a.console.Say("loaded %s: docker did not have it", i.Ref)
		default:
			a.console.Say("loaded %s: docker had another image of that name, %s", i.Ref, i.Found)
		}
	}
	if err != nil {
		return err
	}
	return a.printJSON(report)
}
