package builder

import (
	"fmt"
	"slices"
	"strings"
)

// systemd of CentOS 7 is 219 with some later directives taken over. What it does not know it warns of and leaves out, so
// that a unit would run without what it asks for. The list is that of the parser tables of systemd-219-78.el7; only the
// sections that our units have.
const (
	unit219 = `Description Documentation SourcePath Requires RequiresOverridable Requisite RequisiteOverridable Wants BindsTo BindTo
PartOf Conflicts Before After OnFailure OnFailureJobMode OnFailureIsolate PropagatesReloadTo ReloadPropagatedFrom JoinsNamespaceOf
RequiresMountsFor StopWhenUnneeded RefuseManualStart RefuseManualStop AllowIsolate DefaultDependencies IgnoreOnIsolate
IgnoreOnSnapshot JobTimeoutSec JobTimeoutAction JobTimeoutRebootArgument CollectMode`
	conditions219 = `ACPower Architecture Capability DirectoryNotEmpty FileIsExecutable FileNotEmpty FirstBoot Host KernelCommandLine
NeedsUpdate Null PathExists PathExistsGlob PathIsDirectory PathIsMountPoint PathIsReadWrite PathIsSymbolicLink Security
Virtualization`
	timer219   = `OnActiveSec OnBootSec OnStartupSec OnUnitActiveSec OnUnitInactiveSec OnCalendar AccuracySec Unit Persistent WakeSystem`
	install219 = `Alias WantedBy RequiredBy Also DefaultInstance`
	service219 = `Type PIDFile ExecStartPre ExecStart ExecStartPost ExecReload ExecStop ExecStopPost RestartSec TimeoutSec
TimeoutStartSec TimeoutStopSec WatchdogSec StartLimitInterval StartLimitBurst StartLimitAction RebootArgument FailureAction Restart
PermissionsStartOnly RootDirectoryStartOnly RemainAfterExit GuessMainPID RestartPreventExitStatus RestartForceExitStatus
SuccessExitStatus NonBlocking BusName FileDescriptorStoreMax NotifyAccess Sockets SysVStartPriority
WorkingDirectory RootDirectory User Group SupplementaryGroups Nice OOMScoreAdjust IOSchedulingClass IOSchedulingPriority
CPUSchedulingPolicy CPUSchedulingPriority CPUSchedulingResetOnFork CPUAffinity UMask Environment EnvironmentFile PassEnvironment
StandardInput StandardOutput StandardError TTYPath TTYReset TTYVHangup TTYVTDisallocate SyslogIdentifier SyslogFacility
SyslogLevel SyslogLevelPrefix Capabilities SecureBits CapabilityBoundingSet AmbientCapabilities TimerSlackNSec NoNewPrivileges
SystemCallFilter SystemCallArchitectures SystemCallErrorNumber RestrictAddressFamilies LimitCPU LimitFSIZE LimitDATA LimitSTACK
LimitCORE LimitRSS LimitNOFILE LimitAS LimitNPROC LimitMEMLOCK LimitLOCKS LimitSIGPENDING LimitMSGQUEUE LimitNICE LimitRTPRIO
LimitRTTIME ReadWriteDirectories ReadOnlyDirectories InaccessibleDirectories PrivateTmp PrivateNetwork PrivateDevices
ProtectSystem ProtectHome MountFlags Personality RuntimeDirectory RuntimeDirectoryMode PAMName IgnoreSIGPIPE UtmpIdentifier
SELinuxContext SmackProcessLabel KillMode KillSignal SendSIGHUP SendSIGKILL Slice CPUAccounting CPUShares StartupCPUShares
CPUQuota MemoryAccounting MemoryLimit DeviceAllow DevicePolicy BlockIOAccounting BlockIOWeight StartupBlockIOWeight
BlockIODeviceWeight BlockIOReadBandwidth BlockIOWriteBandwidth TasksAccounting TasksMax Delegate`
)

// knows219 reports whether systemd 219 knows a directive in a section.
func knows219(section, key string) bool {
	switch section {
	case "Unit":
		for _, prefix := range []string{"Condition", "Assert"} {
			if rest, ok := strings.CutPrefix(key, prefix); ok && slices.Contains(strings.Fields(conditions219), rest) {
				return true
			}
		}
		return slices.Contains(strings.Fields(unit219), key)
	case "Service":
		return slices.Contains(strings.Fields(service219), key)
	case "Timer":
		return slices.Contains(strings.Fields(timer219), key)
	case "Install":
		return slices.Contains(strings.Fields(install219), key)
	}
	return false
}

// values219 are the choices of directives that later versions have more of.
func values219(key string) []string {
	switch key {
	case "Type":
		return []string{"simple", "forking", "oneshot", "dbus", "notify", "idle"}
	case "Restart":
		return []string{"no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always"}
	case "ProtectSystem":
		return []string{"yes", "true", "no", "false", "full"}
	case "KillMode":
		return []string{"control-group", "process", "mixed", "none"}
	}
	return nil
}

// unitFaults returns what systemd 219 would not understand of a service or timer.
func unitFaults(name string, data []byte) []string {
	var faults []string
	section, line := "", 0
	for text := range strings.Lines(string(data)) {
		line++
		text = strings.TrimSpace(text)
		if text == "" || strings.HasPrefix(text, "#") || strings.HasPrefix(text, ";") {
			continue
		}
		if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
			section = strings.Trim(text, "[]")
			continue
		}
		key, value, ok := strings.Cut(text, "=")
		add := func(format string, args ...any) {
			faults = append(faults, fmt.Sprintf("%s line %d: ", name, line)+fmt.Sprintf(format, args...))
		}
		switch choices := values219(key); {
		case !ok:
			add("%q is not a setting", text)
		case !knows219(section, key):
			add("systemd 219 does not know %s in section %q", key, section)
		case choices != nil && !slices.Contains(choices, value):
			add("systemd 219 does not know %s=%s", key, value)
		case strings.HasPrefix(key, "Exec") && !strings.HasPrefix(strings.TrimLeft(value, "-@"), "/"):
			add("%s needs the full path of a program", key)
		}
	}
	return faults
}
