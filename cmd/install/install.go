package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"offgrid/installer"
)

// result is what install prints for programs.
type result struct {
	Findings []installer.Finding      `json:"findings"`
	Plans    []installer.PlanDocument `json:"plans"`
	Outcome  *installer.Outcome       `json:"outcome,omitempty"`
}

func (a *app) newPlan() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what would be done and change nothing",
		Long: `Look at this host and show everything that speaks against the installation, and every step that it
would take. Nothing is changed. What the steps are depends on what is sealed in the bundle: the
passphrase is asked for as at the installation. + is a step with work, = is right already, ? depends on other hosts.

` + exitText,
		Example: "  ./install plan --role node --ip 20.0.0.103",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.plan = true
			return a.install(cmd.Context())
		},
	}
	a.requestFlags(cmd)
	return cmd
}

// install looks, says, asks and does.
func (a *app) install(ctx context.Context) error {
	s, err := a.session(false)
	if err != nil {
		return err
	}
	req, err := a.request(ctx)
	if err != nil {
		return err
	}
	job, err := s.Prepare(ctx, req)
	if err != nil {
		return err
	}
	defer job.Close()
	if a.onlyRenewal {
		if err := renewalsOnly(job); err != nil {
			return err
		}
	}
	res := result{Findings: append([]installer.Finding{}, job.Findings...), Plans: []installer.PlanDocument{}}
	for _, r := range job.Roles {
		if r.Plan == nil {
			continue
		}
		doc, err := r.Plan.Describe(ctx, a.host)
		if err != nil {
			return err
		}
		res.Plans = append(res.Plans, doc)
	}
	a.printHead(job)
	a.printFindings(job.Findings)
	if a.plan {
		a.printPlans(res.Plans)
	} else {
		a.printSummary(res.Plans)
	}
	class, refused := installer.Refused(job.Findings)
	if refused {
		return errors.Join(a.printJSON(res), &installer.RefusedError{Findings: job.Findings, Class: class})
	}
	if a.plan {
		return a.printJSON(res)
	}
	return a.do(ctx, s, job, res)
}

// do checks the whole bundle, asks, and installs.
func (a *app) do(ctx context.Context, s *installer.Session, job *installer.Job, res result) error {
	if err := a.ask(ctx, question(job)); err != nil {
		return err
	}
	if faults := job.VerifyBundles(ctx, a.report()); len(faults) > 0 {
		return errors.Join(faults...)
	}
	outcome, err := s.Install(ctx, job)
	if err != nil {
		return err
	}
	res.Outcome = &outcome
	return a.finish(ctx, s, outcome, res)
}

// question is what the operator says yes to. An upgrade is called one.
func question(job *installer.Job) string {
	var fresh, parts []string
	for _, r := range job.Roles {
		if r.Plan != nil && r.Plan.Upgrade != nil {
			parts = append(parts, r.Plan.Upgrade.Title)
			continue
		}
		fresh = append(fresh, r.Input.Index.Role)
	}
	if len(fresh) > 0 {
		parts = append([]string{"install " + strings.Join(fresh, " and ")}, parts...)
	}
	text := strings.Join(parts, ", ")
	return strings.ToUpper(text[:1]) + text[1:] + fmt.Sprintf(" on %s (%s)?", job.Host.Name, job.Host.IP)
}

// ask asks unless it was told not to.
func (a *app) ask(ctx context.Context, question string) error {
	if a.yes {
		return nil
	}
	yes, err := a.console.Confirm(ctx, question)
	if err == nil && !yes {
		err = errDeclined
	}
	return err
}

// finish prints how far a run came. Waiting for others is a good end; a kernel that is still to come up is none.
func (a *app) finish(ctx context.Context, s *installer.Session, o installer.Outcome, v any) error {
	a.printOutcome(o)
	if err := a.printJSON(v); err != nil {
		return err
	}
	if o.Kernel != nil {
		return a.kernelEnd(ctx, s, o.Kernel)
	}
	if !o.Healthy() {
		return errUnhealthy
	}
	return nil
}

func (a *app) newResume() *cobra.Command {
	var unattended bool
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "Go on with what was begun on this host",
		Long: `Go on with every role that was begun on this host, from what is on its disk: no medium is needed. A
timer runs this now and then for as long as the host waits for others.

` + exitText,
		Example: "  /var/lib/offgrid/install resume",
		Args:    none,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.resume(cmd.Context(), unattended) },
	}
	cmd.Flags().BoolVar(&unattended, "unattended", false, "for the timer: when another installer is at work, leave it to that one")
	cmd.Flags().StringVar(&a.tokenFile, "token-file", "", "file with a token of ./install token, for a node whose own has expired; - is standard input")
	a.unsignedFlag(cmd)
	a.kernelFlags(cmd)
	return cmd
}

func (a *app) resume(ctx context.Context, unattended bool) error {
	s, err := a.session(unattended)
	if err != nil {
		return err
	}
	if token, err := a.readToken(a.tokenFile); err != nil {
		return err
	} else if token != "" {
		if err := s.GiveToken(ctx, token); err != nil {
			return err
		}
	}
	outcome, err := s.Resume(ctx)
	var locked *installer.LockedError
	if unattended && errors.As(err, &locked) {
		a.console.Say("another installer is at work (process %s): it does what is to be done", locked.PID)
		return nil
	}
	if err != nil {
		return err
	}
	if unattended && !outcome.Done {
		return a.printJSON(outcome) // the log has what it waits for already, and gets it again and again
	}
	return a.finish(ctx, s, outcome, outcome)
}

func (a *app) newUninstall() *cobra.Command {
	var req installer.UninstallRequest
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Put this host back as it was before the install",
		Long: `Take back what install did to this host, last thing first: services, files, packages, settings. What was
there before comes back. The data of etcd and docker stays unless --purge-data is given. With --role
only that role goes, and what the other roles need stays.

` + exitText,
		Example: "  ./install uninstall --role node",
		Args:    none,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.uninstall(cmd.Context(), req) },
	}
	cmd.Flags().StringVar(&req.Role, "role", "", "only this role")
	cmd.Flags().BoolVar(&req.PurgeData, "purge-data", false, "remove the data of etcd and docker, too; it cannot be brought back")
	cmd.Flags().BoolVarP(&a.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *app) uninstall(ctx context.Context, req installer.UninstallRequest) error {
	s, err := a.session(false)
	if err != nil {
		return err
	}
	if err := s.Removable(req); err != nil {
		return err
	}
	what := "everything that was installed on this host"
	if req.Role != "" {
		what = "the role " + req.Role + " of this host"
	}
	if req.PurgeData {
		what += " with all its data"
	}
	if err := a.ask(ctx, "Take back "+what+"?"); err != nil {
		return err
	}
	res, err := s.Uninstall(ctx, req)
	if err != nil {
		return err
	}
	a.console.Say("%d steps taken back.", len(res.Undone))
	if len(res.Shared) > 0 {
		a.console.Say("%d stay because another role needs them.", len(res.Shared))
	}
	return a.printJSON(map[string]any{"undone": append([]string{}, res.Undone...), "shared": append([]string{}, res.Shared...)})
}
