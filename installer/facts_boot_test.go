package installer

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"slices"
	"strings"
	"testing"

	"offgrid/installer/hosttest"
)

// bootHost is a host with GRUB, a disk behind two buses and a network interface.
func bootHost(t *testing.T) *hosttest.Host {
	t.Helper()
	h := busyHost(t)
	h.GRUB(t)
	h.Put(t, "/proc/mounts", "rootfs / rootfs rw 0 0\n/dev/mapper/centos-root / xfs rw 0 0\n/dev/sda1 /boot ext3 rw 0 0\n")
	h.Chain(t, "/sys/block/sda", "sd_mod", "ahci")
	h.Chain(t, "/sys/class/net/ens192", "virtio-net", "virtio_pci")
	h.Put(t, "/sys/devices/virtual/block/dm-0/", "")
	for link, target := range map[string]string{"/sys/block/dm-0": "../devices/virtual/block/dm-0", "/sys/class/net/lo": "../../devices/virtual/net/lo"} {
		if err := h.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func bootFacts(t *testing.T, h *hosttest.Host) *BootFacts {
	t.Helper()
	g := &gatherer{ctx: t.Context(), h: h}
	return g.boot(&Facts{Kernel: hosttest.OldKernel, Packages: parsePackages(g.run("rpm", "-qa", "--qf", packageQuery))})
}

func TestDriversAreThoseOfDisksNetworkAndFileSystemsWithTheBusesAboveThem(t *testing.T) {
	want := []Driver{{"ahci", "disk sda"}, {"dm_mod", "disk dm-0"}, {"ext4", "file system of /boot"}, {"sd_mod", "disk sda"}, {"virtio_net", "network interface ens192"},
		{"virtio_pci", "network interface ens192"}, {"xfs", "file system of /"}}
	if got := bootFacts(t, bootHost(t)).Drivers; !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestGRUBIsFoundWhereTheFirmwareReadsIt(t *testing.T) {
	h := bootHost(t)
	if b := bootFacts(t, h); b.EFI || b.Config != "/boot/grub2/grub.cfg" || b.Env != "/boot/grub2/grubenv" || b.NoOnce != "" || b.SecureBoot || len(b.Foreign) != 0 {
		t.Errorf("with a BIOS: %+v", b)
	}
	h.Put(t, "/sys/firmware/efi/efivars/"+secureBoot, "\x06\x00\x00\x00\x01")
	if b := bootFacts(t, h); !b.EFI || !b.SecureBoot || b.Config != "" {
		t.Errorf("with EFI, and a menu that only a BIOS reads: %+v", b)
	}
	h.Put(t, "/sys/firmware/efi/efivars/"+secureBoot, "\x06\x00\x00\x00\x00")
	h.Put(t, "/boot/efi/EFI/centos/grub.cfg", h.Get(hosttest.GRUBMenu))
	h.Put(t, "/boot/efi/EFI/centos/grubenv", h.Get(hosttest.GRUBEnv))
	h.Put(t, "/proc/mounts", "/dev/sda3 / xfs rw 0 0\n/dev/sda2 /boot xfs rw 0 0\n/dev/sda1 /boot/efi vfat rw 0 0\n")
	if err := h.Symlink("../efi/EFI/centos/grubenv", "/boot/grub2/grubenv"); err != nil {
		t.Fatal(err)
	}
	if b := bootFacts(t, h); b.SecureBoot || b.Config != "/boot/efi/EFI/centos/grub.cfg" || b.Env != "/boot/efi/EFI/centos/grubenv" || b.NoOnce != "" {
		t.Errorf("with EFI: %+v", b)
	}
	if err := h.Remove("/usr/sbin/grubby"); err != nil {
		t.Fatal(err)
	}
	if b := bootFacts(t, h); b.Config != "" {
		t.Errorf("without grubby: %+v", b)
	}
}

func TestGRUBCannotStartAnEntryOnceWhereItCannotWrite(t *testing.T) {
	for mount, want := range map[string]string{
		"/dev/sda1 /boot ext4":              "",
		"/dev/nvme0n1p1 /boot xfs":          "",
		"/dev/md127 /boot xfs":              "/dev/md127: GRUB does not write to LVM, RAID or an encrypted disk",
		"/dev/mapper/centos-boot /boot xfs": "/dev/mapper/centos-boot: GRUB does not write",
		"/dev/centos/boot /boot ext4":       "/dev/centos/boot: GRUB does not write",
		"/dev/sda1 /boot btrfs":             "on btrfs, a file system that GRUB does not write",
		"overlay /boot overlay":             "on overlay",
		"/dev/mapper/centos-root / xfs":     "/dev/mapper/centos-root",
		"server:/export /boot ext4":         "which is no disk",
	} {
		h := bootHost(t)
		h.Put(t, "/proc/mounts", mount+" rw 0 0\n")
		h.Put(t, "/dev/dm-1", "")
		h.Put(t, "/dev/centos/", "")
		if err := h.Symlink("../dm-1", "/dev/centos/boot"); err != nil {
			t.Fatal(err)
		}
		if got := bootFacts(t, h).NoOnce; (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", mount, got, want)
		}
	}
	h := bootHost(t)
	h.Put(t, hosttest.GRUBMenu, "menuentry 'x' {\n}\n")
	if got := bootFacts(t, h).NoOnce; !strings.Contains(got, "does not ask for an entry that is to be started once") {
		t.Errorf("a menu without it: %q", got)
	}
}

func TestModulesFromElsewhereAreFoundWhereverTheyCameFrom(t *testing.T) {
	h := bootHost(t)
	h.Put(t, "/var/lib/rpm/hosttest/kmod-libs.x86_64", hosttest.Package{Name: "kmod-libs", EVR: "20-28.el7", Arch: "x86_64"}.File())
	h.Put(t, "/var/lib/rpm/hosttest/kmod-hpsa.x86_64", hosttest.Package{Name: "kmod-hpsa", EVR: "3.4-1.el7", Arch: "x86_64"}.File())
	h.Put(t, "/var/lib/dkms/nvidia/source", "")
	h.Put(t, "/lib/modules/"+hosttest.OldKernel+"/extra/hpsa/hpsa.ko.xz", "")
	h.Put(t, "/lib/modules/"+hosttest.OldKernel+"/weak-updates/", "")
	want := []string{"/lib/modules/3.10.0-1160.el7.x86_64/extra/hpsa/hpsa.ko.xz", "/var/lib/dkms/nvidia", "package kmod-hpsa"}
	if got := bootFacts(t, h).Foreign; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// cpio is one entry of an archive of the kind "newc".
func cpio(name, content string) string {
	s := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00", 1, 0, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
	for len(s)%4 != 0 {
		s += "\x00"
	}
	s += content
	for len(s)%4 != 0 {
		s += "\x00"
	}
	return s
}

func TestAnInitramfsIsReadToItsEnd(t *testing.T) {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	fmt.Fprint(w, strings.Repeat("a file system ", 1000))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	early := cpio("kernel/x86/microcode/GenuineIntel.bin", "microcode") + cpio("TRAILER!!!", "")
	for name, c := range map[string]struct{ data, want string }{
		"gzip":                        {z.String(), ""},
		"gzip behind microcode":       {early + strings.Repeat("\x00", 200) + z.String(), ""},
		"gzip that was cut":           {z.String()[:z.Len()-4], "EOF"},
		"cut behind microcode":        {early + z.String()[:z.Len()/2], "EOF"},
		"microcode that was cut":      {early[:150], "middle of an archive"},
		"only an archive":             {early, ""},
		"xz":                          {"\xfd7zXZ\x00 and more", ""},
		"empty":                       {"", "it is empty"},
		"zeros, as after a power cut": {strings.Repeat("\x00", 4096), "does not begin as one"},
	} {
		err := checkInitramfs(strings.NewReader(c.data))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func FuzzAnInitramfsNeverEndsTheInstaller(f *testing.F) {
	f.Add([]byte(cpio("a", "b") + cpio("TRAILER!!!", "")))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(_ *testing.T, data []byte) { _ = checkInitramfs(bytes.NewReader(data)) })
}

func TestTheEntryOfAKernelIsFoundByItsFileAndNotTheOneForDebugging(t *testing.T) {
	h := bootHost(t)
	h.Script("grubby --info=/boot/vmlinuz-5", hosttest.Says("index=0\nkernel=/boot/vmlinuz-5\nargs=\"ro\"\ntitle=CentOS Linux (5) 7 (Core) with debugging\n"+
		"index=2\nkernel=/boot/vmlinuz-5\nargs=\"ro quiet crashkernel=auto\"\nroot=/dev/mapper/centos-root\ninitrd=/boot/initramfs-5.img\ntitle=CentOS Linux (5) 7 (Core)\n"))
	e, err := findEntry(t.Context(), h, "5")
	if err != nil || e.title != "CentOS Linux (5) 7 (Core)" || !slices.Equal(e.args, []string{"ro", "quiet", "crashkernel=auto"}) {
		t.Errorf("found %+v, %v", e, err)
	}
	h.Script("grubby --info=/boot/vmlinuz-"+pfNewKernel, hosttest.Says("index=0\nkernel=/boot/vmlinuz-"+pfNewKernel+"\nargs=\"ro\"\ntitle=CentOS Linux ("+pfNewKernel+") 7 (Core)\n"))
	h.Put(t, "/boot/vmlinuz-"+pfNewKernel, "a kernel")
	h.Put(t, "/boot/initramfs-"+pfNewKernel+".img", hosttest.Initramfs())
	h.Put(t, "/boot/grub2/grub.cfg", "menuentry 'CentOS Linux ("+pfNewKernel+") 7 (Core)' {\n")
	bare := &BootOnceStep{Release: pfNewKernel, Config: hosttest.GRUBMenu, Env: hosttest.GRUBEnv}
	if _, err := bare.ready(t.Context(), h); err == nil || !strings.Contains(err.Error(), "names no initramfs") {
		t.Errorf("an entry without an initramfs: %v", err)
	}
	if _, err := findEntry(t.Context(), h, "6"); err == nil || !strings.Contains(err.Error(), "kernel not found") {
		t.Errorf("a kernel without an entry: %v", err)
	}
	once := &BootOnceStep{Release: "5", Config: hosttest.GRUBMenu}
	h.Put(t, hosttest.GRUBMenu, "submenu 'Advanced' {\n\tmenuentry 'CentOS Linux (5) 7 (Core)' {\n")
	if err := once.atTop(h, e.title); err == nil || !strings.Contains(err.Error(), "has 0 entries") {
		t.Errorf("an entry in a submenu: %v", err)
	}
}

func TestTheBootAfterATrialIsTheOldKernelsWhateverTheDefaultWas(t *testing.T) {
	step := &BootOnceStep{Release: pfNewKernel, Config: hosttest.GRUBMenu, Env: hosttest.GRUBEnv}
	h := newKernelHost(t)
	h.Put(t, "/proc/sys/kernel/osrelease", hosttest.OldKernel+"\n")
	if _, err := h.Run(t.Context(), nil, "grubby", "--set-default="+vmlinuz(pfNewKernel)); err != nil {
		t.Fatal(err)
	}
	h.Put(t, StateDir+"/", "")
	must(t, step.Do(t.Context(), h))
	if got, err := defaultKernel(t.Context(), h); err != nil || got != vmlinuz(hosttest.OldKernel) {
		t.Errorf("the default is %s, %v", got, err)
	}
	if err := h.Remove(vmlinuz(hosttest.OldKernel)); err != nil {
		t.Fatal(err)
	}
	if err := step.Do(t.Context(), h); err == nil || !strings.Contains(err.Error(), "there is no kernel to come back to") {
		t.Errorf("without another kernel: %v", err)
	}
}
