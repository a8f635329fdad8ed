package installer

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// Answers to "start this host anew now?".
const (
	RebootNow   = "now"   // as soon as everything before it is done
	RebootLater = "later" // the next boot, whoever brings it about, tries the new kernel once
	RebootNever = "never" // the new kernel is installed, and no boot tries it
)

// What an operator may say about the kernel that the bundle brings.
const (
	KernelKeep  = "keep"  // this host keeps the one it has
	KernelRetry = "retry" // one that did not come up is tried once more
)

// Modes of Policy.KernelMode.
const (
	kernelUpgrade = "upgrade"
	kernelRequire = "require"
)

// vmlinuz and initramfs are where a kernel and its first file system are.
func vmlinuz(release string) string   { return "/boot/vmlinuz-" + release }
func initramfs(release string) string { return "/boot/initramfs-" + release + ".img" }

// runningKernel is the only place where the running kernel's release is read.
func runningKernel(h host.Host) (string, error) { return readWord(h, "/proc/sys/kernel/osrelease") }

// bootID names the boot that the host is in.
func bootID(h host.Host) (string, error) { return readWord(h, "/proc/sys/kernel/random/boot_id") }

func readWord(h host.Host, name string) (string, error) {
	data, err := host.ReadFile(h, name, inlineMax)
	if err != nil {
		return "", fmt.Errorf("looking at the kernel: %w", err)
	}
	word := strings.TrimSpace(string(data))
	if word == "" {
		return "", fmt.Errorf("looking at the kernel: %s is empty", name)
	}
	return word, nil
}

// compareReleases orders two kernels as rpm orders their packages: "3.10.0-1160.el7.x86_64" is older than
// "5.4.278-1.el7.elrepo.x86_64".
func compareReleases(a, b string) int { return compareEVR(a, b) }

// States of a kernel that is not proven yet.
const (
	kernelHeld   = "held"   // the operator said that no boot is to try it
	kernelArming = "arming" // the next boot is being told to try it: it may or may not
	kernelArmed  = "armed"  // the next boot tries it once
	kernelFailed = "failed" // it was tried and did not come up
	kernelKept   = "kept"   // the operator said that the host keeps the kernel it has
	kernelAgain  = "retry"  // the operator said that it is to be tried once more
)

// kernelRecord is kernel.json: what is known of a kernel between its installation and the boot that proves it.
type kernelRecord struct {
	Format   int      `json:"format"`  // 0
	Release  string   `json:"release"` // of the kernel that the bundle brings
	State    string   `json:"state"`
	From     string   `json:"from,omitempty"`     // release that ran when it was armed
	BootID   string   `json:"bootID,omitempty"`   // boot in which it was armed
	Title    string   `json:"title,omitempty"`    // of its entry in GRUB's menu
	Env      string   `json:"env,omitempty"`      // file of GRUB's environment
	Args     []string `json:"args,omitempty"`     // that its entry got for the trial
	Watchdog bool     `json:"watchdog,omitempty"` // systemd was told to keep a watchdog busy from the next boot on
	Attempts int      `json:"attempts,omitempty"` // boots that tried it, may have tried it, or are to
	Why      string   `json:"why,omitempty"`      // it failed
}

// kernelName is the file of the kernelRecord.
func kernelName() string { return path.Join(StateDir, "kernel.json") }

// readKernel returns what is known of the kernel of that release, nil when it is nothing.
func readKernel(h host.Host, release string) (*kernelRecord, error) {
	data, err := host.ReadFile(h, kernelName(), saveMax)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var rec kernelRecord
	if err := bundle.DecodeStrict(data, &rec, saveMax); err != nil {
		return nil, fmt.Errorf("reading %s: %w", kernelName(), err)
	}
	if rec.Format != 0 {
		return nil, fmt.Errorf("reading %s: format %d is newer than this installer", kernelName(), rec.Format)
	}
	if rec.Release != release && release != "" {
		return nil, nil // another bundle's
	}
	return &rec, nil
}

func writeKernel(h host.Host, rec kernelRecord) error {
	return writeJSON(h, kernelName(), rec, 0o600)
}

