package render

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strings"
	"text/template"

	"offgrid/builder/cluster"
	"offgrid/builder/internal/pki"
	"offgrid/bundle"
	"offgrid/manifests"
)

// renderer executes the templates for one request. Its first error is kept, so that lists of files read as lists.
type renderer struct {
	req       Request
	templates *template.Template
	view      view // of no host
	err       error
}

// view is what templates see.
type view struct {
	File              *cluster.File
	Host              cluster.Host // per-host files only
	NodeName          string
	ClusterID         string
	InitialCluster    string   // "etcd01=https://20.0.0.100:2380,..."
	EtcdServers       string   // "https://20.0.0.100:2379,..."
	TimeSource        string   // IP of the host that keeps the time when there are no servers
	TimeClients       []string // networks that it serves
	CipherSuites      string
	CipherSuiteList   []string
	EncryptionKey     string // per-host files only
	StaticToken       string // per-host files only
	KubeletClientUser string
	PauseImage        string
	Join              bool           // the host is one that the cluster file does not list
	Masters           []cluster.Host // load balancers only: all masters, spare ones too
	Peers             []cluster.Host // a load balancer's own files only: the others
	Priority          int            // of a load balancer, in VRRP
	VRRPSecret        string         // a load balancer's own files only
}

func newRenderer(req Request) (*renderer, error) {
	files, err := manifests.Templates()
	if err != nil {
		return nil, fmt.Errorf("reading the templates: %w", err)
	}
	r := &renderer{req: req, templates: template.New("").Option("missingkey=error")}
	for _, dir := range []string{"host", "etcd", "master", "node", "lb", "addons"} {
		if err := r.parse(files, dir); err != nil {
			return nil, fmt.Errorf("reading the templates: %w", err)
		}
	}
	f := req.Cluster
	var initial, servers []string
	for _, h := range f.Active(cluster.RoleEtcd) {
		initial = append(initial, fmt.Sprintf("%s=https://%s:2380", h.EtcdName, h.IP))
		servers = append(servers, fmt.Sprintf("https://%s:2379", h.IP))
	}
	source, _ := f.HostNamed(f.OS.NTP.FallbackHost)
	r.view = view{
		File: f, ClusterID: req.PKI.ClusterID, InitialCluster: strings.Join(initial, ","), EtcdServers: strings.Join(servers, ","),
		TimeSource: source.IP, TimeClients: timeClients(f), CipherSuites: strings.Join(cipherSuites(), ","), CipherSuiteList: cipherSuites(),
		KubeletClientUser: pki.KubeletClientUser, Masters: f.With(cluster.RoleMaster),
	}
	if req.Role == bundle.RoleNode {
		if r.view.PauseImage, err = pauseImage(req.Images); err != nil {
			return nil, err
		}
		r.view.PauseImage = f.ImageAt(r.view.PauseImage)
	}
	return r, nil
}

// cipherSuites are those with forward secrecy and authenticated encryption, by the names that Kubernetes 1.20 knows. TLS
// 1.3 has its own and cannot be told.
func cipherSuites() []string {
	return []string{
		"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
	}
}

// timeClients are the networks whose hosts may ask for the time: a /24 around each host, and those that may join.
func timeClients(f *cluster.File) []string {
	var out []string
	for _, h := range f.Hosts {
		if ip, err := netip.ParseAddr(h.IP); err == nil {
			out = append(out, netip.PrefixFrom(ip, 24).Masked().String())
		}
	}
	out = append(out, f.Nodes.JoinCIDRs...)
	slices.Sort(out)
	return slices.Compact(out)
}

// pauseImage finds the image that holds a pod's network among those aboard.
func pauseImage(images []string) (string, error) {
	for _, ref := range images {
		name, _, _ := strings.Cut(path.Base(ref), ":")
		if name == "pause" || strings.HasPrefix(name, "pause-") {
			return ref, nil
		}
	}
	return "", fmt.Errorf("rendering role %q: the catalogue gives it no image named pause, without which no pod starts", bundle.RoleNode)
}

func (r *renderer) viewOf(h cluster.Host) view {
	v := r.view
	v.Host, v.NodeName, v.EncryptionKey = h, r.req.Cluster.NodeName(h), r.req.PKI.EncryptionKey
	v.StaticToken = r.req.PKI.StaticToken
	if h.Spare && h.Has(cluster.RoleEtcd) {
		v.InitialCluster += fmt.Sprintf(",%s=https://%s:2380", h.EtcdName, h.IP)
	}
	if r.req.Role == bundle.RoleLB {
		v.balancer(r.req)
	}
	return v
}

func (r *renderer) execute(name string, data any) ([]byte, error) {
	t := r.templates.Lookup(name)
	if t == nil {
		return nil, fmt.Errorf("internal error: no template %q", name)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// text renders a public file of root's.
func (r *renderer) text(name, path string, mode uint32) Text {
	data, err := r.execute(name, r.view)
	if err != nil && r.err == nil {
		r.err = err
	}
	return Text{Artifact: "file" + path, Path: path, Mode: mode, Owner: "root", Group: "root", Data: data}
}

func (r *renderer) unit(name string) Text {
	t := r.text(name, unitPath(path.Base(name)), 0o644)
	t.Artifact = "unit/" + path.Base(name)
	return t
}

// plain is a public file that is not made from a template: a certificate.
func (r *renderer) plain(path string, data []byte, owner string) Text {
	return Text{Artifact: "file" + path, Path: path, Mode: 0o644, Owner: owner, Group: owner, Data: data}
}

// parse reads the templates of one directory; "etcd/etcd.tmpl" is then known as "etcd/etcd".
func (r *renderer) parse(files fs.FS, dir string) error {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		text, err := fs.ReadFile(files, path.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		name := path.Join(dir, strings.TrimSuffix(e.Name(), ".tmpl"))
		if _, err := r.templates.New(name).Parse(string(text)); err != nil {
			return err
		}
	}
	return nil
}
