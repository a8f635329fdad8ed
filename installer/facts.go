package installer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"offgrid/installer/host"
)

// Facts is what a host is before anything is changed on it. Reading them changes nothing.
type Facts struct {
	UID       int                  `json:"uid"`
	Hostname  string               `json:"hostname"`
	OS        OSRelease            `json:"os"`
	Arch      string               `json:"arch"`   // Go's name: "amd64"
	Kernel    string               `json:"kernel"` // as /proc/sys/kernel/osrelease says: "3.10.0-1160.el7.x86_64"
	CPUs      int                  `json:"cpus"`
	Memory    int64                `json:"memory"` // bytes
	Addresses []Address            `json:"addresses"`
	Routes    []Route              `json:"routes"`
	Listeners []Listener           `json:"listeners"`
	Mounts    []Mount              `json:"mounts"`
	Swaps     []string             `json:"swaps"`     // devices and files in use
	SELinux   string               `json:"selinux"`   // "enforcing", "permissive" or "disabled"
	Firewalld bool                 `json:"firewalld"` // it is active
	Packages  map[string]string    `json:"packages"`  // installed RPMs: name to version-release
	Docker    string               `json:"docker"`    // version of the docker command, "" without one
	Commands  map[string]bool      `json:"commands"`  // whether a command that was asked about is there
	Modules   map[string]bool      `json:"modules"`   // whether a kernel module that was asked about can be loaded
	Units     map[string]host.Unit `json:"units"`     // units that were asked about
	Files     map[string]int64     `json:"files"`     // size of the files that are there, of those asked about
	EtcdData  []string             `json:"etcdData"`  // names in the etcd data directory
	SwapLines int                  `json:"swapLines"` // uncommented lines of type swap in /etc/fstab
	CNI       []string             `json:"cni"`       // names in kubelet's directory of pod networks
	VIP       VIPFacts             `json:"vip"`
	Now       time.Time            `json:"now"`
	Skew      map[string]int64     `json:"skew"` // seconds that a peer's clock is ahead of ours, of those that answered

	// Boot is nil unless it was asked for.
	Boot *BootFacts `json:"boot,omitempty"`

	BalancerAllowed bool `json:"balancerAllowed"` // an enforcing SELinux was told to let nginx do a balancer's work
}

// OSRelease is /etc/os-release.
type OSRelease struct {
	ID        string `json:"id"`        // "centos"
	IDLike    string `json:"idLike"`    // "rhel fedora"
	VersionID string `json:"versionID"` // "7"
	Name      string `json:"name"`      // PRETTY_NAME
}

// Address is an IPv4 address of an interface.
type Address struct {
	Interface string       `json:"interface"`
	Prefix    netip.Prefix `json:"prefix"` // with the host's own address: 20.0.0.103/24
}

// Route is an IPv4 route that is not the default route.
type Route struct {
	Interface   string       `json:"interface"`
	Destination netip.Prefix `json:"destination"`
}

// Listener is a TCP port that something listens on.
type Listener struct {
	Port    int    `json:"port"`
	Process string `json:"process"` // "" when it is not known
	PID     int    `json:"pid"`     // 0 when it is not known
	Program string `json:"program"` // path of the executable, "" when it is not known
}

// Mount is a mounted file system.
type Mount struct {
	Path    string   `json:"path"`
	Type    string   `json:"type"`
	Options []string `json:"options"`
	Free    int64    `json:"free"`    // bytes; -1 when it is not known
	NoFType bool     `json:"noFType"` // xfs made with ftype=0
}

// Questions is what facts are wanted beyond those that every host is asked for.
type Questions struct {
	Now      time.Time
	Files    []string // whose sizes matter, when they are there
	Modules  []string
	Commands []string
	Units    []string
	EtcdData string // etcd's data directory, "" when the host is no member
	Boot     bool   // what another kernel depends on
}

// GatherFacts looks at the host. What cannot be found out is left at its zero value where a finding can do without, and is
// an error where nothing can.
func GatherFacts(ctx context.Context, h host.Host, q Questions) (*Facts, error) {
	g := &gatherer{ctx: ctx, h: h}
	f := &Facts{Now: q.Now, UID: g.uid(), Hostname: g.hostname()}
	f.OS = parseOSRelease(g.file("/etc/os-release"))
	f.Arch = goArch(strings.TrimSpace(g.run("uname", "-m")))
	f.Kernel = strings.TrimSpace(g.file("/proc/sys/kernel/osrelease"))
	f.CPUs = countCPUs(g.file("/proc/cpuinfo"))
	f.Memory = parseMemory(g.file("/proc/meminfo"))
	f.Addresses = parseAddresses(g.must("ip", "-o", "-4", "addr", "show"))
	f.Routes = parseRoutes(g.run("ip", "-4", "route", "show"))
	f.Listeners = g.listeners()
	f.Mounts = g.mounts()
	f.Swaps = parseSwaps(g.file("/proc/swaps"))
	f.SwapLines = countSwapLines(g.file("/etc/fstab"))
	f.SELinux = selinuxState(g.file("/sys/fs/selinux/enforce"))
	f.Firewalld = strings.TrimSpace(g.run("systemctl", "is-active", "firewalld.service")) == "active"
	f.Packages = parsePackages(g.run("rpm", "-qa", "--qf", packageQuery))
	f.Commands = g.commands(append([]string{"docker"}, q.Commands...))
	if f.Commands["docker"] {
		f.Docker = parseDockerVersion(g.run("docker", "--version"))
	}
	f.Modules = g.modules(q.Modules)
	f.Units = g.units(q.Units)
	f.Files = g.sizes(q.Files)
	f.EtcdData = g.names(q.EtcdData)
	f.CNI = g.names(cniDir)
	if q.Boot {
		f.Boot = g.boot(f)
	}
	if g.err != nil {
		return nil, g.err
	}
	return f, ctx.Err()
}

