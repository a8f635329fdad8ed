package installer

import (
	"offgrid/bundle"
)

// phaseKernel stands between the packages, which the kernel needs, and the services, which need the kernel. The reboot also
// puts into force what the phase before has set for the next boot, such as SELinux's mode.
const phaseKernel = "kernel"

// kernelConfig says whether a kernel becomes the default by being installed: before anybody has seen it come up.
const kernelConfig = "/etc/sysconfig/kernel"

// upgradesKernel reports whether the role brings a kernel that a host with the running one has to get. A newer one is kept.
func upgradesKernel(index *bundle.RoleIndex, running string) bool {
	return index.Kernel != nil && index.Cluster.Policy.KernelMode == kernelUpgrade && compareReleases(running, index.Kernel.Release) <= 0
}

// newKernel plans the kernel that the bundle brings: it is installed, tried once, and made the default when it has come up.
func (p *planner) newKernel() {
	if p.in.Facts == nil || p.in.Facts.Boot == nil || !upgradesKernel(p.index, p.in.Facts.Kernel) || p.in.Kernel == kernelKept {
		return
	}
	k, boot := p.index.Kernel, p.in.Facts.Boot
	step := &KernelStep{Release: k.Release, Packages: p.rpms(k.Packages)}
	if p.err == nil && step.main().Name == "" {
		p.fail("kernel %s: none of its packages is the kernel itself", k.Release)
	}
	p.phase(phaseKernel)
	p.add(&KeyStep{Path: kernelConfig, Key: "UPDATEDEFAULT", Value: "no", Why: "so that no kernel becomes the default by being installed"}, step)
	once := boot.NoOnce == "" && p.in.Kernel != kernelHeld
	if once {
		p.add(&BootOnceStep{Release: k.Release, Config: boot.Config, Env: boot.Env, Watchdog: boot.Watchdog})
	}
	p.add(
		&BootStep{Release: k.Release, Once: once, Modules: p.index.Modules, IP: p.in.Host.IP},
		&BootDefaultStep{Release: k.Release},
	)
	if p.index.Cluster.Policy.KernelRemove {
		p.add(&OldKernelsStep{Release: k.Release, Main: step.main()})
	}
}

// kernelWish is what is known of a role's kernel besides the plan: kernelKept, kernelHeld or "". What the operator says now
// comes before what was said earlier; a kernel that runs can no longer be held or done without.
func (s *Session) kernelWish(index *bundle.RoleIndex) (string, error) {
	if index.Kernel == nil || index.Cluster.Policy.KernelMode != kernelUpgrade {
		return "", nil
	}
	running, err := readOptional(s.Host, "/proc/sys/kernel/osrelease")
	if err != nil || trimmed(running) == index.Kernel.Release {
		return "", err
	}
	rec, err := readKernel(s.Host, index.Kernel.Release)
	if err != nil {
		return "", err
	}
	state := ""
	if rec != nil {
		state = rec.State
	}
	switch {
	case s.Kernel == KernelKeep, state == kernelKept && s.Kernel != KernelRetry:
		return kernelKept, nil
	case s.Reboot == RebootNever && state != kernelFailed, state == kernelHeld && s.Reboot == "":
		return kernelHeld, nil
	}
	return "", nil
}

// kernelFiles are the files of the role's kernel that preflight asks for.
func kernelFiles(index *bundle.RoleIndex) []string {
	if index.Kernel == nil {
		return nil
	}
	return []string{vmlinuz(index.Kernel.Release), initramfs(index.Kernel.Release)}
}
