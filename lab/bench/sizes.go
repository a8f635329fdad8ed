package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"offgrid/bundle"
)

// bytes prints what is measured in bytes.
func (in *inputs) bytes() error {
	dist := filepath.Join(in.opts.work, "site", "dist")
	fmt.Print("\n| bytes | target | measured |\n|---|---|---|\n")
	program, err := os.Stat(in.opts.install)
	if err != nil {
		return err
	}
	fmt.Printf("| `install` | < 15 MiB | %.1f MiB |\n", float64(program.Size())/(1<<20))
	paths, err := filepath.Glob(filepath.Join(dist, "*.bundle"))
	if err != nil {
		return err
	}
	largest := int64(0)
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		largest = max(largest, info.Size())
		read, peak, err := in.plan(path)
		if err != nil {
			return err
		}
		role, hand := strings.TrimSuffix(filepath.Base(path), ".bundle"), ""
		if h, err := os.Stat(filepath.Join(in.opts.work, role+".tar.zst")); err == nil {
			hand = fmt.Sprintf("; by hand, tar \\| zstd -3: %.1f MB", float64(h.Size())/1e6)
		}
		fmt.Printf("| %s, and what `install plan` reads of it and of the host | the index only | %.1f MB, %.2f MB%s |\n", filepath.Base(path), float64(info.Size())/1e6, float64(read)/1e6, hand)
		fmt.Printf("| peak memory of `install plan` for %s | | %.0f MiB |\n", role, float64(peak)/(1<<20))
	}
	return in.siteFile(largest)
}

// siteFile compares a file with all roles with the largest role alone.
func (in *inputs) siteFile(largest int64) error {
	help, err := exec.Command(in.opts.bundle, "build", "--help").Output()
	if err != nil || !bytes.Contains(help, []byte("--site ")) {
		return err
	}
	site := filepath.Join(in.opts.work, "site")
	if _, err := command("", append(in.build(site, filepath.Join(in.opts.work, "store")), "--site")...); err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(site, "dist", "site.bundle"))
	if err != nil {
		return err
	}
	fmt.Printf("| one file with all roles / largest role | <= 1.1 | %.2f (%.1f MB) |\n", float64(info.Size())/float64(largest), float64(info.Size())/1e6)
	return nil
}

// plan returns how many bytes `install plan` reads, from the bundle and from everything else, and its peak memory. It refuses
// this host, but not before it has looked at all of it.
func (in *inputs) plan(path string) (read, peak int64, err error) {
	b, err := bundle.Open(path)
	if err != nil {
		return 0, 0, err
	}
	role, hosts := b.Role.Role, b.Role.Hosts
	if err := b.Close(); err != nil {
		return 0, 0, err
	}
	cmd := exec.Command(filepath.Join(filepath.Dir(path), "install"), "plan", "--bundle", path, "--role", role, "--ip", hosts[0].IP)
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	// Its accounts are there until it is waited for.
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		return 0, 0, err
	}
	text, err := field(fmt.Sprintf("/proc/%d/io", cmd.Process.Pid), "rchar")
	var refused *exec.ExitError
	if werr := cmd.Wait(); werr != nil && !errors.As(werr, &refused) {
		return 0, 0, werr
	}
	if err == nil {
		_, err = fmt.Sscan(text, &read)
	}
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		peak = r.Maxrss << 10
	}
	return read, peak, err
}
