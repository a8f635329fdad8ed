package installer

import "offgrid/bundle"

// Paths of a master that the plan names itself.
const (
	kubectlPath     = "/opt/kubernetes/bin/kubectl"
	adminKubeconfig = "/root/.kube/config"
)

// master plans an API server with its two companions. They are started only when etcd can answer: without it they would
// end and start again until systemd gives up. What is done to the cluster is done by whichever master comes first, always
// through its own API server: the address that kubeconfigs name may be that of balancers, which may come later.
func (p *planner) master() {
	p.base()
	p.phase(phaseServices)
	p.add(&WaitStep{Name: "most members of etcd", Wait: p.peers(), Probe: p.etcdQuorum()})
	p.units(func(bundle.Unit) bool { return true })
	p.phase(phaseCluster)
	p.add(&WaitStep{Name: "the API server of this host", Wait: p.own(), Probe: p.apiReady()})
	for i, a := range p.index.Addons {
		p.apply(a)
		if i == 0 {
			p.token() // the first one has given those who have it their rights
		}
	}
	p.add(&WaitStep{Name: "leaders of scheduler and controller-manager", Wait: p.own(), Probe: p.leases()})
}

// token plans that nodes may join.
func (p *planner) token() {
	if p.in.Pack != nil && p.in.Pack.Token != nil {
		p.add(&TokenStep{Token: *p.in.Pack.Token, Kubectl: kubectlPath, Kubeconfig: adminKubeconfig, Server: ownAPI(p.index, p.in.Host), Now: p.in.Now})
		if p.in.State != nil {
			p.add(&forgetStep{p.in.State})
		}
	}
}

func (p *planner) apply(a bundle.Addon) {
	p.add(&ApplyStep{Name: a.Name, Manifest: a.Path, Kubectl: kubectlPath, Kubeconfig: adminKubeconfig, Server: ownAPI(p.index, p.in.Host),
		Serial: p.index.Cluster.Serial})
}
