package installer

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// cniDir is where kubelet looks for the settings of a pod network. It takes the first file by name.
const cniDir = "/etc/cni/net.d"

// Where SELinux of el7 keeps what semanage port and setsebool have changed.
const (
	selinuxPorts   = "/etc/selinux/targeted/active/ports.local"
	selinuxConnect = "/sys/fs/selinux/booleans/httpd_can_network_connect"
)

// VIPFacts is who has the address that the load balancers share.
type VIPFacts struct {
	Here  string `json:"here"`  // interface of this host that has it; "" when none has
	Taken string `json:"taken"` // hardware address of a host that has it and is none of the balancers; "" when there is none, or nobody can tell
}

// vipFacts asks the network. Only a balancer that is to be asks others.
func vipFacts(ctx context.Context, h host.Host, f *Facts, index *bundle.RoleIndex, own string) VIPFacts {
	vip := index.Cluster.VIP
	if vip == "" {
		return VIPFacts{}
	}
	v := VIPFacts{Here: interfaceOf(f, vip)}
	nic := interfaceOf(f, own)
	if index.Role != bundle.RoleLB || v.Here != "" || nic == "" {
		return v
	}
	has, _ := arping(ctx, h, nic, vip, false)
	if len(has) == 0 {
		return v
	}
	if _, planned := vipHolder(ctx, h, index, nic, has[0]); !planned {
		v.Taken = has[0]
	}
	return v
}

// parseHTTPPorts reads the TCP ports that SELinux lets nginx listen on beyond its own list: lines such as
// "portcon tcp 6443 system_u:object_r:http_port_t:s0", or with a range "6443-6444".
func parseHTTPPorts(text string) [][2]int {
	var found [][2]int
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 4 || f[0] != "portcon" || f[1] != "tcp" || !strings.Contains(f[3], ":http_port_t") {
			continue
		}
		first, last, ranged := strings.Cut(f[2], "-")
		if !ranged {
			last = first
		}
		a, errA := strconv.Atoi(first)
		b, errB := strconv.Atoi(last)
		if errA == nil && errB == nil {
			found = append(found, [2]int{a, b})
		}
	}
	return found
}

// balancerAllowed reports whether an enforcing SELinux lets nginx listen on a port and connect to the masters.
func balancerAllowed(g *gatherer, port int) bool {
	listens := slices.ContainsFunc(parseHTTPPorts(g.file(selinuxPorts)), func(r [2]int) bool { return r[0] <= port && port <= r[1] })
	return listens && strings.HasPrefix(g.file(selinuxConnect), "1")
}

// balanceFacts asks what only an installation has to know, and no resume: who has the balancers' address.
func (s *Session) balanceFacts(ctx context.Context, job *Job) {
	index := job.Roles[0].Input.Index
	for _, r := range job.Roles {
		if r.Input.Index.Role == bundle.RoleLB {
			index = r.Input.Index
		}
	}
	job.Facts.VIP = vipFacts(ctx, s.Host, job.Facts, index, job.Want.IP)
	job.Facts.BalancerAllowed = balancerAllowed(&gatherer{ctx: ctx, h: s.Host}, apiPort(index))
}
