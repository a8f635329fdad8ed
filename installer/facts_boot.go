package installer

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"offgrid/installer/host"
)

// BootFacts is what another kernel on the host depends on. It is looked at only where the bundle brings one.
type BootFacts struct {
	EFI        bool     `json:"efi"`
	SecureBoot bool     `json:"secureBoot"`
	Config     string   `json:"config"`   // GRUB's menu that this firmware reads; "" when there is none, or grubby is missing
	Env        string   `json:"env"`      // the file of GRUB's environment, links followed
	NoOnce     string   `json:"noOnce"`   // why GRUB cannot start an entry just once; "" when it can
	Foreign    []string `json:"foreign"`  // what brings modules of its own: "package kmod-megaraid", "/lib/modules/.../extra/x.ko"
	Drivers    []Driver `json:"drivers"`  // in use, sorted
	Watchdog   bool     `json:"watchdog"` // there is /dev/watchdog
}

// Driver is a module that this host works with.
type Driver struct {
	Module string `json:"module"` // as lsmod writes it: "virtio_net"
	For    string `json:"for"`    // "disk sda", "network interface eth0", "file system of /"
}

// Where GRUB's menu is, and the links by which el7 finds it.
const (
	grubBIOS     = "/boot/grub2/grub.cfg"
	grubBIOSLink = "/etc/grub2.cfg"
	grubEFI      = "/boot/efi/EFI/centos/grub.cfg"
	grubEFILink  = "/etc/grub2-efi.cfg"
	grubEnv      = "/boot/grub2/grubenv"
	secureBoot   = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
)

// boot looks at what a new kernel depends on.
func (g *gatherer) boot(f *Facts) *BootFacts {
	b := &BootFacts{}
	efi, err := host.Exists(g.h, "/sys/firmware/efi")
	b.EFI = err == nil && efi
	b.SecureBoot = b.EFI && g.secureBoot()
	b.Config, b.Env = g.grub(b.EFI)
	mounts := parseSources(g.file("/proc/mounts"))
	b.NoOnce = g.noOnce(b, mounts)
	b.Foreign = g.foreignModules(f)
	b.Drivers = g.drivers(mounts)
	there, err := host.Exists(g.h, "/dev/watchdog")
	b.Watchdog = err == nil && there
	return b
}

// secureBoot reads the firmware's variable: in efivars four bytes of attributes stand before its value.
func (g *gatherer) secureBoot() bool {
	if v := g.file("/sys/firmware/efi/efivars/" + secureBoot); len(v) >= 5 {
		return v[4] == 1
	}
	v := g.file("/sys/firmware/efi/vars/" + secureBoot + "/data")
	return len(v) > 0 && v[0] == 1
}

// grub finds the menu and the environment, "" without the programs that change them.
func (g *gatherer) grub(efi bool) (config, env string) {
	programs := g.commands([]string{"grubby", "grub2-editenv"})
	if !programs["grubby"] || !programs["grub2-editenv"] {
		return "", ""
	}
	names := []string{grubBIOSLink, grubBIOS}
	if efi {
		names = []string{grubEFILink, grubEFI}
	}
	for _, name := range names {
		real, err := followLinks(g.h, name)
		if err != nil {
			continue
		}
		if info, err := g.h.Lstat(real); err != nil || !info.Mode().IsRegular() {
			continue
		}
		if env, err = followLinks(g.h, grubEnv); err != nil {
			return "", ""
		}
		if info, err := g.h.Lstat(env); err != nil || !info.Mode().IsRegular() {
			return "", ""
		}
		return real, env
	}
	return "", ""
}

// source is where a mounted file system is: a device, and its type.
type source struct{ at, device, kind string }

func parseSources(mounts string) []source {
	var found []source
	for line := range strings.Lines(mounts) {
		if f := strings.Fields(line); len(f) >= 3 && strings.HasPrefix(f[1], "/") {
			found = append(found, source{at: unescapeMount(f[1]), device: unescapeMount(f[0]), kind: f[2]})
		}
	}
	return found
}

// sourceOf is the file system that a path is on: of several with the same place the last one counts.
func sourceOf(mounts []source, name string) source {
	var best source
	for _, m := range mounts {
		if (m.at == "/" || name == m.at || strings.HasPrefix(name, m.at+"/")) && len(m.at) >= len(best.at) {
			best = m
		}
	}
	return best
}

