package sitetest

import (
	"fmt"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/bundle/hostpack"
	"offgrid/installer/hosttest"
)

// apiServer is what nodes talk to.
func (s *Site) apiServer() string {
	if s.vip != "" {
		return "https://" + s.vip + ":6443"
	}
	return "https://20.0.0.100:6443"
}

// adminServer is what the operator's kubeconfig on a master names.
func (s *Site) adminServer(h bundle.Host) string {
	if s.vip != "" {
		return s.apiServer()
	}
	return "https://" + h.IP + ":6443"
}

// lb is what a load balancer's role has besides what all have.
func (s *Site) lb(r *roleInput) {
	r.index.Modules, r.index.Sysctls, r.index.Files = nil, nil, nil
	r.index.Artifacts = slices.DeleteFunc(r.index.Artifacts, func(a bundle.Artifact) bool { return a.Kind == bundle.KindText })
	for _, name := range []string{"nginx", "keepalived"} {
		config := "/etc/" + name + "/" + name + ".conf"
		r.rpmOf(hosttest.Package{Name: name, EVR: "1.0-1.el7", Arch: "x86_64", Units: []string{name + ".service"}, Configs: []string{config}})
		r.index.Units = append(r.index.Units, bundle.Unit{Name: name + ".service", Package: name, Restarts: []string{config}})
	}
	r.text("/etc/nginx/nginx.conf", "stream { upstream api { server 20.0.0.100:6443; server 20.0.0.101:6443; } }\n", "root")
	r.dirs("root", "", "/var/log/nginx")
}

// keepalived is a balancer's settings as its pack has them.
func keepalived() hostpack.File {
	return hostpack.File{Path: "/etc/keepalived/keepalived.conf", Mode: 0o600, Owner: "root", Group: "root", Secret: true, Fill: true,
		Data: []byte("vrrp_instance api {\n  interface {{INTERFACE}}\n  unicast_src_ip {{IP}}\n  virtual_ipaddress { " + VIP + "/24 dev {{INTERFACE}} }\n}\n")}
}

// holder is the balancer that has the shared address: the first whose nginx and keepalived run. "" when none has.
func (s *Site) holder() string {
	for _, h := range s.Table {
		if slices.Contains(h.Roles, bundle.RoleLB) && s.balances(h.IP) {
			return h.IP
		}
	}
	return ""
}

func (s *Site) balances(ip string) bool {
	_, there := s.Hosts[ip]
	return there && s.up(ip, "nginx.service") && s.up(ip, "keepalived.service")
}

// addresses is what ip addr show says on a host: the one that holds the shared address has that, too.
func (s *Site) addresses(ip string) string {
	const lines = "1: lo    inet 127.0.0.1/8 scope host lo\n2: eth0    inet "
	text := lines + ip + "/24 brd 20.0.0.255 scope global eth0\n"
	if s.vip != "" && s.holder() == ip {
		text += "2: eth0    inet " + s.vip + "/24 scope global secondary eth0\n"
	}
	return text
}

// reached reports whether a kubectl finds an API server: the one that it is told to take, or the one that kubeconfigs name.
func (s *Site) reached(argv []string) bool {
	for _, a := range argv {
		if server, ok := strings.CutPrefix(a, "--server=https://"); ok {
			return s.apiUp(strings.TrimSuffix(server, ":6443"))
		}
	}
	return s.apiUp("") && (s.vip == "" || s.holder() != "")
}

// ready reports whether a node is Ready: its kubelet runs, and somebody has applied the pod network.
func (s *Site) ready(ip string) bool {
	return s.vip != "" && s.objects["flannel.yaml"] == "applied" && s.up(ip, "kubelet.service")
}

// node is a Node object.
func (s *Site) node(ip string) string {
	status, message := "False", "runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:docker: network plugin is not ready: cni config uninitialized"
	if s.ready(ip) {
		status, message = "True", "kubelet is posting ready status"
	}
	return fmt.Sprintf(`{"metadata":{"name":"%s"},"status":{"addresses":[{"type":"InternalIP","address":"%s"}],`+
		`"conditions":[{"type":"Ready","status":"%s","message":"%s"}],"nodeInfo":{"kubeletVersion":"%s"}},"spec":{"unschedulable":%v}}`, ip, ip, status, message, s.registered(ip), s.Cordoned(ip))
}

// nodes are the Node objects of the nodes that have registered.
func (s *Site) nodes() string {
	var all []string
	for _, h := range s.Table {
		if h.NodeName != "" && s.Hosts[h.IP].Get(kubeletPair) != "" {
			all = append(all, s.node(h.IP))
		}
	}
	return `{"items":[` + strings.Join(all, ",") + `]}`
}
