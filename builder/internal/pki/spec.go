package pki

import (
	"slices"

	"offgrid/builder/cluster"
)

// spec is what a certificate must be.
type spec struct {
	name   string
	role   string // of the host that needs it
	ca     string
	cn     string
	org    string // "" for none
	server bool   // extended key usage: server authentication
	client bool   // extended key usage: client authentication
	// needs are the names and addresses without which a connection fails; a certificate that lacks one is an error. extra
	// ones are put into a new certificate for convenience: other masters' names may come and go later.
	needs []string
	extra []string
}

// specs lists the certificates of one host, one for each connection.
func specs(f *cluster.File, h cluster.Host) []spec {
	var out []spec
	for _, role := range certifiedRoles() {
		if !h.Has(role) {
			continue
		}
		var of []spec
		switch role {
		case cluster.RoleEtcd:
			of = etcdSpecs(h)
		case cluster.RoleMaster:
			of = masterSpecs(f, h)
		case cluster.RoleNode:
			of = nodeSpecs(f, h)
		}
		for _, s := range of {
			s.role = role
			out = append(out, s)
		}
	}
	return out
}

// certifiedRoles are the roles whose hosts get certificates.
func certifiedRoles() []string {
	return []string{cluster.RoleEtcd, cluster.RoleMaster, cluster.RoleNode}
}

func etcdSpecs(h cluster.Host) []spec {
	names := []string{h.Name, "localhost", h.IP, "127.0.0.1"}
	return []spec{
		// etcd's own gateway presents the server certificate as a client, hence both usages.
		{name: EtcdServer, ca: CAEtcd, cn: "etcd-server-" + h.EtcdName, server: true, client: true, needs: names},
		{name: EtcdPeer, ca: CAEtcd, cn: "etcd-peer-" + h.EtcdName, server: true, client: true, needs: names},
		{name: EtcdAdmin, ca: CAEtcd, cn: "etcd-admin", client: true},
	}
}

func masterSpecs(f *cluster.File, h cluster.Host) []spec {
	domain := f.Network.DNSDomain
	needs := []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + domain,
		"localhost", h.Name, h.IP, "127.0.0.1", f.KubernetesIP(), f.API.Endpoint}
	if f.API.VIP != "" {
		needs = append(needs, f.API.VIP)
	}
	var extra []string
	for _, lb := range f.With(cluster.RoleLB) {
		extra = append(extra, lb.Name, lb.IP)
	}
	for _, m := range f.With(cluster.RoleMaster) {
		extra = append(extra, m.Name, m.IP)
	}
	return []spec{
		{name: APIServer, ca: CAKubernetes, cn: "kube-apiserver", server: true, needs: unique(needs, f.API.ExtraSANs), extra: extra},
		{name: APIServerEtcd, ca: CAEtcd, cn: "kube-apiserver-etcd-client", client: true},
		{name: APIServerKubelet, ca: CAKubernetes, cn: KubeletClientUser, client: true},
		{name: FrontProxyClient, ca: CAFrontProxy, cn: FrontProxyUser, client: true},
		{name: Admin, ca: CAKubernetes, cn: "kubernetes-admin", org: "system:masters", client: true},
		{name: ControllerManager, ca: CAKubernetes, cn: "system:kube-controller-manager", client: true},
		{name: Scheduler, ca: CAKubernetes, cn: "system:kube-scheduler", client: true},
	}
}

func nodeSpecs(f *cluster.File, h cluster.Host) []spec {
	return []spec{
		kubeProxySpec(),
		{name: KubeletServer, ca: CAKubernetes, cn: "system:node:" + f.NodeName(h), org: "system:nodes", server: true, needs: []string{h.Name, h.IP}},
	}
}

func kubeProxySpec() spec {
	return spec{name: KubeProxy, ca: CAKubernetes, cn: "system:kube-proxy", org: "system:node-proxier", client: true}
}

// joinSpecs lists what nodes that the cluster file does not list bring with them: kube-proxy's identity. kubelet asks for its
// own.
func joinSpecs() []spec {
	s := kubeProxySpec()
	s.role = cluster.RoleNode
	return []spec{s}
}

// unique joins lists without repetition, in order.
func unique(lists ...[]string) []string {
	var out []string
	for _, s := range slices.Concat(lists...) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