// packageQuery is one line per package, for parsePackages.
const packageQuery = `%{NAME}\t%{VERSION}-%{RELEASE}\n`

// gatherer keeps the first error that makes facts useless.
type gatherer struct {
	ctx context.Context
	h   host.Host
	err error
}

// file returns the content of a small file, "" when it cannot be read.
func (g *gatherer) file(name string) string {
	r, err := g.h.Open(name)
	if err != nil {
		return ""
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, 4<<20))
	if err != nil {
		return ""
	}
	return string(data)
}

// run returns what a command printed, whatever its exit code: systemctl is-active ends with 3 and still answers.
func (g *gatherer) run(argv ...string) string {
	out, err := g.h.Run(g.ctx, nil, argv...)
	var failed *host.RunError
	if errors.As(err, &failed) {
		return failed.Stdout
	}
	return string(out)
}

// must is run for what no plan can be made without.
func (g *gatherer) must(argv ...string) string {
	out, err := g.h.Run(g.ctx, nil, argv...)
	if err != nil && g.err == nil {
		g.err = fmt.Errorf("looking at the host: %w", err)
	}
	return string(out)
}

func (g *gatherer) uid() int {
	uid, err := parseInt(g.must("id", "-u"))
	if err != nil && g.err == nil {
		g.err = fmt.Errorf("looking at the host: id -u: %w", err)
	}
	return uid
}

func (g *gatherer) hostname() string {
	return strings.TrimSpace(g.file("/proc/sys/kernel/hostname"))
}

func (g *gatherer) listeners() []Listener {
	found := parseListeners(g.run("ss", "-l", "-t", "-n", "-p"))
	for i, l := range found {
		if l.PID == 0 {
			continue
		}
		exe, err := g.h.Readlink(fmt.Sprintf("/proc/%d/exe", l.PID))
		if err == nil {
			found[i].Program = strings.TrimSuffix(exe, " (deleted)") // replaced by an update, still running
		}
	}
	return found
}

func (g *gatherer) mounts() []Mount {
	mounts := parseMounts(g.file("/proc/mounts"))
	free := parseFree(g.run("df", "-P", "-k", "-l"))
	for i, m := range mounts {
		mounts[i].Free = -1
		if n, ok := free[m.Path]; ok {
			mounts[i].Free = n
		}
		if m.Type == "xfs" {
			mounts[i].NoFType = strings.Contains(g.run("xfs_info", m.Path), "ftype=0")
		}
	}
	return mounts
}

func (g *gatherer) modules(names []string) map[string]bool {
	found := map[string]bool{}
	for _, name := range names {
		// What is not there yet is asked for without loading it.
		if there, err := moduleThere(g.h, name); err == nil && there {
			found[name] = true
			continue
		}
		_, err := g.h.Run(g.ctx, nil, "modprobe", "-n", "-q", name)
		found[name] = err == nil
	}
	return found
}

func (g *gatherer) commands(names []string) map[string]bool {
	found := map[string]bool{}
	for _, name := range names {
		for _, dir := range []string{"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/", "/usr/local/bin/", "/usr/local/sbin/"} {
			if _, err := g.h.Lstat(dir + name); err == nil {
				found[name] = true
			}
		}
	}
	return found
}

func (g *gatherer) units(names []string) map[string]host.Unit {
	found := map[string]host.Unit{}
	for _, name := range names {
		u, err := host.ShowUnit(g.ctx, g.h, name)
		if err == nil {
			found[name] = u
		}
	}
	return found
}

func (g *gatherer) sizes(names []string) map[string]int64 {
	found := map[string]int64{}
	for _, name := range names {
		if info, err := g.h.Lstat(name); err == nil && info.Mode().IsRegular() {
			found[name] = info.Size()
		}
	}
	return found
}

// names lists a directory, nothing when it is not there.
func (g *gatherer) names(dir string) []string {
	if dir == "" {
		return nil
	}
	names, err := g.h.ReadDir(dir)
	if err != nil {
		return nil
	}
	return names
}
