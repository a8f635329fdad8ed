package installer

import (
	"path"
	"strings"

	"offgrid/bundle"
)

// Units of a load balancer.
const (
	nginxUnit      = "nginx.service"
	keepalivedUnit = "keepalived.service"
)

// lb plans a load balancer: nginx in front of the API servers, and keepalived, which gives the cluster's address to one
// balancer at a time. nginx judges its settings before it is started with them, so that a fault never ends one that works.
func (p *planner) lb() {
	p.base()
	p.phase(phaseServices)
	for _, u := range p.index.Units {
		if u.Name == nginxUnit {
			p.tryNginx(u)
		}
		p.unit(u)
	}
	if p.index.Cluster.VIP == "" {
		return
	}
	p.phase(phaseCluster)
	p.add(&WaitStep{Name: "an API server at " + p.index.Cluster.VIP, Wait: p.peers(), Probe: p.balanced()})
}

// tryNginx plans the test of nginx's settings. el7's nginx has -t, -q and -c; keepalived 1.3.5 has nothing like it.
func (p *planner) tryNginx(u bundle.Unit) {
	for _, file := range p.paths() {
		if path.Base(file) == "nginx.conf" {
			p.add(&TryStep{Path: file, Argv: []string{"nginx", "-t", "-q", "-c", file}, Unit: UnitStep{Unit: u.Name, Restarts: u.Restarts}})
		}
	}
}

// paths are the files that the role places.
func (p *planner) paths() []string {
	var paths []string
	for _, f := range p.index.Files {
		paths = append(paths, f.Path)
	}
	for _, f := range p.packFiles() {
		paths = append(paths, f.Path)
	}
	return paths
}

// places reports whether the role brings a file below dir itself.
func (p *planner) places(dir string) bool {
	for _, file := range p.paths() {
		if strings.HasPrefix(file, dir) {
			return true
		}
	}
	return false
}
