package installer

import (
	"net/netip"
	"slices"
	"testing"

	"offgrid/bundle"
	"offgrid/installer/host"
	"offgrid/installer/hosttest"
)

// withVIP gives a host the balancers' address.
func withVIP(in *PreflightInput) {
	in.Facts.Addresses = append(in.Facts.Addresses, Address{"eth0", netip.MustParsePrefix("20.0.0.110/24")})
	in.Facts.VIP.Here = "eth0"
}

func runs(in *PreflightInput, units ...string) {
	for _, u := range units {
		in.Facts.Units[u] = host.Unit{Load: "loaded", Active: "active", Path: "/usr/lib/systemd/system/" + u}
	}
}

func ours(in *PreflightInput) { in.Previous.Clusters = map[string]string{"lb": "c0ffee"} }

func balancerCases() []preflightCase {
	return []preflightCase{
		{name: "the balancers' address as the host's", role: "lb", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Want.IP = "20.0.0.110" },
			want: []string{"ip-is-vip"}, text: "20.0.0.110 is the address that the load balancers share", fix: "./install --role lb --ip 20.0.0.112"},
		{name: "the same on a node", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Want.IP = "20.0.0.110" },
			want: []string{"ip-is-vip"}, fix: "./install --role node --ip 20.0.0.103"},
		{name: "the balancers' address on a master", role: "master", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { withVIP(in) },
			want: []string{"vip-here"}, text: "only keepalived on the balancers may have it"},
		{name: "the balancers' address, configured by hand on a balancer", role: "lb", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { withVIP(in) },
			want: []string{"vip-here"}, text: "configured by hand it stays"},
		{name: "the balancers' address, held by our own keepalived", role: "lb", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			withVIP(in)
			ours(in)
			runs(in, "keepalived.service", "nginx.service")
			in.Facts.Listeners = []Listener{{Port: 6443, Process: "nginx", PID: 812, Program: "/usr/sbin/nginx"}}
		}},
		{name: "the balancers' address, in use by another host", role: "lb", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.VIP.Taken = "52:54:00:00:00:09"
		}, want: []string{"vip-taken"}, text: "hardware address 52:54:00:00:00:09"},
		{name: "the balancers' address in another network", role: "lb", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Roles[0].Index.Cluster.VIP = "20.0.9.110"
		}, want: []string{"vip-network"}, text: "20.0.9.110 is not in 20.0.0.0/24"},
		{name: "somebody else's nginx", role: "lb", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { runs(in, "nginx.service") },
			want: []string{"balancer-busy"}, text: "nginx.service is running on this host already"},
		{name: "somebody else on the API's port", role: "lb", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.Listeners = []Listener{{Port: 6443, Process: "haproxy", PID: 812, Program: "/usr/sbin/haproxy"}}
		}, want: []string{"port-busy"}, text: "nginx listens there for the API servers"},
		{name: "SELinux that stays enforcing", role: "lb", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Roles[0].Index.Cluster.Policy.SELinux = "keep"
		}, want: []string{"selinux-port"}, text: "does not let nginx listen on port 6443"},
		{name: "SELinux that stays enforcing and was told", role: "lb", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Roles[0].Index.Cluster.Policy.SELinux, in.Facts.BalancerAllowed = "keep", true
		}},
		{name: "a firewall that stays", role: "lb", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Roles[0].Index.Cluster.Policy.Firewall = "keep"
		}, want: []string{"firewall-vrrp"}},
		{name: "another pod network", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) { in.Facts.CNI = []string{"10-calico.conflist"} },
			want: []string{"cni-foreign"}, text: "/etc/cni/net.d: 10-calico.conflist", fix: "mv /etc/cni/net.d /root/cni-net.d.before"},
		{name: "our own pod network", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Facts.CNI, in.Previous.Clusters = []string{"10-flannel.conflist"}, map[string]string{"node": "c0ffee"}
		}},
		{name: "cni-plugins without flannel's", role: "node", make: func(_ *testing.T, _ *pfCA, in *PreflightInput) {
			in.Roles[0].Index.Files = slices.DeleteFunc(in.Roles[0].Index.Files, func(f bundle.File) bool { return f.Path == "/opt/cni/bin/flannel" })
		}, want: []string{"cni-programs"}, text: "does not bring the pod network's flannel"},
	}
}

func TestTheBalancersAddressMayBeHeldByABalancerAndByNobodyElse(t *testing.T) {
	const request = "arping -b -c 2 -w 2 -I eth0 "
	reply := func(ip, hardware string) hosttest.Script {
		return hosttest.Says("ARPING " + ip + " from 20.0.0.113 eth0\nUnicast reply from " + ip + " [" + hardware + "]  0.640ms\nSent 2 probes (2 broadcast(s))\nReceived 1 response(s)\n")
	}
	nobody := hosttest.Fails(1, "")
	for name, c := range map[string]struct {
		vip, lb01 hosttest.Script
		taken     string
	}{
		"nobody has it":            {vip: nobody, lb01: nobody},
		"the other balancer":       {vip: reply("20.0.0.110", "52:54:00:AA:00:12"), lb01: reply("20.0.0.112", "52:54:00:aa:00:12")},
		"somebody else":            {vip: reply("20.0.0.110", "52:54:00:AA:00:09"), lb01: reply("20.0.0.112", "52:54:00:aa:00:12"), taken: "52:54:00:aa:00:09"},
		"somebody, and no lb01":    {vip: reply("20.0.0.110", "52:54:00:AA:00:09"), lb01: nobody, taken: "52:54:00:aa:00:09"},
		"a host without arping":    {},
		"the probe of a newcomer":  {vip: hosttest.Says("Broadcast request from 0.0.0.0 [52:54:00:aa:00:07]  1.2ms\n"), lb01: nobody},
		"an interface that is off": {vip: hosttest.Fails(2, "arping: Interface \"eth0\" is down"), lb01: nobody},
	} {
		t.Run(name, func(t *testing.T) {
			h := hosttest.New(t)
			if c.vip != nil {
				h.Script(request+"20.0.0.110", c.vip)
				h.Script(request+"20.0.0.112", c.lb01)
				h.Script(request+"20.0.0.113", nobody)
			}
			got := vipFacts(t.Context(), h, pfFacts("20.0.0.113"), pfIndex(bundle.RoleLB), "20.0.0.113")
			if got.Taken != c.taken || got.Here != "" {
				t.Errorf("%+v, want taken by %q", got, c.taken)
			}
		})
	}
}

func TestPortsThatSELinuxAllowsNginxAreRead(t *testing.T) {
	text := "# This file is auto-generated by libsemanage\n\nportcon tcp 6443 system_u:object_r:http_port_t:s0\n" +
		"portcon udp 7000 system_u:object_r:http_port_t:s0\nportcon tcp 9000-9100 system_u:object_r:http_port_t:s0\nportcon tcp 22 system_u:object_r:ssh_port_t:s0\nportcon tcp x system_u:object_r:http_port_t:s0\n"
	if got, want := parseHTTPPorts(text), [][2]int{{6443, 6443}, {9000, 9100}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