// noOnce says why GRUB cannot write its environment, which it has to: an entry that is to be started once stays the next
// one for ever otherwise. GRUB writes only to plain disks, and to file systems that it writes in place.
func (g *gatherer) noOnce(b *BootFacts, mounts []source) string {
	if b.Config == "" {
		return ""
	}
	if !strings.Contains(g.file(b.Config), "next_entry") {
		return b.Config + " does not ask for an entry that is to be started once"
	}
	m := sourceOf(mounts, b.Env)
	if !slices.Contains([]string{"ext2", "ext3", "ext4", "xfs", "vfat"}, m.kind) {
		return fmt.Sprintf("%s is on %s, a file system that GRUB does not write", b.Env, m.kind)
	}
	device, err := followLinks(g.h, m.device)
	if err != nil || !strings.HasPrefix(device, "/dev/") {
		return fmt.Sprintf("%s is on %s, which is no disk", b.Env, m.device)
	}
	for _, prefix := range []string{"/dev/mapper/", "/dev/dm-", "/dev/md"} {
		if strings.HasPrefix(device, prefix) || strings.HasPrefix(m.device, prefix) {
			return fmt.Sprintf("%s is on %s: GRUB does not write to LVM, RAID or an encrypted disk", b.Env, m.device)
		}
	}
	return ""
}

// foreignModules finds modules that did not come with the running kernel: the new one has not got them.
func (g *gatherer) foreignModules(f *Facts) []string {
	found := []string{}
	for name := range f.Packages {
		kmod := strings.HasPrefix(name, "kmod-") && name != "kmod-libs"
		if kmod || strings.HasPrefix(name, "akmod-") {
			found = append(found, "package "+name)
		}
	}
	for _, name := range g.names("/var/lib/dkms") {
		if info, err := g.h.Lstat("/var/lib/dkms/" + name); err == nil && info.IsDir() {
			found = append(found, "/var/lib/dkms/"+name)
		}
	}
	for _, dir := range []string{"extra", "updates", "weak-updates"} {
		found = append(found, g.modulesBelow(path.Join("/lib/modules", f.Kernel, dir), 6)...)
	}
	slices.Sort(found)
	return found
}

// modulesBelow lists files of modules in a directory and below, at most so deep. weak-updates are links.
func (g *gatherer) modulesBelow(dir string, depth int) []string {
	var found []string
	for _, name := range g.names(dir) {
		full := path.Join(dir, name)
		info, err := g.h.Lstat(full)
		switch {
		case err != nil:
		case info.IsDir() && depth > 0:
			found = append(found, g.modulesBelow(full, depth-1)...)
		case !info.IsDir() && strings.Contains(name, ".ko"):
			found = append(found, full)
		}
	}
	return found
}

// drivers are the modules behind disks, network interfaces and the file systems that a boot needs.
func (g *gatherer) drivers(mounts []source) []Driver {
	found := []Driver{}
	for class, what := range map[string]string{"/sys/block": "disk ", "/sys/class/net": "network interface "} {
		for _, name := range g.names(class) {
			for _, module := range g.deviceModules(path.Join(class, name)) {
				found = append(found, Driver{module, what + name})
			}
		}
	}
	for _, at := range []string{"/", "/boot", "/boot/efi", "/usr", "/var"} {
		if m := sourceOf(mounts, at); m.at == at && m.kind != "rootfs" {
			kind := m.kind
			if kind == "ext2" || kind == "ext3" {
				kind = "ext4" // which reads them, too
			}
			found = append(found, Driver{kind, "file system of " + at})
		}
	}
	slices.SortFunc(found, func(a, b Driver) int { return strings.Compare(a.Module+"\x00"+a.For, b.Module+"\x00"+b.For) })
	return slices.Compact(found)
}

// deviceModules are the modules that a device and the buses above it are driven by. What is built into the running kernel has
// none: its name says nothing about the other one.
func (g *gatherer) deviceModules(link string) []string {
	target, err := g.h.Readlink(link)
	if err != nil {
		return nil
	}
	device := path.Join(path.Dir(link), target)
	if strings.HasPrefix(device, "/sys/devices/virtual/") {
		return g.virtualModules(link)
	}
	var found []string
	for dir := device; strings.HasPrefix(dir, "/sys/devices/"); dir = path.Dir(dir) {
		if module, err := g.h.Readlink(path.Join(dir, "driver/module")); err == nil {
			found = append(found, strings.ReplaceAll(path.Base(module), "-", "_"))
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// virtualModules are the modules behind devices that are made of others.
func (g *gatherer) virtualModules(link string) []string {
	name := path.Base(link)
	switch {
	case strings.HasPrefix(name, "dm-"):
		return []string{"dm_mod"}
	case strings.HasPrefix(name, "md"):
		level := strings.TrimSpace(g.file(link + "/md/level"))
		if module, ok := map[string]string{"raid0": "raid0", "raid1": "raid1", "raid10": "raid10", "raid4": "raid456", "raid5": "raid456", "raid6": "raid456"}[level]; ok {
			return []string{module}
		}
	case strings.HasPrefix(link, "/sys/class/net/"):
		for line := range strings.Lines(g.file(link + "/uevent")) {
			kind, _ := strings.CutPrefix(strings.TrimSpace(line), "DEVTYPE=")
			if module, ok := map[string]string{"bond": "bonding", "vlan": "8021q"}[kind]; ok {
				return []string{module}
			}
		}
	}
	return nil
}
