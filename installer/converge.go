package installer

import (
	"context"
	"fmt"
	"strings"

	"offgrid/installer/host"
)

// Units that go on with an installation that waits for other hosts. They are no steps of a plan: they come when a run ends
// waiting, and remove themselves when nothing waits any more.
const (
	convergeService = "offgrid-converge.service"
	convergeTimer   = "offgrid-converge.timer"
	unitDir         = "/etc/systemd/system/"
)

// convergeUnits is the text of both units, with what systemd 219 knows.
func convergeUnits() map[string]string {
	return map[string]string{
		convergeService: `[Unit]
Description=Go on with the installation of this host, which waits for others
Documentation=file:` + StateDir + `
After=network.target
ConditionPathExists=` + InstallPath() + `

[Service]
Type=oneshot
ExecStart=` + InstallPath() + ` resume --unattended
SyslogIdentifier=offgrid-converge
# 130 says that it was asked to stop: an operator's own run comes first.
SuccessExitStatus=130
# Asked to stop, it finishes its step; what the step runs, such as rpm, is left alone meanwhile.
KillMode=mixed
TimeoutStopSec=15min
`,
		convergeTimer: `[Unit]
Description=Go on with the installation of this host now and then

[Timer]
OnActiveSec=10s
OnBootSec=20s
OnUnitInactiveSec=15s
AccuracySec=1s

[Install]
WantedBy=timers.target
`,
	}
}

// converge puts the units in place and starts the timer, or removes them. It changes nothing that is right already.
func (s *Session) converge(ctx context.Context, wanted bool) error {
	if wanted {
		return s.startConverge(ctx)
	}
	return s.stopConverge(ctx)
}

func (s *Session) startConverge(ctx context.Context) error {
	changed, err := s.convergeFiles()
	if err != nil {
		return err
	}
	u, err := host.ShowUnit(ctx, s.Host, convergeTimer)
	if err != nil {
		return err
	}
	if !changed && u.Up() && u.Enabled() {
		return nil
	}
	return s.convergeCommands(ctx, []string{"daemon-reload"}, []string{"enable", convergeTimer}, []string{"start", convergeTimer})
}

// restConverge makes the host go on by itself after its next boot, and not before: nothing else moves what it waits for.
func (s *Session) restConverge(ctx context.Context) error {
	changed, err := s.convergeFiles()
	if err != nil {
		return err
	}
	u, err := host.ShowUnit(ctx, s.Host, convergeTimer)
	if err != nil {
		return err
	}
	if u.Up() {
		if err := s.convergeCommands(ctx, []string{"stop", convergeTimer}); err != nil {
			return err
		}
	}
	if !changed && u.Enabled() {
		return nil
	}
	return s.convergeCommands(ctx, []string{"daemon-reload"}, []string{"enable", convergeTimer})
}

// convergeCommands runs systemctl's verbs, one after the other.
func (s *Session) convergeCommands(ctx context.Context, all ...[]string) error {
	for _, argv := range all {
		if _, err := s.Host.Run(ctx, nil, append([]string{"systemctl"}, argv...)...); err != nil {
			return fmt.Errorf("making the host go on by itself: %w", err)
		}
	}
	return nil
}

// convergeFiles writes both units, and reports whether one was not right.
func (s *Session) convergeFiles() (changed bool, err error) {
	for _, name := range []string{convergeService, convergeTimer} {
		text := convergeUnits()[name]
		if now, err := readOptional(s.Host, unitDir+name); err == nil && now == text {
			continue
		}
		if err := s.Host.Write(unitDir+name, strings.NewReader(text), host.Meta{Mode: 0o644}); err != nil {
			return changed, fmt.Errorf("making the host go on by itself: %w", err)
		}
		changed = true
	}
	return changed, nil
}

// stopConverge may be called by the service itself: only the timer is stopped, and a file that is gone does not end what
// was started from it.
func (s *Session) stopConverge(ctx context.Context) error {
	there := false
	for _, name := range []string{convergeTimer, convergeService} {
		exists, err := host.Exists(s.Host, unitDir+name)
		if err != nil {
			return err
		}
		there = there || exists
	}
	if !there {
		return nil
	}
	if exists, err := host.Exists(s.Host, unitDir+convergeTimer); err == nil && exists {
		for _, argv := range [][]string{{"systemctl", "stop", convergeTimer}, {"systemctl", "disable", convergeTimer}} {
			if _, err := s.Host.Run(ctx, nil, argv...); err != nil {
				return fmt.Errorf("ending what made the host go on by itself: %w", err)
			}
		}
	}
	for _, name := range []string{convergeTimer, convergeService} {
		if err := s.Host.Remove(unitDir + name); err != nil {
			return err
		}
	}
	// A run that failed once would stand in the list of failed units until the next boot.
	u, err := host.ShowUnit(ctx, s.Host, convergeService)
	if err == nil && u.Active == "failed" {
		_, err = s.Host.Run(ctx, nil, "systemctl", "reset-failed", convergeService)
	}
	if err == nil {
		_, err = s.Host.Run(ctx, nil, "systemctl", "daemon-reload")
	}
	if err != nil {
		return fmt.Errorf("ending what made the host go on by itself: %w", err)
	}
	return nil
}
