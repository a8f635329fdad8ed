package render

import (
	"offgrid/builder/cluster"
	"offgrid/bundle"
)

// podRoutes lets masters reach pods. Nothing else on a master does: it has no kubelet and no kube-proxy, and the API server
// calls webhooks and aggregated API servers at the addresses of their pods. Calico announces its networks in a way of its own, and
// what another pod network does is not known.
func (r *renderer) podRoutes(role *Role) {
	if r.req.Cluster.Network.CNI != cluster.CNIFlannel {
		return
	}
	script := r.text("master/pod-routes", kubeDir+"/bin/pod-routes", 0o755)
	role.Texts = append(role.Texts, script, r.unit("master/offgrid-pod-routes.service"))
	role.Units = append(role.Units, bundle.Unit{Name: "offgrid-pod-routes.service", Restarts: []string{script.Path, kubeCfg + "/kube-scheduler.kubeconfig"}})
}
