package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Places on a host, below its root.
const (
	labDir    = "usr/lib/lab"
	realDir   = labDir + "/real"       // the originals, under their own paths
	program   = labDir + "/el7"        // this program
	baseFile  = labDir + "/base-units" // the base system's unit files, one path a line
	refusedAt = "var/log/el7-refused"  // every refusal, one a line
)

// ofBaseSystem says whether a service of the base system makes the call. The hosts' base system is newer than el7 and may use its
// own tools in full; what is tested came later. The service is told by the cgroup that systemd put the caller in.
func (s standIn) ofBaseSystem() bool {
	data, err := os.ReadFile(filepath.Join(s.root, "proc/self/cgroup"))
	if err != nil {
		return false
	}
	service := serviceOf(string(data))
	if service == "" {
		return false
	}
	base, err := baseUnits(s.root)
	if err != nil {
		return false
	}
	template := service
	if at := strings.IndexByte(service, '@'); at >= 0 {
		template = service[:at+1] + ".service"
	}
	return slices.ContainsFunc(base, func(path string) bool {
		name := filepath.Base(path)
		return name == service || name == template
	})
}

// serviceOf finds the service in /proc/self/cgroup: in systemd's own hierarchy of version 1, or in version 2's.
func serviceOf(cgroup string) string {
	for _, line := range strings.Split(cgroup, "\n") {
		f := strings.SplitN(line, ":", 3)
		if len(f) != 3 || f[1] != "name=systemd" && f[1] != "" {
			continue
		}
		parts := strings.Split(f[2], "/")
		for i := len(parts) - 1; i >= 0; i-- {
			if strings.HasSuffix(parts[i], ".service") {
				return parts[i]
			}
		}
	}
	return ""
}

// baseUnits reads the list that install made.
func baseUnits(root string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(root, baseFile))
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(data)), nil
}

// log notes a refusal. A host without the directory has no log, which is no reason to fail in another way than by refusing.
func (s standIn) log(name string, argv []string, why string) {
	f, err := os.OpenFile(filepath.Join(s.root, refusedAt), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return
	}
	defer f.Close()
	caller := ""
	if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", os.Getppid())); err == nil {
		caller = strings.TrimRight(strings.ReplaceAll(string(data), "\x00", " "), " ")
	}
	fmt.Fprintf(f, "%s %s: %s: %q called by %q\n", time.Now().UTC().Format(time.RFC3339), name, why, argv, caller)
}
