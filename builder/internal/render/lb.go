package render

import (
	"path"
	"slices"

	"offgrid/builder/cluster"
	"offgrid/bundle"
)

const (
	nginxConf      = "/etc/nginx/nginx.conf"
	keepalivedConf = "/etc/keepalived/keepalived.conf"
	// checkScript lies where el7's SELinux policy lets keepalived run a program of any kind.
	checkScript = "/usr/libexec/keepalived/check-apiserver"
)

// lb is what all load balancers have: nginx in front of the masters, and keepalived with the script that it asks.
func (r *renderer) lb(role *Role) {
	// The package may bring the directory, empty.
	role.Dirs = append(role.Dirs, bundle.Dir{Path: path.Dir(checkScript), Mode: 0o755, Owner: "root", Group: "root", Keep: "empty"})
	role.Sysctls = append(role.Sysctls,
		bundle.Setting{Key: "net.ipv4.tcp_keepalive_intvl", Value: "5"},
		bundle.Setting{Key: "net.ipv4.tcp_keepalive_probes", Value: "3"},
		bundle.Setting{Key: "net.ipv4.tcp_keepalive_time", Value: "30"})
	role.Texts = append(role.Texts,
		r.text("lb/k8s-lb.conf", "/etc/sysctl.d/k8s-lb.conf", 0o644),
		r.text("lb/nginx.conf", nginxConf, 0o644),
		r.text("lb/check-apiserver", checkScript, 0o755))
	role.Units = append(role.Units,
		bundle.Unit{Name: "nginx.service", Package: "nginx", Restarts: []string{nginxConf}},
		bundle.Unit{Name: "keepalived.service", Package: "keepalived", Restarts: []string{keepalivedConf}})
}

// lb is what one load balancer has: its interface, which only the host knows, and the secret that they share.
func (p *packer) lb() {
	p.template("lb/keepalived.conf", keepalivedConf, 0o600, true)
	p.out.Files[len(p.out.Files)-1].Fill = true
}

// balancer fills in who the others are, and the host's place among them: the first of the file is the first to hold the VIP.
func (v *view) balancer(req Request) {
	all := req.Cluster.With(cluster.RoleLB)
	i := slices.IndexFunc(all, func(h cluster.Host) bool { return h.Name == v.Host.Name })
	v.Peers = slices.Delete(slices.Clone(all), i, i+1)
	v.Priority = max(100-10*i, 10)
	v.VRRPSecret = req.PKI.VRRPSecret
}
