package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const grubCfg = `if [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
else
   set default="${saved_entry}"
fi
menuentry 'CentOS Linux (3.10.0-1160.el7.x86_64) 7 (Core)' --class centos --unrestricted $menuentry_id_option 'gnulinux-3.10.0-1160.el7.x86_64-advanced' {
	set root='hd0,msdos1'
	linux16 /vmlinuz-3.10.0-1160.el7.x86_64 root=/dev/mapper/centos-root ro rhgb quiet
	initrd16 /initramfs-3.10.0-1160.el7.x86_64.img
}
menuentry 'Another system' {
	chainloader +1
}
`

const (
	oldKernel = "/boot/vmlinuz-3.10.0-1160.el7.x86_64"
	newKernel = "/boot/vmlinuz-5.4.278-1.el7.elrepo.x86_64"
	newTitle  = "CentOS Linux (5.4.278-1.el7.elrepo.x86_64) 7 (Core)"
)

// fixture is a host with both kernels' files, grub.cfg and grubenv.
func fixture(t *testing.T, env string) (machine, *bytes.Buffer) {
	t.Helper()
	root, out := t.TempDir(), new(bytes.Buffer)
	m := machine{root: root, stdout: out}
	m.setenv = func(file, assignment string) error {
		all, err := environment(file)
		if err != nil {
			return err
		}
		key, value, _ := strings.Cut(assignment, "=")
		all[key] = value
		writeEnv(t, file, "saved_entry="+all["saved_entry"]+"\nnext_entry="+all["next_entry"]+"\n")
		return nil
	}
	for _, name := range []string{oldKernel, newKernel} {
		write(t, filepath.Join(root, name), "a kernel")
	}
	write(t, filepath.Join(root, "boot/grub2/grub.cfg"), grubCfg)
	writeEnv(t, m.environment(), env)
	return m, out
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func writeEnv(t *testing.T, file, lines string) {
	t.Helper()
	text := "# GRUB Environment Block\n" + lines
	write(t, file, text+strings.Repeat("#", 1024-len(text)))
}

// says runs a program and returns what it printed.
func says(t *testing.T, m machine, out *bytes.Buffer, name string, args ...string) string {
	t.Helper()
	out.Reset()
	if err := m.run(name, args); err != nil {
		t.Fatalf("%s %q: %v", name, args, err)
	}
	return out.String()
}

func TestANewKernelGetsAnEntryBeforeTheOthersAndTheDefaultStays(t *testing.T) {
	m, out := fixture(t, "saved_entry=CentOS Linux (3.10.0-1160.el7.x86_64) 7 (Core)\n")
	says(t, m, out, "grubby", "--add-kernel="+newKernel, "--copy-default", "--title", newTitle, "--args=LANG=C")
	want := `index=0
kernel=/boot/vmlinuz-5.4.278-1.el7.elrepo.x86_64
args="ro rhgb quiet LANG=C"
root=/dev/mapper/centos-root
title=CentOS Linux (5.4.278-1.el7.elrepo.x86_64) 7 (Core)
`
	if got := says(t, m, out, "grubby", "--info="+newKernel); got != want {
		t.Errorf("the entry before it has an initramfs:\n%s\nwant\n%s", got, want)
	}
	says(t, m, out, "grubby", "--update-kernel="+newKernel, "--initrd", "/boot/initramfs-5.4.278-1.el7.elrepo.x86_64.img")
	if got := says(t, m, out, "grubby", "--info", newKernel); !strings.Contains(got, "\ninitrd=/boot/initramfs-5.4.278-1.el7.elrepo.x86_64.img\n") {
		t.Errorf("the entry has no initramfs:\n%s", got)
	}
	if got := says(t, m, out, "grubby", "--default-kernel"); got != oldKernel+"\n" {
		t.Errorf("the default kernel is %q", got)
	}
	cfg, err := os.ReadFile(m.config())
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"\nmenuentry '" + newTitle + "' --class centos --unrestricted $menuentry_id_option 'gnulinux-5.4.278-1.el7.elrepo.x86_64-advanced' {\n",
		"\n\tinitrd16 /initramfs-5.4.278-1.el7.elrepo.x86_64.img\n",
	} {
		if !strings.Contains(string(cfg), line) {
			t.Errorf("grub.cfg has not %q:\n%s", line, cfg)
		}
	}
}

func TestArgumentsComeAndGoByTheirNames(t *testing.T) {
	m, out := fixture(t, "")
	says(t, m, out, "grubby", "--update-kernel="+oldKernel, "--args=panic=30 quiet rd.shell=0")
	if got := says(t, m, out, "grubby", "--info="+oldKernel); !strings.Contains(got, `args="ro rhgb panic=30 quiet rd.shell=0"`) {
		t.Errorf("after three came:\n%s", got)
	}
	says(t, m, out, "grubby", "--update-kernel="+oldKernel, "--remove-args=panic rd.shell=0")
	if got := says(t, m, out, "grubby", "--info="+oldKernel); !strings.Contains(got, `args="ro rhgb quiet"`) {
		t.Errorf("after two went:\n%s", got)
	}
}

func TestTheSavedEntryIsBootedUntilAnotherIsToBeBootedOnce(t *testing.T) {
	m, out := fixture(t, "saved_entry=CentOS Linux (3.10.0-1160.el7.x86_64) 7 (Core)\n")
	says(t, m, out, "grubby", "--add-kernel="+newKernel, "--title="+newTitle)
	if err := m.setenv(m.environment(), "next_entry="+newTitle); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"5.4.278-1.el7.elrepo.x86_64\t", "3.10.0-1160.el7.x86_64\t", "3.10.0-1160.el7.x86_64\t"} {
		if got := says(t, m, out, "boot", "choose"); !strings.HasPrefix(got, want) {
			t.Errorf("boot %d is of %q, want %q", i+1, got, want)
		}
	}
	says(t, m, out, "grubby", "--set-default="+newKernel)
	if got := says(t, m, out, "boot", "choose"); got != "5.4.278-1.el7.elrepo.x86_64\troot=/dev/mapper/centos-root ro rhgb quiet\n" {
		t.Errorf("after the default was changed it is %q", got)
	}
}

func TestAKernelThatIsNotInTheMenuIsNotFound(t *testing.T) {
	m, _ := fixture(t, "")
	for _, args := range [][]string{{"--info=/boot/vmlinuz-4"}, {"--set-default=/boot/vmlinuz-4"}, {"--update-kernel=/boot/vmlinuz-4", "--args=a"}} {
		if err := m.run("grubby", args); err == nil || err.Error() != "grubby: kernel not found" {
			t.Errorf("grubby %q says %v", args, err)
		}
	}
}

func TestARemovedKernelLeavesTheOtherEntriesAsTheyWere(t *testing.T) {
	m, out := fixture(t, "")
	says(t, m, out, "grubby", "--add-kernel="+newKernel, "--title="+newTitle)
	says(t, m, out, "grubby", "--remove-kernel="+newKernel)
	if got, err := os.ReadFile(m.config()); err != nil || string(got) != grubCfg {
		t.Errorf("grub.cfg is (%v)\n%s\nwant\n%s", err, got, grubCfg)
	}
}

func TestADamagedEnvironmentIsSaid(t *testing.T) {
	m, _ := fixture(t, "")
	write(t, m.environment(), "# GRUB Environment Block\nsaved_entry=0\n")
	if err := m.run("boot", []string{"choose"}); err == nil || !strings.Contains(err.Error(), "block of 1024 bytes") {
		t.Errorf("it says %v", err)
	}
}
