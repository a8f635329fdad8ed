package render

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"offgrid/builder/cluster"
	"offgrid/builder/internal/pki"
	"offgrid/bundle"
	"offgrid/bundle/hostpack"
)

// packer collects the files of one host for one role.
type packer struct {
	r    *renderer
	host cluster.Host
	view view
	out  *hostpack.Pack
	err  error // the first
}

// pack renders what one host needs for the role and no other host may have.
func (r *renderer) pack(h cluster.Host) (*hostpack.Pack, error) {
	p := &packer{r: r, host: h, view: r.viewOf(h), out: &hostpack.Pack{
		Format: bundle.Format, Cluster: r.req.PKI.ClusterID, Role: r.req.Role, Host: h.Name, IP: h.IP,
	}}
	if h.Name == bundle.JoinPack {
		p.view.Join, p.view.NodeName, p.out.IP = true, hostpack.FillName, ""
	}
	p.template("host/chrony.conf", "/etc/chrony.conf", 0o644, false)
	switch r.req.Role {
	case bundle.RoleEtcd:
		p.etcd()
	case bundle.RoleMaster:
		p.master()
	case bundle.RoleNode:
		p.node()
	case bundle.RoleLB:
		p.lb()
	}
	if p.err != nil {
		return nil, p.err
	}
	slices.SortFunc(p.out.Files, func(a, b hostpack.File) int { return cmp.Compare(a.Path, b.Path) })
	return p.out, nil
}

func (p *packer) etcd() {
	p.template("etcd/etcd", etcdDir+"/cfg/etcd", 0o644, false)
	p.pair(pki.EtcdServer, etcdDir+"/ssl/server", "etcd")
	if !p.r.seed() { // there the members know each other by what they serve with
		p.pair(pki.EtcdPeer, etcdDir+"/ssl/peer", "etcd")
	}
	p.pair(pki.EtcdAdmin, etcdDir+"/ssl/admin", "root")
}

func (p *packer) master() {
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		p.template("master/"+name, kubeCfg+"/"+name, 0o644, false)
	}
	if p.r.req.Cluster.Security.EncryptionAtRest {
		p.template("master/encryption.yaml", kubeCfg+"/encryption.yaml", 0o600, true)
	}
	for _, name := range apiServerPairs() {
		p.pair(name, kubeSSL+"/"+name, "root")
	}
	p.file(hostpack.File{Path: kubeSSL + "/sa.key", Mode: 0o600, Secret: true, Data: p.r.req.PKI.ServiceKey})
	// The controller manager signs nodes' certificates with it: the one CA key that leaves the build's directory.
	p.file(hostpack.File{Path: kubeSSL + "/ca-key.pem", Mode: 0o600, Secret: true, Data: p.r.req.PKI.CA(pki.CAKubernetes).Key})
	// These two talk to the API server of their own host, so that a master works whatever the others do. The operator's commands
	// go where they work while any master does.
	own := p.r.req.Cluster.ServerAt(p.host.IP)
	operator := own
	if p.r.req.Cluster.API.VIP != "" {
		operator = p.r.req.Cluster.Server()
	}
	p.certKubeconfig(kubeCfg+"/kube-controller-manager.kubeconfig", "system:kube-controller-manager", own, pki.ControllerManager)
	p.certKubeconfig(kubeCfg+"/kube-scheduler.kubeconfig", "system:kube-scheduler", own, pki.Scheduler)
	p.certKubeconfig("/root/.kube/config", "kubernetes-admin", operator, pki.Admin)
	if p.r.seed() {
		p.template("master/token.csv", tokenCSV, 0o600, true)
	} else {
		p.out.Token = p.token()
	}
}

func (p *packer) node() {
	p.template("node/kubelet", kubeCfg+"/kubelet", 0o644, false)
	p.template("node/kubelet.config", kubeCfg+"/kubelet.config", 0o644, false)
	p.template("node/kube-proxy.config", kubeCfg+"/kube-proxy.config", 0o644, false)
	// A node that joins asks the cluster for its serving certificate.
	if !p.view.Join {
		p.pair(pki.KubeletServer, kubeSSL+"/"+pki.KubeletServer, "root")
	}
	server := p.r.req.Cluster.Server()
	p.certKubeconfig(kubeCfg+"/kube-proxy.kubeconfig", "system:kube-proxy", server, pki.KubeProxy)
	token := p.r.req.PKI.TokenID + "." + p.r.req.PKI.TokenSecret
	if p.r.seed() {
		token = p.r.req.PKI.StaticToken
	}
	p.kubeconfig(kubeCfg+"/bootstrap.kubeconfig", kubeconfig{User: "kubelet-bootstrap", Server: server, CAFile: kubeCA, Token: token})
}

func (p *packer) token() *hostpack.Token {
	ttl, err := time.ParseDuration(p.r.req.Cluster.Security.BootstrapTTL)
	p.note(err)
	return &hostpack.Token{ID: p.r.req.PKI.TokenID, Secret: p.r.req.PKI.TokenSecret, TTLSeconds: int64(ttl / time.Second)}
}

func (p *packer) note(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *packer) file(f hostpack.File) {
	if p.view.Join {
		f.Fill = bytes.Contains(f.Data, []byte(hostpack.FillIP)) || bytes.Contains(f.Data, []byte(hostpack.FillName))
	}
	if f.Owner == "" {
		f.Owner, f.Group = "root", "root"
	}
	p.out.Files = append(p.out.Files, f)
}

func (p *packer) template(name, path string, mode uint32, secret bool) {
	data, err := p.r.execute(name, p.view)
	p.note(err)
	p.file(hostpack.File{Path: path, Mode: mode, Secret: secret, Data: data})
}

// pair places a certificate at base.pem and its key at base-key.pem.
func (p *packer) pair(name, base, owner string) {
	pair, err := p.r.req.PKI.Leaf(p.host.Name, name)
	p.note(err)
	p.file(hostpack.File{Path: base + ".pem", Mode: 0o644, Owner: owner, Group: owner, Data: pair.Cert})
	p.file(hostpack.File{Path: base + "-key.pem", Mode: 0o600, Owner: owner, Group: owner, Secret: true, Data: pair.Key})
}

// kubeconfig is what the template of one takes: a certificate and key, or a token; base64 but for the token. CAFile is for what
// copies what it is given, as kubelet does: a name stays right when the authority changes, the authority itself does not.
type kubeconfig struct {
	User, Server, CA, CAFile, Cert, Key, Token string
}

func (p *packer) certKubeconfig(path, user, server, name string) {
	pair, err := p.r.req.PKI.Leaf(p.host.Name, name)
	p.note(err)
	b64 := base64.StdEncoding.EncodeToString
	p.kubeconfig(path, kubeconfig{User: user, Server: server, Cert: b64(pair.Cert), Key: b64(pair.Key)})
}

func (p *packer) kubeconfig(path string, k kubeconfig) {
	k.CA = base64.StdEncoding.EncodeToString(p.r.req.PKI.Trust(pki.CAKubernetes))
	data, err := p.r.execute("host/kubeconfig", k)
	if err != nil {
		p.note(fmt.Errorf("%s: %w", path, err))
	}
	p.file(hostpack.File{Path: path, Mode: 0o600, Secret: true, Data: data})
}
