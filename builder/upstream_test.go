package builder_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto"
	crand "crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"offgrid/builder"
	"offgrid/builder/catalogue"
	"offgrid/builder/cluster"
	"offgrid/builder/upstreamtest"
	"offgrid/bundle/progress"
)

// program is a file that says its version in the middle.
func program(name, version string) []byte {
	r := rand.New(rand.NewPCG(1, uint64(len(name))))
	b := make([]byte, 64<<10)
	for i := range b {
		b[i] = byte(r.IntN(16))
	}
	copy(b[32<<10-3:], name+" "+version)
	return b
}

func tarball(files map[string][]byte, order ...string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range order {
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(files[name])), Mode: 0o755})
		w.Write(files[name])
	}
	w.Close()
	z.Close()
	return b.Bytes()
}

// site is an upstream with everything that a small cluster needs, and a store.
type site struct {
	up       *upstreamtest.Upstream
	cat      *catalogue.Catalogue
	cluster  *cluster.File
	store    *builder.Store
	baseline []byte

	mu     sync.Mutex
	events []progress.Event
}

const (
	etcdTar = "/etcd/v3.4.26/etcd-v3.4.26-linux-amd64.tar.gz"
	kubeTar = "/k8s/v1.20.15/kubernetes-server-linux-amd64.tar.gz"
	etcdSum = "/etcd/v3.4.26/SHA256SUMS"
	rpmPath = "/docker/7/Packages/docker-ce-20.10.24-3.el7.x86_64.rpm"
)

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{up: upstreamtest.New(t)}
	var err error
	if s.store, err = builder.OpenStore(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.Close() })
	etcd := map[string][]byte{"etcd-v3.4.26-linux-amd64/etcd": program("etcd", "3.4.26"), "etcd-v3.4.26-linux-amd64/README.md": []byte("read me")}
	s.up.File(etcdTar, tarball(etcd, "etcd-v3.4.26-linux-amd64/README.md", "etcd-v3.4.26-linux-amd64/etcd"))
	s.up.Sums(etcdSum, etcdTar)
	kube := map[string][]byte{"kubernetes/server/bin/kubelet": program("kubelet", "v1.20.15"), "kubernetes/server/bin/kubectl": program("kubectl", "v1.20.15")}
	kubeBytes := tarball(kube, "kubernetes/server/bin/kubectl", "kubernetes/server/bin/kubelet")
	s.up.File(kubeTar, kubeBytes)
	s.up.File("/crictl", []byte("#!/bin/sh\n"))
	key := vendorKey()
	s.up.File("/docker/gpg", key.file)
	s.up.Repo("/docker/7", upstreamtest.Repo{RPMs: []upstreamtest.RPM{{
		Name: "docker-ce", Epoch: 3, Version: "20.10.24", Release: "3.el7", Arch: "x86_64", Payload: []byte("payload"), SignAll: key.sign, AllTag: 1002,
	}}})
	s.up.Push(upstreamtest.Image{Repository: "pause", Tag: "3.2", Type: upstreamtest.DockerManifest, List: upstreamtest.DockerList, Layers: [][]byte{[]byte("pause")}})
	text := strings.NewReplacer("UP", s.up.URL, "HOST", strings.TrimPrefix(s.up.URL, "http://"), "FINGERPRINT", key.fingerprint,
		"SHA512", fmt.Sprintf("%x", sha512.Sum512(kubeBytes))).Replace(catalogueText)
	if s.cat, err = catalogue.Load("catalogue.yaml", []byte(text)); err != nil {
		t.Fatal(err)
	}
	s.cluster = &cluster.File{Hosts: []cluster.Host{
		{Name: "node01", IP: "20.0.0.103", Roles: []string{"node", "etcd"}}, {Name: "node02", IP: "20.0.0.104", Roles: []string{"node"}},
	}}
	return s
}

