package builder

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"offgrid/builder/cluster"
	"offgrid/builder/internal/pki"
	"offgrid/builder/internal/render"
	"offgrid/bundle"
	"offgrid/bundle/hostpack"
)

// checkOf renders a role of the example cluster file, with the certificates in dir, and gives it what it needs aboard.
func checkOf(t *testing.T, dir, role string) *roleCheck {
	t.Helper()
	data, err := os.ReadFile("../manifests/cluster.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := cluster.Load("cluster.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	set, err := pki.Ensure(t.Context(), filepath.Join(dir, "pki"), pki.Request{Cluster: f, Now: time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	c := &roleCheck{cluster: f, pki: set, images: []string{"k8s.gcr.io/coredns:1.7.0", "k8s.gcr.io/pause:3.2", "quay.io/coreos/flannel:v0.15.1"}, programs: []string{
		"/opt/etcd/bin/etcd", "/opt/etcd/bin/etcdctl", "/opt/kubernetes/bin/kube-apiserver", "/opt/kubernetes/bin/kube-controller-manager",
		"/opt/kubernetes/bin/kube-scheduler", "/opt/kubernetes/bin/kubectl", "/opt/kubernetes/bin/kubelet", "/opt/kubernetes/bin/kube-proxy",
	}}
	c.rendered, err = render.Render(render.Request{Cluster: f, PKI: set, Role: role, Images: c.images,
		Addons: []render.Addon{
			{Name: "flannel", Version: "v0.15.1", Template: "flannel.yaml", Images: map[string]string{"flannel": "quay.io/coreos/flannel:v0.15.1"}},
			{Name: "coredns", Version: "1.7.0", Template: "coredns.yaml", Images: map[string]string{"coredns": "k8s.gcr.io/coredns:1.7.0"}},
		},
		Versions: render.Versions{Kubernetes: "v1.20.15", Etcd: "v3.4.26", Docker: "20.10.24"}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatTheExampleRendersPassesEveryCheck(t *testing.T) {
	dir := t.TempDir()
	for _, role := range []string{bundle.RoleEtcd, bundle.RoleMaster, bundle.RoleNode, bundle.RoleLB} {
		if err := checkOf(t, dir, role).run(); err != nil {
			t.Error(err)
		}
	}
}

// edit changes the files at path, on every host.
func (c *roleCheck) edit(path, from, to string) {
	for i := range c.rendered.Texts {
		if x := &c.rendered.Texts[i]; x.Path == path {
			x.Data = []byte(strings.Replace(string(x.Data), from, to, 1))
		}
	}
	for p := range c.rendered.Packs {
		for i := range c.rendered.Packs[p].Files {
			if x := &c.rendered.Packs[p].Files[i]; x.Path == path {
				x.Data = []byte(strings.Replace(string(x.Data), from, to, 1))
			}
		}
	}
}

func TestAFaultInWhatWasRenderedIsFoundBeforeItTravels(t *testing.T) {
	dir := t.TempDir() // certificates are made once for all cases
	const etcdUnit = "/usr/lib/systemd/system/etcd.service"
	for _, c := range []struct {
		role  string
		spoil func(*roleCheck)
		want  string
	}{
		{bundle.RoleEtcd, func(c *roleCheck) { c.edit(etcdUnit, "RestartSec=5", "RuntimeMaxSec=5") }, "systemd 219 does not know RuntimeMaxSec in section \"Service\""},
		{bundle.RoleEtcd, func(c *roleCheck) { c.edit(etcdUnit, "Wants=", "StartLimitBurst=") }, "systemd 219 does not know StartLimitBurst in section \"Unit\""},
		{bundle.RoleEtcd, func(c *roleCheck) { c.edit(etcdUnit, "Type=notify", "Type=exec") }, "systemd 219 does not know Type=exec"},
		{bundle.RoleEtcd, func(c *roleCheck) { c.edit(etcdUnit, "=/opt/etcd/bin/etcd\n", "=+/opt/etcd/bin/etcd\n") }, "needs the full path of a program"},
		{bundle.RoleEtcd, func(c *roleCheck) { c.edit(etcdUnit, "/bin/etcd\n", "/bin/etcd --name=x\n") }, "sets ETCD_NAME, and the unit of etcd --name"},
		{bundle.RoleEtcd, func(c *roleCheck) { c.programs = c.programs[1:] }, "starts /opt/etcd/bin/etcd, which is not aboard"},
		{bundle.RoleEtcd, func(c *roleCheck) { c.cluster.Hosts[2].IP = "20.0.0.114" }, "certificate node01/etcd-peer: x509"},
		{bundle.RoleMaster, func(c *roleCheck) { c.cluster.API.Endpoint = "20.0.0.111" }, "certificate master02/apiserver: x509"},
		{bundle.RoleMaster, func(c *roleCheck) { c.programs = c.programs[:5] }, "link /usr/local/bin/kubectl leads to /opt/kubernetes/bin/kubectl, which is not aboard"},
		{bundle.RoleMaster, func(c *roleCheck) {
			c.rendered.Units = append(c.rendered.Units, bundle.Unit{Name: "x.service"})
		}, "unit x.service is started but not placed"},
		{bundle.RoleMaster, func(c *roleCheck) {
			p := &c.rendered.Packs[0]
			p.Files = append(p.Files, hostpack.File{Path: "/x", Data: c.pki.CA(pki.CAEtcd).Key})
		}, "host master01: /x holds the key of the etcd CA"},
		{bundle.RoleMaster, func(c *roleCheck) {
			c.rendered.Texts = append(c.rendered.Texts, render.Text{Path: "/x", Data: c.pki.ServiceKey})
		}, "/x is for everybody and holds a secret"},
		{bundle.RoleNode, func(c *roleCheck) {
			p := &c.rendered.Packs[0]
			p.Files = append(p.Files, hostpack.File{Path: "/x", Data: slices.Concat([]byte("a"), c.pki.CA(pki.CAKubernetes).Key)})
		}, "host node01: /x holds the key of the kubernetes CA"},
		{bundle.RoleNode, func(c *roleCheck) {
			c.edit("/opt/kubernetes/cfg/bootstrap.kubeconfig", "20.0.0.110", "20.0.0.103")
		}, "host node02: /opt/kubernetes/cfg/bootstrap.kubeconfig leads to no API server"},
		{bundle.RoleNode, func(c *roleCheck) { c.rendered.Cluster.Policy.DockerVersion = "26.1.4" }, "docker \"26.1.4\" does not work"},
		{bundle.RoleEtcd, func(c *roleCheck) {
			c.edit("/usr/lib/systemd/system/offgrid-etcd-snapshot.timer", "Persistent=true", "RandomizedDelaySec=5")
		}, "systemd 219 does not know RandomizedDelaySec in section \"Timer\""},
		{bundle.RoleNode, func(c *roleCheck) {
			c.rendered.Texts = slices.DeleteFunc(c.rendered.Texts, func(x render.Text) bool { return x.Artifact == "unit/offgrid-images.service" })
		}, "unit offgrid-images.timer starts offgrid-images.service, which is not placed"},
		{bundle.RoleMaster, func(c *roleCheck) { c.images = c.images[1:] }, "/opt/kubernetes/cfg/addons/coredns.yaml line 105: Deployment kube-system/coredns: the image k8s.gcr.io/coredns:1.7.0 is not aboard"},
		{bundle.RoleMaster, func(c *roleCheck) {
			c.edit("/opt/kubernetes/cfg/addons/flannel.yaml", "apps/v1", "apps/v1beta1")
		}, "DaemonSet kube-system/kube-flannel-ds: Kubernetes v1.20 has no DaemonSet in apps/v1beta1; it has it in apps/v1"},
		{bundle.RoleMaster, func(c *roleCheck) {
			c.edit("/opt/kubernetes/cfg/kube-controller-manager", "--allocate-node-cidrs=true", "--allocate-node-cidrs=false")
		}, "host master01: /opt/kubernetes/cfg/kube-controller-manager lacks --allocate-node-cidrs=true: no node would get a network"},
		{bundle.RoleNode, func(c *roleCheck) { c.images = nil }, "names the image k8s.gcr.io/pause:3.2, which is not aboard"},
	} {
		check := checkOf(t, dir, c.role)
		c.spoil(check)
		err := check.run()
		var found *RenderError
		if !errors.As(err, &found) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.role, err, c.want)
		}
	}
}
