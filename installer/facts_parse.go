package installer

import (
	"net/netip"
	"strconv"
	"strings"
)

// The functions in this file read what commands and /proc files say. None of them fails: a line that is not understood is
// left out, and the finding that needs it says what is missing.

func parseInt(s string) (int, error) { return strconv.Atoi(strings.TrimSpace(s)) }

func parseOSRelease(text string) OSRelease {
	var r OSRelease
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			continue
		}
		value = strings.Trim(value, `"'`)
		switch key {
		case "ID":
			r.ID = value
		case "ID_LIKE":
			r.IDLike = value
		case "VERSION_ID":
			r.VersionID = value
		case "PRETTY_NAME":
			r.Name = value
		}
	}
	return r
}

// goArch turns the kernel's name of an architecture into Go's.
func goArch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return machine
}

func countCPUs(cpuinfo string) int {
	n := 0
	for line := range strings.Lines(cpuinfo) {
		if strings.HasPrefix(line, "processor") {
			n++
		}
	}
	return n
}

// parseMemory returns MemTotal of /proc/meminfo in bytes.
func parseMemory(meminfo string) int64 {
	for line := range strings.Lines(meminfo) {
		rest, ok := strings.CutPrefix(line, "MemTotal:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		if err == nil && kib >= 0 && kib < 1<<50 {
			return kib << 10
		}
	}
	return 0
}

// parseAddresses reads lines such as "2: eth0    inet 20.0.0.103/24 brd 20.0.0.255 scope global eth0".
func parseAddresses(text string) []Address {
	var found []Address
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		for i := 2; i+1 < len(fields); i++ {
			if fields[i] != "inet" {
				continue
			}
			address := fields[i+1]
			if !strings.Contains(address, "/") { // "inet 10.1.0.1 peer 10.1.0.2/32" of a tunnel
				address += "/32"
			}
			if prefix, err := netip.ParsePrefix(address); err == nil {
				found = append(found, Address{Interface: strings.TrimSuffix(fields[1], ":"), Prefix: prefix})
			}
			break
		}
	}
	return found
}

// parseRoutes reads lines such as "20.0.0.0/24 dev eth0 proto kernel scope link src 20.0.0.103". Default routes overlap with
// everything and are left out.
func parseRoutes(text string) []Route {
	var found []Route
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] == "default" {
			continue
		}
		destination := fields[0]
		if !strings.Contains(destination, "/") {
			destination += "/32"
		}
		prefix, err := netip.ParsePrefix(destination)
		if err != nil {
			continue
		}
		r := Route{Destination: prefix.Masked()}
		for i := 1; i+1 < len(fields); i++ {
			if fields[i] == "dev" {
				r.Interface = fields[i+1]
			}
		}
		found = append(found, r)
	}
	return found
}

// parseListeners reads "LISTEN 0 128 127.0.0.1:2381 *:* users:(("etcd",pid=812,fd=7))". el7's ss writes "*:22" and ":::22"
// for any address.
func parseListeners(text string) []Listener {
	var found []Listener
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 5 || fields[0] != "LISTEN" {
			continue
		}
		at := strings.LastIndexByte(fields[3], ':')
		port, err := strconv.Atoi(fields[3][at+1:])
		if at < 0 || err != nil || port < 1 || port > 65535 {
			continue
		}
		l := Listener{Port: port}
		if _, users, ok := strings.Cut(line, `users:(("`); ok {
			l.Process, _, _ = strings.Cut(users, `"`)
			if _, rest, ok := strings.Cut(users, "pid="); ok {
				digits, _, _ := strings.Cut(rest, ",")
				l.PID, _ = strconv.Atoi(digits)
			}
		}
		found = append(found, l)
	}
	return found
}

// parseMounts reads /proc/mounts. A mount over an earlier one replaces it.
func parseMounts(text string) []Mount {
	var found []Mount
	place := map[string]int{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[1], "/") {
			continue
		}
		m := Mount{Path: unescapeMount(fields[1]), Type: fields[2], Options: strings.Split(fields[3], ",")}
		if i, ok := place[m.Path]; ok {
			found[i] = m
			continue
		}
		place[m.Path] = len(found)
		found = append(found, m)
	}
	return found
}

// unescapeMount undoes the octal escapes that the kernel writes for blanks.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// parseFree reads df -P -k: free bytes by mount point.
func parseFree(text string) map[string]int64 {
	free := map[string]int64{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 6 || !strings.HasPrefix(fields[5], "/") {
			continue
		}
		kib, err := strconv.ParseInt(fields[3], 10, 64)
		if err == nil && kib >= 0 && kib < 1<<50 {
			free[strings.Join(fields[5:], " ")] = kib << 10
		}
	}
	return free
}

func parseSwaps(text string) []string {
	var found []string
	first := true
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); !first && len(fields) > 0 {
			found = append(found, fields[0])
		}
		first = false
	}
	return found
}

func countSwapLines(fstab string) int {
	n := 0
	for line := range strings.Lines(fstab) {
		fields := strings.Fields(line)
		if len(fields) >= 3 && !strings.HasPrefix(fields[0], "#") && fields[2] == "swap" {
			n++
		}
	}
	return n
}

// selinuxState reads /sys/fs/selinux/enforce, which is not there when SELinux is off.
func selinuxState(enforce string) string {
	switch strings.TrimSpace(enforce) {
	case "1":
		return "enforcing"
	case "0":
		return "permissive"
	}
	return "disabled"
}

func parsePackages(text string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(text) {
		if name, version, ok := strings.Cut(strings.TrimRight(line, "\n"), "\t"); ok && name != "" {
			found[name] = version
		}
	}
	return found
}

// parseDockerVersion reads "Docker version 20.10.24, build 297e128". Podman's stand-in says "podman version 4.3".
func parseDockerVersion(text string) string {
	fields := strings.Fields(text)
	for i, word := range fields {
		if word == "version" && i > 0 && i+1 < len(fields) {
			version := strings.TrimSuffix(fields[i+1], ",")
			if strings.EqualFold(fields[i-1], "podman") {
				return "podman " + version
			}
			return version
		}
	}
	return ""
}