const catalogueText = `schema: 1
name: test
platform: {os: linux, arch: amd64, family: el7}
mirrors: []
keys:
  - {id: docker, fingerprint: FINGERPRINT, url: UP/docker/gpg}
repositories:
  - {id: docker, baseURL: UP/docker/7/, key: docker, signedMetadata: false}
downloads:
  - id: etcd
    component: etcd
    kind: archive
    default: v3.4.26
    releases:
      - {version: v3.4.26, url: UP/etcd/v3.4.26/etcd-v3.4.26-linux-amd64.tar.gz, sums: {url: UP/etcd/v3.4.26/SHA256SUMS, algorithm: sha256}}
    members:
      - {name: etcd, path: "etcd-v{version}-linux-amd64/etcd", contains: "{version}"}
  - id: kubernetes-server
    component: kubernetes
    kind: archive
    default: v1.20.15
    releases:
      - {version: v1.20.15, url: UP/k8s/v1.20.15/kubernetes-server-linux-amd64.tar.gz, sha512: SHA512}
    members:
      - {name: kubectl, path: kubernetes/server/bin/kubectl, contains: "v{version}"}
      - {name: kubelet, path: kubernetes/server/bin/kubelet, contains: "v{version}"}
  - id: crictl
    component: crictl
    kind: file
    default: v1
    releases:
      - {version: v1, url: UP/crictl, sha256: a8076d3d28d21e02012b20eaf7dbf75409a6277134439025f282e368e3305abf}
packageSets:
  - id: docker
    component: docker
    default: 20.10.24
    releases:
      - {version: 20.10.24, packages: [{name: docker-ce, evr: "3:20.10.24-3.el7", arch: x86_64, repository: docker}]}
images:
  - {ref: "k8s.gcr.io/pause:3.2", source: "HOST/pause:3.2"}
roles:
  - name: etcd
    programs: [{artifact: etcd, path: /opt/etcd/bin/etcd}]
    packageSets: []
    images: []
  - name: master
    programs: [{artifact: kubectl, path: /opt/kubernetes/bin/kubectl}]
    packageSets: []
    images: []
  - name: node
    programs: [{artifact: kubelet, path: /opt/kubernetes/bin/kubelet}, {artifact: crictl, path: /usr/local/bin/crictl}]
    packageSets: [docker]
    images: ["k8s.gcr.io/pause:3.2"]
`

// vendorKey signs the packages of every site: making a key takes longer than everything else here.
var vendorKey = sync.OnceValue(func() vendor { sign, fp, file := newKey(); return vendor{sign, fp, file} })

type vendor struct {
	sign        func([]byte) []byte
	fingerprint string
	file        []byte
}

// newKey makes a key: a signing function, its fingerprint and its file.
func newKey() (sign func([]byte) []byte, fingerprint string, file []byte) {
	k, err := rsa.GenerateKey(crand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	private := packet.NewRSAPrivateKey(time.Unix(1400000000, 0), k)
	var b bytes.Buffer
	w, err := armor.Encode(&b, "PGP PUBLIC KEY BLOCK", nil)
	if err != nil {
		panic(err)
	}
	private.PublicKey.Serialize(w)
	w.Close()
	return func(content []byte) []byte {
		sig := &packet.Signature{Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: private.PubKeyAlgo, Hash: crypto.SHA256, CreationTime: time.Unix(1500000000, 0), IssuerKeyId: &private.KeyId}
		h := crypto.SHA256.New()
		h.Write(content)
		if err := sig.Sign(h, private, nil); err != nil {
			panic(err)
		}
		var out bytes.Buffer
		sig.Serialize(&out)
		return out.Bytes()
	}, fmt.Sprintf("%X", private.Fingerprint), b.Bytes()
}

func (s *site) report(e progress.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

// started lists the items whose work began in a phase.
func (s *site) started(phase string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, e := range s.events {
		if e.Phase == phase && e.Kind == progress.Start {
			list = append(list, e.Item)
		}
	}
	return list
}

func quick() builder.Download {
	return builder.Download{Pause: func(int) time.Duration { return 0 }, Stall: 10 * time.Second}
}

func (s *site) lock(t testing.TB) (*builder.Lock, error) {
	t.Helper()
	return builder.MakeLock(t.Context(), builder.LockOptions{
		Cluster: s.cluster, Catalogue: s.cat, CatalogueBytes: []byte("the catalogue"), Store: s.store, Download: quick(),
		Baseline: s.baseline, Now: s.now(), Report: s.report,
	})
}

func (s *site) materialise(t *testing.T, l *builder.Lock) (*builder.Materials, error) {
	t.Helper()
	return builder.Materialise(t.Context(), builder.MaterialiseOptions{Lock: l, Store: s.store, Download: quick(), Report: s.report})
}
