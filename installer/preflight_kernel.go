package installer

import (
	"fmt"
	"slices"
	"strings"

	"offgrid/bundle"
)

// bootReserve is what /boot must have free for one more kernel: its image and symbols take 15 MiB, its initramfs 20 to 60,
// on a host with many drivers 100, and dracut needs room for a second copy of it for a moment.
const bootReserve = 200 << 20

// checkNewKernel finds what speaks against starting the kernel that the bundles bring. Roles of one host mostly bring the same.
func checkNewKernel(in *PreflightInput, _ *RoleInput) []Finding {
	var found []Finding
	seen := map[string]bool{}
	for i := range in.Roles {
		r := &in.Roles[i]
		k := r.Index.Kernel
		if k == nil || seen[k.Release] {
			continue
		}
		seen[k.Release] = true
		older := compareReleases(in.Facts.Kernel, k.Release) < 0
		switch {
		case r.Index.Cluster.Policy.KernelMode == kernelRequire && older:
			found = append(found, conflict("kernel-required", "this host runs kernel "+in.Facts.Kernel+", the cluster file requires "+k.Release, "/proc/sys/kernel/osrelease",
				"host.kernel.mode is require: the kernel is not upgraded here", "install kernel "+k.Release+" and boot it, or bring a bundle with host.kernel.mode: upgrade")...)
		case r.Index.Cluster.Policy.KernelMode != kernelUpgrade || !older || in.Facts.Boot == nil:
		case r.Kernel == kernelKept:
			found = append(found, warning("kernel-kept", "this host keeps kernel "+in.Facts.Kernel, "the bundle brings "+k.Release,
				"--kernel keep was given, now or earlier", command(in, nil, in.Want.IP)+" --kernel retry   (to upgrade it after all)")...)
		default:
			found = append(found, newKernelFindings(in, r)...)
		}
	}
	return found
}

// keepFix is the command that goes on without the new kernel.
func keepFix(in *PreflightInput) string { return command(in, nil, in.Want.IP) + " --kernel keep" }

// newKernelFindings look at everything that keeps a kernel from being installed and started.
func newKernelFindings(in *PreflightInput, r *RoleInput) []Finding {
	boot, k := in.Facts.Boot, r.Index.Kernel
	keep := keepFix(in) + "   (this host keeps kernel " + in.Facts.Kernel + ")"
	if boot.Config == "" {
		firmware := "/etc/grub2.cfg, " + grubBIOS
		if boot.EFI {
			firmware = "/etc/grub2-efi.cfg, " + grubEFI
		}
		return conflict("boot-loader", "no boot loader that this program knows: GRUB 2 with grubby", firmware,
			"it cannot make another kernel start here, and does not guess", keep)
	}
	var found []Finding
	if boot.SecureBoot {
		found = append(found, conflict("secure-boot", "Secure Boot is on", "the firmware's variable SecureBoot",
			"it starts no kernel that its keys do not sign, and "+k.Release+" is none of those", keep+", or turn Secure Boot off in the firmware")...)
	}
	for _, f := range boot.Foreign {
		found = append(found, conflict("foreign-module", "this host has kernel modules of its own: "+f, f,
			"they are made for kernel "+in.Facts.Kernel+": what needs them does not work on "+k.Release, keep)...)
	}
	found = append(found, driverFindings(in, r, keep)...)
	found = append(found, bootSpace(in, k)...)
	return append(found, bootOnceFinding(in, r)...)
}

// renamedDrivers are those whose module has another name in newer kernels.
func renamedDrivers() map[string]string {
	return map[string]string{"i40evf": "iavf", "mpt2sas": "mpt3sas"}
}

// driverFindings name the drivers of this host that the carried kernel has not got.
func driverFindings(in *PreflightInput, r *RoleInput, keep string) []Finding {
	var found []Finding
	missing := map[string][]string{}
	var order []string
	for _, d := range in.Facts.Boot.Drivers {
		if r.KernelModules[d.Module] || r.KernelModules[renamedDrivers()[d.Module]] {
			continue
		}
		if missing[d.Module] == nil {
			order = append(order, d.Module)
		}
		missing[d.Module] = append(missing[d.Module], d.For)
	}
	for _, module := range order {
		found = append(found, conflict("driver-missing", fmt.Sprintf("kernel %s has no driver %s", r.Index.Kernel.Release, module), strings.Join(missing[module], ", "),
			"the host works with it now: without it the new kernel does not find its disks or its network", keep)...)
	}
	return found
}

// bootSpace looks whether one more kernel fits into /boot.
func bootSpace(in *PreflightInput, k *bundle.Kernel) []Finding {
	there := true
	for _, name := range []string{vmlinuz(k.Release), initramfs(k.Release)} {
		_, ok := in.Facts.Files[name]
		there = there && ok
	}
	m, ok := mountOf(in.Facts, "/boot")
	if there || !ok || m.Free < 0 || m.Free >= bootReserve {
		return nil
	}
	return conflict("boot-space", fmt.Sprintf("%s has %s free, %s is needed for a kernel", m.Path, mib(m.Free), mib(bootReserve)), m.Path,
		"a kernel whose first file system does not fit does not start", "rpm -q kernel   (then rpm -e one that does not run: not kernel-"+in.Facts.Kernel+")")
}

// bootOnceFinding says that GRUB cannot try a kernel once. Somebody who stands in front of the host can: --reboot later
// leaves the default as it is, and the kernel is chosen in the menu.
func bootOnceFinding(in *PreflightInput, r *RoleInput) []Finding {
	boot, k := in.Facts.Boot, r.Index.Kernel
	if boot.NoOnce == "" {
		return nil
	}
	const what = "GRUB cannot start a kernel just once here"
	if in.Reboot == RebootLater || in.Reboot == RebootNever {
		return warning("boot-once", what, boot.NoOnce, "the default stays "+in.Facts.Kernel+" until "+k.Release+" has come up: at the next reboot somebody has to choose it in GRUB's menu",
			"systemctl reboot   (afterwards, at the console: choose the line with "+k.Release+")")
	}
	return conflict("boot-once", what, boot.NoOnce, "a new kernel that does not come up would be started again and again; with --reboot later it is installed, and somebody "+
		"at the console chooses it in GRUB's menu at the next reboot: one that does not come up is left behind by a power-cycle", command(in, nil, in.Want.IP)+" --reboot later")
}

// kernelComes reports whether one of the roles upgrades the kernel of this host.
func kernelComes(in *PreflightInput) bool {
	return slices.ContainsFunc(in.Roles, func(r RoleInput) bool { return r.Kernel != kernelKept && upgradesKernel(r.Index, in.Facts.Kernel) })
}
