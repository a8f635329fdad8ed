package installer

import (
	"testing"

	"offgrid/bundle"
)

const (
	pfOldKernel = "3.10.0-1160.el7.x86_64"
	pfNewKernel = "5.4.278-1.el7.elrepo.x86_64"
)

// pfKernel makes the input's bundle bring a kernel to a host that could take it.
func pfKernel(in *PreflightInput, change func(b *BootFacts)) {
	r := &in.Roles[0]
	r.Index.Kernel = &bundle.Kernel{Release: pfNewKernel, Packages: []bundle.Package{{Name: "kernel-lt", Artifact: "kernel-lt.rpm"}}, Modules: "kernel/modules"}
	r.Index.Artifacts = append(r.Index.Artifacts, bundle.Artifact{Name: "kernel-lt.rpm", Kind: bundle.KindPackage, Blob: bundle.Blob{Size: 50 << 20}})
	r.Index.Cluster.Policy.KernelMode = "upgrade"
	r.KernelModules = map[string]bool{"sd_mod": true, "virtio_net": true, "mpt3sas": true, "xfs": true}
	in.Facts.Kernel = pfOldKernel
	in.Facts.Boot = &BootFacts{Config: grubBIOS, Env: grubEnv, Drivers: []Driver{{"sd_mod", "disk sda"}, {"xfs", "file system of /"}}}
	if change != nil {
		change(in.Facts.Boot)
	}
}

func kernelCases() []preflightCase {
	upgrade := func(change func(b *BootFacts)) func(*testing.T, *pfCA, *PreflightInput) {
		return func(_ *testing.T, _ *pfCA, in *PreflightInput) { pfKernel(in, change) }
	}
	const keep = "./install --role node --ip 20.0.0.103 --kernel keep   (this host keeps kernel 3.10.0-1160.el7.x86_64)"
	const lvm = "/boot/grub2/grubenv is on /dev/mapper/centos-boot: GRUB does not write to LVM, RAID or an encrypted disk"
	return []preflightCase{
		{name: "a kernel that can come", role: "node", make: upgrade(nil)},
		{name: "a kernel that runs already", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			pfKernel(in, func(b *BootFacts) { b.Config, b.SecureBoot = "", true })
			in.Facts.Kernel = pfNewKernel
		}},
		{name: "a newer kernel runs", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			pfKernel(in, func(b *BootFacts) { b.Config = "" })
			in.Facts.Kernel = "5.15.0-1.el7.elrepo.x86_64"
		}},
		{name: "a kernel that is required", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			pfKernel(in, nil)
			in.Roles[0].Index.Cluster.Policy.KernelMode = "require"
		}, want: []string{"kernel-required", "old-kernel"}, text: "requires 5.4.278"},
		{name: "a kernel that is skipped", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			pfKernel(in, func(b *BootFacts) { b.SecureBoot = true })
			in.Roles[0].Index.Cluster.Policy.KernelMode = "skip"
		}, want: []string{"old-kernel"}},
		{name: "another boot loader", role: "node", make: upgrade(func(b *BootFacts) { b.Config, b.SecureBoot = "", true }), want: []string{"boot-loader"},
			text: "GRUB 2 with grubby", fix: keep},
		{name: "another boot loader, and the kernel is kept", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			pfKernel(in, func(b *BootFacts) { b.Config = "" })
			in.Roles[0].Kernel = kernelKept
		}, want: []string{"kernel-kept", "old-kernel"}},
		{name: "Secure Boot", role: "node", make: upgrade(func(b *BootFacts) { b.EFI, b.SecureBoot = true, true }), want: []string{"secure-boot"}},
		{name: "modules from elsewhere", role: "node", make: upgrade(func(b *BootFacts) { b.Foreign = []string{"package kmod-megaraid_sas"} }),
			want: []string{"foreign-module"}, text: "package kmod-megaraid_sas", fix: keep},
		{name: "a disk without a driver", role: "node", make: upgrade(func(b *BootFacts) {
			b.Drivers = append(b.Drivers, Driver{"cciss", "disk cciss!c0d0"}, Driver{"cciss", "disk cciss!c0d1"}, Driver{"mpt2sas", "disk sdb"})
		}), want: []string{"driver-missing"}, text: "has no driver cciss disk cciss!c0d0, disk cciss!c0d1", fix: keep},
		{name: "no room in /boot", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			pfKernel(in, nil)
			in.Facts.Mounts[1].Free = 90 << 20
		}, want: []string{"boot-space"}, text: "/boot has 90 MiB free, 200 MiB is needed for a kernel"},
		{name: "no room in /boot, and the kernel is in it", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			pfKernel(in, nil)
			in.Facts.Mounts[1].Free = 90 << 20
			in.Facts.Files[vmlinuz(pfNewKernel)], in.Facts.Files[initramfs(pfNewKernel)] = 8<<20, 30<<20
		}},
		{name: "GRUB cannot write", role: "node", make: upgrade(func(b *BootFacts) { b.NoOnce = lvm }), want: []string{"boot-once"}, text: "/dev/mapper/centos-boot",
			fix: "./install --role node --ip 20.0.0.103 --reboot later"},
		{name: "GRUB cannot write, and somebody chooses by hand", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			pfKernel(in, func(b *BootFacts) { b.NoOnce = lvm })
			in.Reboot = RebootLater
		}, want: []string{"boot-once"}, text: "somebody has to choose it in GRUB's menu"},
	}
}