// kernelWhole says what is missing of an installed kernel; "" nothing. A boot without its initramfs does not come far, and a
// transaction that is cut off leaves a kernel without one: the package's last script makes it. Thorough reads all of it,
// tens of megabytes.
func kernelWhole(h host.Host, release string, thorough bool) (string, error) {
	info, err := h.Stat(vmlinuz(release))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return vmlinuz(release) + " is missing", nil
	case err != nil:
		return "", err
	case !info.Mode().IsRegular() || info.Size() == 0:
		return vmlinuz(release) + " is empty", nil
	}
	info, err = h.Stat(initramfs(release))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return initramfs(release) + " is missing", nil
	case err != nil:
		return "", err
	case !info.Mode().IsRegular() || info.Size() == 0:
		return initramfs(release) + " is empty", nil
	case !thorough:
		return "", nil
	}
	r, err := h.Open(initramfs(release))
	if err != nil {
		return "", err
	}
	defer r.Close()
	if err := checkInitramfs(io.LimitReader(r, initramfsMax)); err != nil {
		return initramfs(release) + " is not whole: " + err.Error(), nil
	}
	return "", nil
}

// initramfsMax bounds what is read of an initramfs: one for every machine has less than 100 MiB.
const initramfsMax = 512 << 20

// checkInitramfs reads an initramfs as the kernel does: uncompressed cpio archives, which hold the processor's microcode,
// then a compressed one. gzip, which el7's dracut uses, has a checksum at its end; of the others the beginning is looked at.
func checkInitramfs(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	for bytes.HasPrefix(data, []byte("070701")) {
		end, err := cpioEnd(data)
		if err != nil {
			return err
		}
		rest := bytes.TrimLeft(data[end:], "\x00")
		if len(rest) == 0 {
			return nil // an archive that is not compressed
		}
		data = rest
	}
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return err
		}
		z.Multistream(false)
		_, err = io.Copy(io.Discard, z)
		return err
	}
	for _, magic := range []string{"\xfd7zXZ\x00", "BZh", "\x5d\x00\x00", "\x02\x21\x4c\x18", "\x28\xb5\x2f\xfd"} {
		if bytes.HasPrefix(data, []byte(magic)) {
			return nil
		}
	}
	if len(data) == 0 {
		return errors.New("it is empty")
	}
	return errors.New("it does not begin as one")
}

// cpioEnd returns where the first "newc" archive in data ends. Its entries are a header of 110 characters, a name and
// content, each filled up to a multiple of four bytes.
func cpioEnd(data []byte) (int, error) {
	const header = 110
	for at := 0; at+header <= len(data) && bytes.HasPrefix(data[at:], []byte("070701")); {
		size, err1 := strconv.ParseUint(string(data[at+54:at+62]), 16, 32)
		name, err2 := strconv.ParseUint(string(data[at+94:at+102]), 16, 16)
		if err1 != nil || err2 != nil || name == 0 {
			break
		}
		content := (at + header + int(name) + 3) &^ 3
		next := (content + int(size) + 3) &^ 3
		if content > len(data) {
			break
		}
		if string(data[at+header:at+header+int(name)-1]) == "TRAILER!!!" {
			return content, nil
		}
		at = next
	}
	return 0, errors.New("it ends in the middle of an archive")
}

// grubEntry is one entry of GRUB's menu, as grubby says it.
type grubEntry struct {
	title  string
	initrd string // "" when the kernel is started without one
	args   []string
}

// findEntry asks grubby for the entry of a kernel, by its file: never by its position, which changes with every kernel. An
// entry for debugging is left out. None is an error that says how it comes back.
func findEntry(ctx context.Context, h host.Host, release string) (grubEntry, error) {
	out, err := h.Run(ctx, nil, "grubby", "--info="+vmlinuz(release))
	if err != nil {
		return grubEntry{}, fmt.Errorf("finding the boot entry of kernel %s: %w", release, err)
	}
	var e grubEntry
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "index":
			e = grubEntry{}
		case "args":
			e.args = strings.Fields(strings.Trim(value, `"`))
		case "initrd":
			e.initrd = strings.TrimSpace(value)
		case "title":
			e.title = strings.Trim(value, `'"`)
		}
		if e.title != "" && key == "title" && !strings.Contains(e.title, "debugging") {
			return e, nil
		}
	}
	return grubEntry{}, fmt.Errorf("finding the boot entry of kernel %s: grubby knows none for %s", release, vmlinuz(release))
}

// defaultKernel is the file of the kernel that a boot starts when nobody says otherwise.
func defaultKernel(ctx context.Context, h host.Host) (string, error) {
	out, err := h.Run(ctx, nil, "grubby", "--default-kernel")
	if err != nil {
		return "", fmt.Errorf("asking grubby for the default kernel: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// nextEntry is the entry that GRUB starts once, "" when there is none. Its environment is a text of lines KEY=VALUE.
func nextEntry(h host.Host, env string) (string, error) {
	data, err := host.ReadFile(h, env, inlineMax)
	if err != nil {
		return "", fmt.Errorf("reading GRUB's environment: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "next_entry="); ok {
			return value, nil
		}
	}
	return "", nil
}
