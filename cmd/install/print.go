package main

import (
	"fmt"
	"strings"

	"offgrid/cmd/internal/console"
	"offgrid/installer"
)

// width is the screen of a server's console.
const width = 80

// say prints text broken at blanks into lines of at most width, each with the indent. A word that is longer, such as a
// path, stays whole: it must be possible to copy it.
func (a *app) say(indent, text string) {
	for _, line := range wrap(indent, indent, text) {
		a.console.Say("%s", line)
	}
}

// wrap breaks text; first and rest begin its first line and the others.
func wrap(first, rest, text string) []string {
	var lines []string
	line := first
	empty := true
	for _, word := range strings.Fields(text) {
		if !empty && len([]rune(line))+1+len([]rune(word)) > width {
			lines, line, empty = append(lines, line), rest, true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	return append(lines, line)
}

// printHead says what is about to be installed where, and the fingerprint that the build printed, too.
func (a *app) printHead(job *installer.Job) {
	for _, r := range job.Roles {
		index := r.Input.Index
		size := ""
		if r.Bundle.Size > 0 {
			size = ", " + console.Bytes(r.Bundle.Size)
		}
		a.console.Say("%s of cluster %s%s", index.Role, index.Cluster.Name, size)
		a.console.Say("  bundle %s", r.Bundle.Path)
		a.printTrust(&r)
	}
	if job.Host.Name != "" {
		a.console.Say("host %s (%s)", job.Host.Name, job.Host.IP)
	}
}

// printFindings prints everything that preflight has to say: what, where, why and the one command.
func (a *app) printFindings(found []installer.Finding) {
	for _, f := range found {
		mark := "REFUSED"
		if f.Severity == installer.Warn {
			mark = "WARNING"
		}
		a.console.Say("")
		a.lines(wrap(mark+" ", "        ", f.What))
		a.lines(wrap("  where: ", "         ", f.Where))
		a.lines(wrap("  why:   ", "         ", f.Why))
		a.console.Say("  do:    %s", a.typed(f.Fix)) // never broken: it is to be copied
	}
	if len(found) > 0 {
		a.console.Say("")
	}
}

func (a *app) lines(lines []string) {
	for _, line := range lines {
		a.console.Say("%s", line)
	}
}

// printPlans prints every step.
func (a *app) printPlans(plans []installer.PlanDocument) {
	for _, p := range plans {
		a.console.Say("")
		a.console.Say("plan %s: %s on %s", p.ID.Short(), p.Role, p.Host)
		a.printUpgrade(p.Upgrade)
		for _, phase := range p.Phases {
			a.console.Say("%s", phase.Name)
			for _, s := range phase.Steps {
				text := s.Verb + " " + s.Object
				if s.Why != "" {
					text += " (" + s.Why + ")"
				}
				a.lines(wrap("  "+stepMark(s)+" ", "      ", text))
			}
		}
	}
	if len(plans) > 0 {
		a.console.Say("")
		a.console.Say("+ to do   = right already   ? depends on other hosts   ! in the way")
	}
}

// printUpgrade says what a plan makes of the version that is installed.
func (a *app) printUpgrade(u *installer.Upgrade) {
	if u == nil {
		return
	}
	a.say("  ", u.Title)
	switch {
	case u.PutBack:
		a.say("  ", "the version that was kept comes back; what the upgrade began is taken back")
		return
	case len(u.Restarts) > 0:
		a.say("  ", "starts anew: "+strings.Join(u.Restarts, ", "))
	default:
		a.say("  ", "starts no service anew")
	}
	if u.Drain {
		a.say("  ", "the node's pods go to other nodes first")
	}
	a.say("  ", "the installed version is kept until the new one is healthy, and put back if it is not")
}

func stepMark(s installer.StepDocument) string {
	switch s.State {
	case "satisfied":
		return "="
	case "conflict":
		return "!"
	}
	if strings.HasPrefix(s.ID, "wait:") || strings.HasPrefix(s.ID, "apply:") || strings.HasPrefix(s.ID, "token:") || strings.HasPrefix(s.ID, "drain:") || strings.HasPrefix(s.ID, "uncordon:") {
		return "?"
	}
	return "+"
}

// printSummary prints a line per phase: the whole plan is a command away.
func (a *app) printSummary(plans []installer.PlanDocument) {
	for _, p := range plans {
		a.console.Say("plan %s: %s on %s", p.ID.Short(), p.Role, p.Host)
		a.printUpgrade(p.Upgrade)
		for _, phase := range p.Phases {
			todo := 0
			for _, s := range phase.Steps {
				if s.State != "satisfied" {
					todo++
				}
			}
			a.console.Say("  %-18s %s", phase.Name, counted(todo, len(phase.Steps)))
		}
	}
	if len(plans) > 0 {
		a.console.Say("  (./install plan shows every step)")
	}
}

func counted(todo, all int) string {
	switch {
	case todo == 0:
		return steps(all) + ", right already"
	case todo == all:
		return steps(all)
	}
	return fmt.Sprintf("%s, %d to do", steps(all), todo)
}

func steps(n int) string {
	if n == 1 {
		return "1 step"
	}
	return fmt.Sprintf("%d steps", n)
}

// printLines prints what was looked at, a row for each thing.
func (a *app) printLines(lines []installer.HealthLine) {
	rows := make([][]string, 0, len(lines))
	for _, l := range lines {
		state := "ok"
		if !l.OK {
			state = "FAILED"
		}
		rows = append(rows, []string{state, l.Name, fmt.Sprintf("%.1f s", l.Seconds), l.Text})
	}
	if len(rows) > 0 {
		a.console.Table([]string{"", "CHECK", "TIME", "FOUND"}, rows)
	}
}

// printOutcome prints how far a run came.
func (a *app) printOutcome(o installer.Outcome) {
	a.printLines(o.Health)
	for _, u := range o.Upgrades {
		switch u.State {
		case "done":
			a.console.Say("%s: %s runs and is healthy; %s is no longer kept.", u.Role, edition(u.To), edition(u.From))
		case "waiting":
			a.console.Say("%s: %s is in place; %s is kept until it is healthy.", u.Role, edition(u.To), edition(u.From))
		case "put back":
			a.console.Say("%s: the upgrade to %s was given up; %s runs.", u.Role, edition(u.To), edition(u.From))
		}
	}
	switch {
	case o.Kernel != nil: // said at the very end
	case !o.Done:
		a.console.Say("Everything that this host can do alone is done. It still waits:")
		for _, w := range o.Waiting {
			a.lines(wrap("  "+w.Role+": ", "    ", w.Why))
		}
		a.say("", "It goes on by itself when they come, also after a reboot; nobody needs to do anything here. ./install status shows how far it is.")
	case o.Changed == 0:
		a.console.Say("Done; everything was in place already.")
	default:
		a.console.Say("Done.")
	}
}

// edition names one: by its bundle when it has no version, such as a load balancer's.
func edition(e installer.Edition) string {
	if e.Version == "" {
		return "bundle " + e.Bundle.Short()
	}
	return e.Version
}
