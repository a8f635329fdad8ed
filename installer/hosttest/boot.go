package hosttest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"offgrid/installer/host"
)

// Where the fake machine keeps its kernels and GRUB.
const (
	GRUBMenu = "/boot/grub2/grub.cfg"
	GRUBEnv  = "/boot/grub2/grubenv"
	// OldKernel is the kernel of a new host.
	OldKernel = "3.10.0-1160.el7.x86_64"

	osrelease = "/proc/sys/kernel/osrelease"
	bootID    = "/proc/sys/kernel/random/boot_id"
)

// GRUB gives a host a boot loader, and its kernel files of its own.
func (h *Host) GRUB(t testing.TB) {
	t.Helper()
	for name, text := range map[string]string{
		"/usr/sbin/grubby": "", "/usr/bin/grub2-editenv": "", "/etc/sysconfig/kernel": "UPDATEDEFAULT=yes\nDEFAULTKERNEL=kernel\n",
		GRUBMenu:                     "if [ \"${next_entry}\" ] ; then\n   set default=\"${next_entry}\"\nelse\n   set default=\"${saved_entry}\"\nfi\n" + entry(OldKernel),
		GRUBEnv:                      "# GRUB Environment Block\nsaved_entry=" + title(OldKernel) + "\n###\n",
		"/boot/vmlinuz-" + OldKernel: "a kernel", "/boot/initramfs-" + OldKernel + ".img": Initramfs(), bootID: "boot-1\n",
		"/lib/modules/" + OldKernel + "/": "",
	} {
		h.Put(t, name, text)
	}
	must(t, "making GRUB", h.link("../boot/grub2/grub.cfg", "/etc/grub2.cfg"))
	old := Package{Name: "kernel", EVR: strings.TrimSuffix(OldKernel, ".x86_64"), Arch: "x86_64", Kernel: OldKernel}
	h.Put(t, rpmDB+old.key(), old.File())
}

func title(release string) string { return "CentOS Linux (" + release + ") 7 (Core)" }

func entry(release string) string {
	return fmt.Sprintf("menuentry '%s' --class centos {\n\tlinux16 /vmlinuz-%s root=/dev/mapper/centos-root ro quiet\n\tinitrd16 /initramfs-%s.img\n}\n", title(release), release, release)
}

// Initramfs is a small one that is whole.
func Initramfs() string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte("the first file system of a kernel\n"))
	_ = z.Close()
	return b.String()
}

// placeKernel is what a kernel's scripts do: the boot entry comes long before the initramfs.
func (h *Host) placeKernel(p Package) []func() error {
	release := p.Kernel
	put := func(name, text string) func() error {
		return func() error { return h.put(name, []byte(text), host.Meta{Mode: 0o644}) }
	}
	steps := []func() error{put("/boot/vmlinuz-"+release, "a kernel")}
	if h.Get(GRUBMenu) != "" && !strings.Contains(h.Get(GRUBMenu), "'"+title(release)+"'") {
		head, rest, _ := strings.Cut(h.Get(GRUBMenu), "menuentry ")
		steps = append(steps, put(GRUBMenu, head+entry(release)+"menuentry "+rest))
	}
	if conf := h.Get("/etc/sysconfig/kernel"); strings.Contains(conf, "UPDATEDEFAULT=yes\n") && strings.Contains(conf, "DEFAULTKERNEL="+p.Name+"\n") {
		steps = append(steps, func() error {
			return h.put(GRUBEnv, []byte(h.withEnv("saved_entry", title(release))), host.Meta{Mode: 0o644})
		})
	}
	if !h.BootFull {
		steps = append(steps, put("/boot/initramfs-"+release+".img", Initramfs()))
	}
	return steps
}

// dropKernel removes a kernel and its entry.
func (h *Host) dropKernel(release string) error {
	for _, name := range []string{"/boot/vmlinuz-" + release, "/boot/initramfs-" + release + ".img"} {
		if err := h.drop(name); err != nil {
			return err
		}
	}
	var kept strings.Builder
	for i, block := range strings.Split(h.Get(GRUBMenu), "menuentry ") {
		if i > 0 && !strings.Contains(block, "'"+title(release)+"'") {
			kept.WriteString("menuentry ")
		}
		if i == 0 || !strings.Contains(block, "'"+title(release)+"'") {
			kept.WriteString(block)
		}
	}
	return h.put(GRUBMenu, []byte(kept.String()), host.Meta{Mode: 0o644})
}

// env is a value of GRUB's environment.
func (h *Host) env(key string) string {
	for line := range strings.Lines(h.Get(GRUBEnv)) {
		if value, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), key+"="); ok {
			return value
		}
	}
	return ""
}

