package installer

import "offgrid/bundle"

// node plans a worker. docker comes first, since kubelet ends when it finds docker with another cgroup driver, then the
// images, since no pod starts without the one that holds its network. A node that is registered but NotReady is the end of
// the plan only where the cluster file plans no pod network.
func (p *planner) node() {
	p.base()
	p.phase(phaseServices)
	p.units(func(u bundle.Unit) bool { return u.Package != "" })
	p.add(&WaitStep{Name: "docker", Wait: p.own(), Probe: p.dockerReady()})
	p.images()
	p.proxySettings()
	p.units(func(u bundle.Unit) bool { return u.Package == "" })
	p.phase(phaseCluster)
	p.add(
		&WaitStep{Name: "the API server", Wait: p.peers(), Probe: p.endpointReady()},
		&WaitStep{Name: "the node's certificate", Wait: p.own(), Probe: p.nodeCertificate()},
		&WaitStep{Name: "the node in the cluster", Wait: p.own(), Probe: p.nodeRegistered()},
	)
	if joins(p.index, p.in.Host) {
		p.add(&WaitStep{Name: "the node's serving certificate", Wait: p.peers(), Probe: p.servingCertificate()})
	}
	p.networkReady()
}
