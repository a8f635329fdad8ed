package installer

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"offgrid/bundle"
	"offgrid/bundle/hostpack"
)

// Severity is how bad a finding is.
type Severity string

// Severities of findings.
const (
	Refuse Severity = "refuse" // the installation does not begin
	Warn   Severity = "warn"   // it begins, and the operator was told
)

// Class is who has to act on a finding that refuses.
type Class string

// Classes of findings.
const (
	ClassUsage Class = "usage" // another command, another host or another bundle is right
	ClassHost  Class = "host"  // the host holds something that is in the way
)

// Finding is one thing that preflight has to say. An operator who cannot look anything up acts on it alone.
type Finding struct {
	ID       string   `json:"id"` // stable: "port-busy"
	Role     string   `json:"role,omitempty"`
	Severity Severity `json:"severity"`
	Class    Class    `json:"class"`
	What     string   `json:"what"`  // "port 2379 is in use"
	Where    string   `json:"where"` // "process nginx, pid 812"
	Why      string   `json:"why"`   // "etcd listens there"
	Fix      string   `json:"fix"`   // the one command
}

// Want is what the operator asked for.
type Want struct {
	Roles []string `json:"roles"`
	IP    string   `json:"ip"`
	Name  string   `json:"-"` // of a host that joined before; "": the name it has
	Token string   `json:"-"` // bootstrap token that the operator gave; "" none
}

// RoleInput is what preflight knows of one role that is to be installed.
type RoleInput struct {
	Path   string // of the bundle, for messages
	Index  *bundle.RoleIndex
	Pack   *hostpack.Pack    // nil when the bundle has none for this host
	Texts  map[string][]byte // rendered public files, by the path they get on the host
	Carry  int64             // bytes that go to /var/lib/offgrid before anything else
	Images int64             // bytes that docker needs for the images, as dockerBytes says
	// Upgrade is not nil when the role is on the host from another bundle.
	Upgrade *Upgrade
	// KernelModules are those of the kernel that the bundle brings, as lsmod writes them.
	KernelModules map[string]bool
	Kernel        string    // what was said of that kernel: kernelKept, kernelHeld or ""
	Plain         bool      // the pack lies open in the bundle
	Closed        []Finding // why the pack was not opened; nil: it was, or there is none
	state         *packState
}

// Previous is what an earlier run left on the host.
type Previous struct {
	Clusters map[string]string        // role to cluster id of what was carried
	Serials  map[string]int64         // role to serial of what was carried
	Roots    map[string]bundle.Digest // role to root of what was carried
	Data     map[string]string        // etcd data directory to the cluster id that its mark names
}

// PreflightInput is all that preflight looks at.
type PreflightInput struct {
	Want     Want
	Facts    *Facts
	Roles    []RoleInput
	Previous Previous
	Reboot   string // what the operator said of a reboot; "" nothing
}

// check looks at one thing. It returns nothing when there is nothing to say.
type check func(in *PreflightInput, r *RoleInput) []Finding

// hostChecks are made once per run, whatever the roles.
func hostChecks() []check {
	return []check{
		checkRoot, checkArch, checkFamily, checkAddress, checkVIP, checkClusters, checkClock, checkSkew,
		checkForeign, checkStateExec, checkSpace, checkKernel, checkNewKernel, checkSwapUnits, checkOverlap,
	}
}

// roleChecks are made for each role that the bundles bring.
func roleChecks(role string) []check {
	checks := []check{checkPlanned, checkPack, checkCertificates, checkTokens, checkKubeconfigs, checkPorts, checkUnits, checkModules, checkSize}
	switch role {
	case bundle.RoleEtcd:
		checks = append(checks, checkEtcdData, checkEtcdTwins)
	case bundle.RoleNode:
		checks = append(checks, checkDocker, checkContainerTools, checkCgroupDriver, checkFType, checkIPVSTools, checkCNI)
	case bundle.RoleLB:
		checks = append(checks, checkVIPNetwork, checkBalancerBusy, checkBalancerSELinux, checkBalancerFirewall)
	}
	return checks
}

// Preflight returns everything that speaks against the installation or should be known before it, all at once. It is a
// function of its input alone: the host is not touched. Other hosts that do not answer yet are never a finding.
func Preflight(in PreflightInput) []Finding {
	var found []Finding
	if len(in.Roles) == 0 {
		return nil
	}
	for _, c := range hostChecks() {
		found = append(found, c(&in, &in.Roles[0])...)
	}
	for i := range in.Roles {
		r := &in.Roles[i]
		for _, c := range roleChecks(r.Index.Role) {
			for _, f := range c(&in, r) {
				f.Role = r.Index.Role
				found = append(found, f)
			}
		}
	}
	refusedFirst(found)
	return slices.CompactFunc(found, func(a, b Finding) bool { a.Role, b.Role = "", ""; return a == b })
}

// refusedFirst sorts what refuses before what only warns.
func refusedFirst(found []Finding) {
	sort.SliceStable(found, func(i, j int) bool { return found[i].Severity == Refuse && found[j].Severity != Refuse })
}

// Refused reports whether any finding stops the installation, and the class that decides the exit code: a wrong command
// or bundle before a host that is in the way.
func Refused(found []Finding) (Class, bool) {
	class, refused := ClassHost, false
	for _, f := range found {
		if f.Severity == Refuse {
			refused = true
			if f.Class == ClassUsage {
				class = ClassUsage
			}
		}
	}
	return class, refused
}

// RefusedError is a preflight that found a reason not to begin.
type RefusedError struct {
	Findings []Finding
	Class    Class // that decides the exit code
}

func (e *RefusedError) Error() string {
	n := 0
	for _, f := range e.Findings {
		if f.Severity == Refuse {
			n++
		}
	}
	if n == 1 {
		return "refused for 1 reason; nothing was changed"
	}
	return fmt.Sprintf("refused for %d reasons; nothing was changed", n)
}

// hostByIP finds the planned host with that address.
func hostByIP(index *bundle.RoleIndex, ip string) (bundle.Host, bool) {
	for _, h := range index.Hosts {
		if h.IP == ip {
			return h, true
		}
	}
	return bundle.Host{}, false
}

// hostsWith returns the planned hosts of a role, in the cluster file's order.
func hostsWith(index *bundle.RoleIndex, role string) []bundle.Host {
	var found []bundle.Host
	for _, h := range index.Hosts {
		if slices.Contains(h.Roles, role) {
			found = append(found, h)
		}
	}
	return found
}

// hostNames writes "master01 (20.0.0.100), node01 (20.0.0.103)".
func hostNames(hosts []bundle.Host) string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name + " (" + h.IP + ")"
	}
	return strings.Join(names, ", ")
}