// withEnv is GRUB's environment with another value; "" removes it.
func (h *Host) withEnv(key, value string) string {
	var out strings.Builder
	for line := range strings.Lines(h.Get(GRUBEnv)) {
		if strings.HasPrefix(line, "###") && value != "" {
			fmt.Fprintf(&out, "%s=%s\n", key, value)
		}
		if !strings.HasPrefix(line, key+"=") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// grub2Editenv knows set and unset of one value.
func (h *Host) grub2Editenv(_ string, argv []string) (string, error) {
	if len(argv) != 4 || argv[1] != GRUBEnv || argv[2] != "set" && argv[2] != "unset" {
		return "", Exit(argv, 1, "", "grub2-editenv: the fake knows FILE set NAME=VALUE and FILE unset NAME")
	}
	key, value, _ := strings.Cut(argv[3], "=")
	return "", h.set(GRUBEnv, h.withEnv(key, value))
}

// kernelArgs are the arguments of a kernel's entry, and the line they stand in.
func (h *Host) kernelArgs(release string) (line string, args []string) {
	for l := range strings.Lines(h.Get(GRUBMenu)) {
		if f := strings.Fields(l); len(f) > 1 && f[0] == "linux16" && f[1] == "/vmlinuz-"+release {
			return l, f[2:]
		}
	}
	return "", nil
}

// grubby is 8.28's, as far as it is used.
func (h *Host) grubby(_ string, argv []string) (string, error) {
	option, value, _ := strings.Cut(argv[1], "=")
	release := strings.TrimPrefix(value, "/boot/vmlinuz-")
	if option == "--default-kernel" {
		_, rest, _ := strings.Cut(h.env("saved_entry"), "(")
		release, _, _ = strings.Cut(rest, ")")
		return "/boot/vmlinuz-" + release + "\n", nil
	}
	line, args := h.kernelArgs(release)
	if line == "" {
		return "", Exit(argv, 1, "", "grubby: kernel not found")
	}
	switch {
	case option == "--info":
		return fmt.Sprintf("index=0\nkernel=/boot/vmlinuz-%s\nargs=\"%s\"\nroot=%s\ninitrd=/boot/initramfs-%s.img\ntitle=%s\n", release,
			strings.Join(args[1:], " "), strings.TrimPrefix(args[0], "root="), release, title(release)), nil
	case option == "--set-default":
		return "", h.set(GRUBEnv, h.withEnv("saved_entry", title(release)))
	case option == "--update-kernel" && len(argv) == 3:
		what, list, _ := strings.Cut(argv[2], "=")
		for _, a := range strings.Fields(list) {
			key, _, _ := strings.Cut(a, "=")
			args = slices.DeleteFunc(args, func(b string) bool { return b == key || strings.HasPrefix(b, key+"=") })
			if what == "--args" {
				args = append(args, a)
			}
		}
		return "", h.set(GRUBMenu, strings.Replace(h.Get(GRUBMenu), line, "\tlinux16 /vmlinuz-"+release+" "+strings.Join(args, " ")+"\n", 1))
	}
	return "", Exit(argv, 1, "", "grubby: the fake does not know "+argv[1])
}

// bootKernel is what GRUB does: the entry that is to be started once is forgotten first. A kernel that panics starts the
// machine anew, but only with the arguments for it; without them it stands still until somebody cuts its power.
func (h *Host) bootKernel(t testing.TB) {
	t.Helper()
	if h.Get(GRUBEnv) == "" {
		return
	}
	for range 3 {
		chosen := h.env("saved_entry")
		if next := h.env("next_entry"); next != "" {
			chosen = next
			if !h.EnvReadOnly {
				h.replace(t, GRUBEnv, h.withEnv("next_entry", ""))
			}
		}
		_, rest, _ := strings.Cut(chosen, "(")
		release, _, _ := strings.Cut(rest, ")")
		h.Boots = append(h.Boots, release)
		h.replace(t, bootID, fmt.Sprintf("boot-%d\n", len(h.Boots)+1))
		if h.Panics[release] {
			continue
		}
		if info, err := os.Stat(h.real("/boot/initramfs-"+release+".img", true)); err != nil || info.Size() == 0 {
			continue
		}
		h.replace(t, osrelease, release+"\n")
		return
	}
	t.Fatalf("the host does not start: %q", h.Boots)
}

// replace is Put for a file that a copy of the host may have, too.
func (h *Host) replace(t testing.TB, name, text string) {
	t.Helper()
	must(t, "starting the host", h.put(name, []byte(text), host.Meta{Mode: 0o644}))
}

// Choose makes the next boot start a kernel, as somebody does who chooses it in GRUB's menu.
func (h *Host) Choose(t testing.TB, release string) {
	t.Helper()
	h.Put(t, GRUBEnv, h.withEnv("next_entry", title(release)))
}

// Chain makes a device of a class with the drivers of it and of the buses above it, the nearest first.
func (h *Host) Chain(t testing.TB, link string, modules ...string) {
	t.Helper()
	dir := "/sys/devices/pci0000:00"
	for i := len(modules) - 1; i >= 0; i-- {
		dir += fmt.Sprintf("/%d-%s", i, path.Base(link))
		h.Put(t, dir+"/driver/", "")
		must(t, "making a device", h.link("../../../../module/"+modules[i], dir+"/driver/module"))
	}
	dir += "/" + path.Base(link)
	h.Put(t, dir+"/", "")
	h.Put(t, path.Dir(link)+"/", "")
	must(t, "making a device", h.link(strings.Repeat("../", strings.Count(path.Dir(link), "/"))+dir[1:], link))
}
