//go:build !windows

package builder_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"offgrid/builder"
	"offgrid/builder/upstreamtest"
	"offgrid/bundle"
	"offgrid/bundle/hostpack"
)

// edit changes the site's cluster file.
func (s *buildSite) edit(t *testing.T, pairs ...string) {
	t.Helper()
	path := filepath.Join(s.dir, "cluster.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.NewReplacer(pairs...).Replace(string(text)))
}

func (s *buildSite) open(t *testing.T, role string) *bundle.Bundle {
	t.Helper()
	b, err := bundle.Open(filepath.Join(s.dir, "dist", role+".bundle"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// text is the content of a file that a role places on all its hosts.
func text(t *testing.T, b *bundle.Bundle, path string) string {
	t.Helper()
	i := slices.IndexFunc(b.Role.Files, func(f bundle.File) bool { return f.Path == path })
	if i < 0 {
		t.Fatalf("%s places no %s", b.Path, path)
	}
	a, _ := b.Artifact(b.Role.Files[i].Artifact)
	r, err := b.Content(t.Context(), a.Blob, a.Name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func refs(b *bundle.Bundle) string {
	var all []string
	for _, i := range b.Role.Images {
		all = append(all, i.Ref)
	}
	return strings.Join(all, " ")
}

func addonNames(b *bundle.Bundle) string {
	var all []string
	for _, a := range b.Role.Addons {
		all = append(all, a.Name)
	}
	return strings.Join(all, " ")
}

const website = `apiVersion: apps/v1
kind: Deployment
metadata: {name: website, namespace: default}
spec:
  template:
    spec:
      containers:
      - name: nginx
        image: HOST/library/nginx:1.21.4
`

// withWebsite adds an image and a manifest of the operator's to the site and returns the image's name.
func (s *buildSite) withWebsite(t *testing.T) string {
	t.Helper()
	host := strings.TrimPrefix(s.up.URL, "http://")
	s.up.Push(upstreamtest.Image{Repository: "library/nginx", Tag: "1.21.4", Type: upstreamtest.OCIManifest, Layers: [][]byte{[]byte("nginx")}})
	s.edit(t, "hosts:\n", "extras: {images: [\""+host+"/library/nginx:1.21.4\"], manifests: [website.yaml]}\nhosts:\n")
	write(t, filepath.Join(s.dir, "website.yaml"), strings.Replace(website, "HOST", host, 1))
	return host + "/library/nginx:1.21.4"
}

func TestTheOperatorsImagesAndManifestsTravelWithTheRest(t *testing.T) {
	s := newBuildSite(t)
	nginx := s.withWebsite(t)
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	if got, want := refs(s.open(t, "node")), nginx+" docker.io/library/busybox:1.28.4 k8s.gcr.io/coredns:1.7.0 k8s.gcr.io/pause:3.2 quay.io/coreos/flannel:v0.15.1"; got != want {
		t.Errorf("images\n got %s\nwant %s", got, want)
	}
	master := s.open(t, "master")
	if got := addonNames(master); got != "cluster-jobs flannel coredns website" {
		t.Errorf("add-ons %s", got)
	}
	if got := text(t, master, "/opt/kubernetes/cfg/addons/website.yaml"); !strings.Contains(got, "image: "+nginx+"\n") {
		t.Errorf("manifest:\n%s", got)
	}
	lock, err := os.ReadFile(filepath.Join(s.dir, "bundle.lock"))
	if want := "the tag " + nginx + " at the time of the lock; asked for by extras in cluster.yaml"; err != nil || !strings.Contains(string(lock), want) {
		t.Errorf("the lock does not say %q: %v", want, err)
	}
	before := s.dist(t)["master.bundle"]
	write(t, filepath.Join(s.dir, "website.yaml"), strings.Replace(website, "HOST/library/nginx:1.21.4", nginx, 1)+"# changed\n")
	if r, err := s.build(); err != nil || r.Unchanged || s.dist(t)["master.bundle"] == before {
		t.Errorf("a changed manifest changes nothing: %+v, %v", r, err)
	}
}

func TestExtrasThatCannotWorkAreRefused(t *testing.T) {
	s := newBuildSite(t)
	nginx := s.withWebsite(t)
	file := filepath.Join(s.dir, "website.yaml")
	good := strings.Replace(website, "HOST/library/nginx:1.21.4", nginx, 1)
	for content, want := range map[string]string{
		strings.Replace(good, "1.21.4", "1.22", 1):                 "checking extras of cluster.yaml: website.yaml line 9: Deployment default/website: the image " + strings.Replace(nginx, "1.21.4", "1.22", 1) + " is not aboard; list it under extras.images, under exactly this name",
		strings.Replace(good, "apps/v1", "apps/v1beta2", 1):        "/opt/kubernetes/cfg/addons/website.yaml line 1: Deployment default/website: Kubernetes v1.20 has no Deployment in apps/v1beta2; it has it in apps/v1",
		strings.Replace(good, "apiVersion: apps/v1", "a: [", 1):    "checking extras of cluster.yaml: website.yaml:",
		strings.Replace(good, "name: website, namespace", "of", 1): "website.yaml:1:1: the object has no metadata.name",
	} {
		write(t, file, content)
		if _, err := s.build(); err == nil || !strings.Contains(err.Error(), want) || !builder.Refused(err) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := s.build(); err == nil || !strings.Contains(err.Error(), `the manifest "website.yaml" is not in the site`) {
		t.Errorf("got %v", err)
	}
	s.edit(t, "website.yaml", "coredns.yaml")
	if _, err := s.build(); err == nil || !strings.Contains(err.Error(), `the manifest "coredns.yaml" of extras would have the name of the add-on coredns; rename it`) {
		t.Errorf("got %v", err)
	}
}

func TestAPodNetworkThatTheCatalogueHasNotIsRefusedAndNoneIsNone(t *testing.T) {
	s := newBuildSite(t)
	s.edit(t, "hosts:\n", "network: {cni: calico}\nhosts:\n")
	if _, err := s.build(); err == nil || !strings.Contains(err.Error(), `choosing from catalogue "tiny": network.cni is "calico", and it has no such pod network`) {
		t.Errorf("got %v", err)
	}
	s.edit(t, "calico", "none")
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	if got := addonNames(s.open(t, "master")) + "; " + refs(s.open(t, "node")); got != "cluster-jobs coredns; docker.io/library/busybox:1.28.4 k8s.gcr.io/coredns:1.7.0 k8s.gcr.io/pause:3.2" {
		t.Errorf("got %s", got)
	}
}

func TestANodeThatJoinsLaterHasAPackWithoutAnIdentity(t *testing.T) {
	s := newBuildSite(t)
	s.edit(t, "hosts:\n", "nodes: {joinCIDRs: [20.0.0.0/24]}\nhosts:\n")
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	b := s.open(t, "node")
	if got := strings.Join(b.PackHosts(), " "); got != "join node01" {
		t.Fatalf("packs of %s", got)
	}
	pack, err := openPack(t, b, bundle.JoinPack)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range pack.Files {
		line := f.Path
		if f.Fill {
			line += " fill"
		}
		got = append(got, line)
		if bytes.Contains(f.Data, []byte("PRIVATE KEY")) || bytes.Contains(f.Data, []byte("tlsCertFile")) {
			t.Errorf("%s holds a key or names a certificate that nobody has", f.Path)
		}
	}
	want := []string{"/etc/chrony.conf", "/opt/kubernetes/cfg/bootstrap.kubeconfig", "/opt/kubernetes/cfg/kube-proxy.config fill",
		"/opt/kubernetes/cfg/kube-proxy.kubeconfig", "/opt/kubernetes/cfg/kubelet fill", "/opt/kubernetes/cfg/kubelet.config"}
	if !slices.Equal(got, want) {
		t.Errorf("files\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, f := range pack.Files {
		for path, want := range map[string]string{
			"/opt/kubernetes/cfg/kubelet": "--hostname-override={{NAME}} \\\n--node-ip={{IP}} ", "/opt/kubernetes/cfg/kubelet.config": "\nserverTLSBootstrap: true\n",
			"/opt/kubernetes/cfg/kube-proxy.config": "\nhostnameOverride: {{NAME}}\n",
		} {
			if f.Path == path && !strings.Contains(string(f.Data), want) {
				t.Errorf("%s lacks %q:\n%s", path, want, f.Data)
			}
		}
	}
}

func TestASpareMemberHasItsPackAndIsNotPartOfTheBeginning(t *testing.T) {
	s := newBuildSite(t)
	s.edit(t, "  - {name: node02", "  - {name: spare01, ip: 20.0.0.105, roles: [master, etcd], spare: true}\n  - {name: node02")
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	b := s.open(t, "etcd")
	if h, _ := b.Role.Host("spare01"); !h.Spare || h.EtcdName != "etcd03" {
		t.Errorf("host %+v", h)
	}
	for host, want := range map[string]string{
		"master01": "\nETCD_INITIAL_CLUSTER=etcd01=https://20.0.0.100:2380,etcd02=https://20.0.0.103:2380,etcd04=https://20.0.0.104:2380\n",
		"spare01":  "\nETCD_INITIAL_CLUSTER_STATE=existing\n",
	} {
		pack, err := openPack(t, b, host)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(pack.Files, func(f hostpack.File) bool { return f.Path == "/opt/etcd/cfg/etcd" })
		if !strings.Contains(string(pack.Files[i].Data), want) {
			t.Errorf("%s lacks %q:\n%s", host, want, pack.Files[i].Data)
		}
	}
	pack, err := openPack(t, s.open(t, "master"), "spare01")
	if err != nil || !slices.ContainsFunc(pack.Files, func(f hostpack.File) bool {
		return f.Path == "/opt/kubernetes/cfg/kube-apiserver" && !strings.Contains(string(f.Data), "20.0.0.105:2379")
	}) {
		t.Errorf("the spare master: %v", err)
	}
}

// siteRegistry is a registry on this machine, and what it was asked for.
func siteRegistry(t *testing.T) (host string, get func(path string) []byte) {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), func(path string) []byte {
		t.Helper()
		r, err := http.Get(server.URL + "/v2/" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		data, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", path, r.Status, err)
		}
		return data
	}
}

func (s *buildSite) push(t *testing.T, o builder.PushOptions) ([]builder.PushedRef, error) {
	t.Helper()
	site, err := builder.OpenSite(s.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer site.Close()
	return site.Push(t.Context(), o)
}

func TestWithARegistryOfTheSiteBundlesCarryNoImagesAndNodesAskTheRegistry(t *testing.T) {
	s := newBuildSite(t)
	s.withWebsite(t)
	host, get := siteRegistry(t)
	s.edit(t, "hosts:\n", "images: {registry: \""+host+"/site\"}\nhosts:\n")
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	node, master := s.open(t, "node"), s.open(t, "master")
	if got := refs(node); got != "" {
		t.Errorf("aboard are %s", got)
	}
	if slices.ContainsFunc(node.Role.Units, func(u bundle.Unit) bool { return u.Name == "offgrid-images.timer" }) {
		t.Error("images that nobody carried are looked after")
	}
	if got := node.Role.Cluster.Policy.CheckImage; got != host+"/site/library/busybox:1.28.4" {
		t.Errorf("the check's image is %s", got)
	}
	for name, want := range map[string]string{"flannel": "coreos/flannel:v0.15.1", "coredns": "coredns:1.7.0", "website": "library/nginx:1.21.4"} {
		if got := text(t, master, "/opt/kubernetes/cfg/addons/"+name+".yaml"); !strings.Contains(got, "image: "+host+"/site/"+want+"\n") {
			t.Errorf("%s does not name %s:\n%s", name, want, got)
		}
	}
	pack, err := openPack(t, node, "node01")
	if err != nil || !bytes.Contains(pack.Files[slices.IndexFunc(pack.Files, func(f hostpack.File) bool { return f.Path == "/opt/kubernetes/cfg/kubelet" })].Data, []byte("--pod-infra-container-image="+host+"/site/pause:3.2\"")) {
		t.Errorf("kubelet asks elsewhere for pause: %v", err)
	}
	pushed, err := s.push(t, builder.PushOptions{})
	if err != nil || len(pushed) != 5 {
		t.Fatalf("pushed %+v, %v", pushed, err)
	}
	for _, p := range pushed {
		name, tag, _ := strings.Cut(strings.TrimPrefix(p.Ref, host+"/"), ":")
		manifest := get(name + "/manifests/" + tag)
		if bundle.DigestOf(manifest) != p.Digest {
			t.Errorf("%s has other bytes", p.Ref)
		}
		var m bundle.ImageManifest
		if err := json.Unmarshal(manifest, &m); err != nil {
			t.Fatal(err)
		}
		for _, d := range append(m.Layers, m.Config) {
			if bundle.DigestOf(get(name+"/blobs/"+d.Digest.String())) != d.Digest {
				t.Errorf("%s: blob %s has other bytes", p.Ref, d.Digest)
			}
		}
	}
}

func TestPushingWithoutARegistryIsRefused(t *testing.T) {
	s := newBuildSite(t)
	if _, err := s.push(t, builder.PushOptions{}); err == nil || !builder.Refused(err) || err.Error() != "pushing images: which registry? Name one, or set images.registry in cluster.yaml" {
		t.Errorf("got %v", err)
	}
	if _, err := s.push(t, builder.PushOptions{Registry: "Registry of the site"}); err == nil || !strings.Contains(err.Error(), "pushing Registry of the site/library/busybox:1.28.4: ") {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(filepath.Join(s.dir, "bundle.lock")); err != nil {
		t.Fatal(err)
	}
	s.edit(t, "hosts:\n", "images: {registry: \"r.example\"}\nextras: {images: [\"a.example/x:1\", \"b.example/x:1\"]}\nhosts:\n")
	if _, err := s.push(t, builder.PushOptions{}); err == nil || !strings.Contains(err.Error(), "the images a.example/x:1 and b.example/x:1 would both be r.example/x:1 in images.registry") {
		t.Errorf("got %v", err)
	}
}

func TestABundleInARegistryHasItsRootByteForByte(t *testing.T) {
	s := newBuildSite(t)
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	host, get := siteRegistry(t)
	b := s.open(t, "node")
	pushed, err := builder.PushBundle(t.Context(), b.Path, builder.PushOptions{Registry: host})
	if err != nil {
		t.Fatal(err)
	}
	repository, tag, _ := strings.Cut(strings.TrimPrefix(pushed[0].Ref, host+"/"), ":")
	if root := get(repository + "/manifests/" + tag); bundle.DigestOf(root) != b.RootDigest || repository != "offgrid/tiny/node" {
		t.Errorf("%s has digest %s, the bundle's root is %s", pushed[0].Ref, bundle.DigestOf(root), b.RootDigest)
	}
	for _, a := range b.Role.Artifacts {
		if got := get(repository + "/blobs/" + a.Blob.Stored.String()); bundle.DigestOf(got) != a.Blob.Stored {
			t.Errorf("%s: other bytes", a.Name)
		}
	}
}
