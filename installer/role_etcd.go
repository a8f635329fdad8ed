package installer

import "offgrid/bundle"

// etcd plans a member of etcd. Its service is started without waiting: it is ready only once most members are there.
func (p *planner) etcd() {
	p.base()
	p.add(&markStep{Path: dataMark(p.index.Cluster.Policy.EtcdDataDir), Cluster: p.index.Cluster.ID})
	p.phase(phaseServices)
	p.memberStart()
	p.units(func(bundle.Unit) bool { return true })
	p.phase(phaseCluster)
	p.add(&WaitStep{Name: "most members of etcd", Wait: p.peers(), Probe: p.etcdQuorum()})
	p.add(&WaitStep{Name: "one leader of etcd", Wait: p.peers(), Probe: p.etcdLeader()})
}
