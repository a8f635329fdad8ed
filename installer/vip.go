package installer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// hardwareAddress stands in arping's "Unicast reply from 20.0.0.110 [52:54:00:12:34:56]  0.640ms".
var hardwareAddress = regexp.MustCompile(`from (\S+) \[([0-9A-Fa-f:]{17})\]`)

// arping asks the network of an interface who has an IPv4 address, by ARP, which no firewall answers for. It returns the
// hardware addresses of all that say so, sorted; known is false on a host without arping. own tells that this host has the
// address, too: only the probe of a newcomer is then answered by others. It takes up to two seconds when nobody answers.
func arping(ctx context.Context, h host.Host, nic, ip string, own bool) (found []string, known bool) {
	argv := []string{"arping", "-b", "-c", "2", "-w", "2", "-I", nic, ip}
	if own {
		argv = []string{"arping", "-D", "-c", "2", "-w", "2", "-I", nic, ip}
	}
	out, err := h.Run(ctx, nil, argv...)
	var failed *host.RunError
	if errors.As(err, &failed) { // it ends with 1 when nobody answers, or, with -D, when somebody does
		if failed.Code < 0 || failed.Code > 1 {
			return nil, false
		}
		out = []byte(failed.Stdout)
	}
	for _, m := range hardwareAddress.FindAllStringSubmatch(string(out), -1) {
		if m[1] == ip {
			found = append(found, strings.ToLower(m[2]))
		}
	}
	slices.Sort(found)
	return slices.Compact(found), true
}

// vipHolder says who of the planned balancers has a hardware address; the address itself when none has.
func vipHolder(ctx context.Context, h host.Host, index *bundle.RoleIndex, nic, hardware string) (name string, planned bool) {
	for _, lb := range hostsWith(index, bundle.RoleLB) {
		if has, _ := arping(ctx, h, nic, lb.IP, false); slices.Contains(has, hardware) {
			return lb.Name + " (" + lb.IP + ")", true
		}
	}
	return "a host with the hardware address " + hardware, false
}

// holdsAddress returns the interface of this host that has an address now, "" when none has.
func holdsAddress(ctx context.Context, h host.Host, ip string) (string, error) {
	out, err := h.Run(ctx, nil, "ip", "-o", "-4", "addr", "show")
	if err != nil {
		return "", err
	}
	return interfaceOf(&Facts{Addresses: parseAddresses(string(out))}, ip), nil
}

// vipURL is the API server at the address that the balancers share.
func vipURL(index *bundle.RoleIndex) string {
	return "https://" + net.JoinHostPort(index.Cluster.VIP, strconv.Itoa(apiPort(index)))
}

// balancerURL is the API server as one balancer passes it on.
func balancerURL(index *bundle.RoleIndex, h bundle.Host) string {
	return "https://" + net.JoinHostPort(h.IP, strconv.Itoa(apiPort(index)))
}

// balanced is satisfied when this balancer passes on an API server, and the shared address leads to one, too: held by this
// balancer or by another one. A master that is not there yet is waited for; masters and balancers come in any order.
func (p *planner) balanced() probeFunc {
	return func(ctx context.Context, h host.Host) (Status, error) {
		for _, unit := range []string{nginxUnit, keepalivedUnit} {
			if u, err := host.ShowUnit(ctx, h, unit); err == nil && u.Known() && u.Active == "failed" {
				return pending("waiting for %s, which failed; see: journalctl -u %s -n 20", unit, unit)
			}
		}
		if _, err := p.in.Probe(ctx, Probe{URL: balancerURL(p.index, p.in.Host) + "/readyz", Timeout: peerAnswer}); err != nil {
			if errors.Is(err, errNobodyListens) {
				return pending("waiting for nginx on this host, which does not listen yet; see: journalctl -u %s -n 20", nginxUnit)
			}
			return pending("waiting for a master: behind this balancer none answers yet of %s", hostNames(notSpare(hostsWith(p.index, bundle.RoleMaster))))
		}
		vip := p.index.Cluster.VIP
		nic, err := holdsAddress(ctx, h, vip)
		if err != nil {
			return Status{}, err
		}
		if nic == "" {
			if _, err := p.in.Probe(ctx, Probe{URL: vipURL(p.index) + "/readyz", Timeout: peerAnswer}); err != nil {
				return pending("waiting for a balancer to take %s: %v; see: journalctl -u %s -n 20", vip, err, keepalivedUnit)
			}
			return Status{State: Satisfied, Why: "another balancer holds " + vip + ", and an API server answers there"}, nil
		}
		if other := secondHolder(ctx, h, p.index, nic); other != "" {
			return pending("%s", other)
		}
		return Status{State: Satisfied, Why: "this host holds " + vip + ", and an API server answers behind it"}, nil
	}
}

// notSpare leaves out the hosts that are planned for later.
func notSpare(hosts []bundle.Host) []bundle.Host {
	return slices.DeleteFunc(hosts, func(h bundle.Host) bool { return h.Spare })
}

// secondHolder says who else has the shared address while this host has it, "" when nobody has or nobody can tell.
func secondHolder(ctx context.Context, h host.Host, index *bundle.RoleIndex, nic string) string {
	others, _ := arping(ctx, h, nic, index.Cluster.VIP, true)
	if len(others) == 0 {
		return ""
	}
	name, _ := vipHolder(ctx, h, index, nic, others[0])
	return fmt.Sprintf("this host and %s both hold %s: they do not hear each other; VRRP (IP protocol 112) must pass between the balancers", name, index.Cluster.VIP)
}

// sameNetwork reports whether an address is in the network of the interface that has the host's own.
func sameNetwork(facts *Facts, own, other string) bool {
	ip, err := netip.ParseAddr(other)
	return err == nil && slices.ContainsFunc(facts.Addresses, func(a Address) bool { return a.Prefix.Addr().String() == own && a.Prefix.Contains(ip) })
}

// holderOf says which balancer has the shared address, seen from the host whose own address is given. More than one, or
// somebody else, is wrong; when nobody can tell, nothing is.
func holderOf(ctx context.Context, h host.Host, index *bundle.RoleIndex, own string) (text string, ok bool) {
	vip := index.Cluster.VIP
	out, err := h.Run(ctx, nil, "ip", "-o", "-4", "addr", "show")
	if err != nil {
		return lastLine(err), false
	}
	facts := &Facts{Addresses: parseAddresses(string(out))}
	if here := interfaceOf(facts, vip); here != "" {
		if other := secondHolder(ctx, h, index, here); other != "" {
			return other, false
		}
		return "this host", true
	}
	nic := interfaceOf(facts, own)
	if !sameNetwork(facts, own, vip) {
		return "not known: this host is in another network", true
	}
	has, known := arping(ctx, h, nic, vip, false)
	if !known {
		return "not known: this host has no arping, which asks for it", true
	}
	var names []string
	planned := true
	for _, hardware := range has {
		name, ok := vipHolder(ctx, h, index, nic, hardware)
		names, planned = append(names, name), planned && ok
	}
	switch {
	case len(names) == 0:
		return "nobody answers for it in the network of " + nic, false
	case len(names) > 1:
		return strings.Join(names, " and ") + " both hold it: they do not hear each other; VRRP (IP protocol 112) must pass between the balancers", false
	}
	return names[0], planned
}
