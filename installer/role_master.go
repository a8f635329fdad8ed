package installer

import "offgrid/bundle"

// Paths of a master that the plan names itself.
const (
	kubectlPath     = "/opt/kubernetes/bin/kubectl"
	adminKubeconfig = "/root/.kube/config"
	clusterJobs     = "/opt/kubernetes/cfg/cluster-jobs.yaml"
)

// master plans an API server with its two companions. They are started only when etcd can answer: without it they would
// end and start again until systemd gives up.
func (p *planner) master() {
	p.base()
	p.phase(phaseServices)
	p.add(&WaitStep{Name: "most members of etcd", Wait: p.peers(), Probe: p.etcdQuorum()})
	p.units(func(bundle.Unit) bool { return true })
	p.phase(phaseCluster)
	p.add(&WaitStep{Name: "the API server of this host", Wait: p.own(), Probe: p.apiReady()})
	if p.places(clusterJobs) {
		p.add(&ApplyStep{Name: "cluster-jobs", Manifest: clusterJobs, Kubectl: kubectlPath, Kubeconfig: adminKubeconfig})
	}
	if p.in.Pack != nil && p.in.Pack.Token != nil {
		p.add(&TokenStep{Token: *p.in.Pack.Token, Kubectl: kubectlPath, Kubeconfig: adminKubeconfig, Now: p.in.Now})
	}
	p.add(&WaitStep{Name: "leaders of scheduler and controller-manager", Wait: p.own(), Probe: p.leases()})
}
