package upstreamtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"offgrid/bundle/signature"
)

const tinyCatalogue = `schema: 1
name: tiny
platform: {os: linux, arch: amd64, family: el7}
mirrors: []
keys:
  - {id: vendor, fingerprint: FINGERPRINT, url: UPSTREAM/rpm/key}
repositories:
  - {id: vendor, baseURL: UPSTREAM/rpm/7/, key: vendor, signedMetadata: false}
downloads:
  - id: etcd
    component: etcd
    kind: archive
    default: v3.4.26
    releases:
      - version: v3.4.26
        url: UPSTREAM/etcd/v3.4.26/etcd-v3.4.26-linux-amd64.tar.gz
        sums: {url: UPSTREAM/etcd/v3.4.26/SHA256SUMS, algorithm: sha256}
    members:
      - {name: etcd, path: "etcd-v{version}-linux-amd64/etcd", contains: "{version}"}
      - {name: etcdctl, path: "etcd-v{version}-linux-amd64/etcdctl", contains: "{version}"}
  - id: kubernetes-server
    component: kubernetes
    kind: archive
    default: v1.20.15
    releases:
      - version: v1.20.15
        url: UPSTREAM/v1.20.15/kubernetes-server-linux-amd64.tar.gz
        sums: {url: UPSTREAM/v1.20.15/SHA256SUMS, algorithm: sha256}
    members:
      - {name: kube-apiserver, path: kubernetes/server/bin/kube-apiserver, contains: "v{version}"}
      - {name: kube-controller-manager, path: kubernetes/server/bin/kube-controller-manager, contains: "v{version}"}
      - {name: kube-proxy, path: kubernetes/server/bin/kube-proxy, contains: "v{version}"}
      - {name: kube-scheduler, path: kubernetes/server/bin/kube-scheduler, contains: "v{version}"}
      - {name: kubectl, path: kubernetes/server/bin/kubectl, contains: "v{version}"}
      - {name: kubelet, path: kubernetes/server/bin/kubelet, contains: "v{version}"}
packageSets:
  - id: base
    releases:
      - packages:
          - {name: chrony, evr: 3.4-1.el7, arch: x86_64, repository: vendor}
  - id: docker
    component: docker
    default: 20.10.24
    releases:
      - version: 20.10.24
        packages:
          - {name: docker-ce, evr: "3:20.10.24-3.el7", arch: x86_64, repository: vendor}
  - id: kernel
    component: kernel
    default: 5.4.278-1.el7
    releases:
      - version: 5.4.278-1.el7
        packages:
          - {name: kernel-lt, evr: 5.4.278-1.el7, repository: vendor}
      - version: 5.4.277-1.el7
        packages:
          - {name: kernel-lt, evr: 5.4.277-1.el7, repository: vendor}
  - id: balancer
    releases:
      - packages:
          - {name: keepalived, evr: 1.3.5-19.el7, arch: x86_64, repository: vendor}
          - {name: nginx, evr: 1.26.1-2.el7, arch: x86_64, repository: vendor}
kernel:
  packageSet: kernel
  image: kernel-lt
  beside: [kernel-lt]
images:
  - {ref: "docker.io/library/busybox:1.28.4", source: "REGISTRY/library/busybox:1.28.4"}
  - {ref: "k8s.gcr.io/coredns:1.7.0", source: "REGISTRY/coredns:1.7.0"}
  - {ref: "k8s.gcr.io/pause:3.2", source: "REGISTRY/pause:3.2"}
  - {ref: "quay.io/coreos/flannel:v0.15.1", source: "REGISTRY/coreos/flannel:v0.15.1"}
addons:
  - {name: flannel, kind: cni, version: v0.15.1, images: ["quay.io/coreos/flannel:v0.15.1"], template: flannel.yaml}
  - {name: coredns, kind: dns, version: "1.7.0", images: ["k8s.gcr.io/coredns:1.7.0"], template: coredns.yaml}
  - {name: check, kind: check, version: "1.28.4", images: ["docker.io/library/busybox:1.28.4"]}
roles:
  - name: etcd
    programs:
      - {artifact: etcd, path: /opt/etcd/bin/etcd}
      - {artifact: etcdctl, path: /opt/etcd/bin/etcdctl}
    packageSets: [base]
    images: []
  - name: master
    programs:
      - {artifact: kube-apiserver, path: /opt/kubernetes/bin/kube-apiserver}
      - {artifact: kube-controller-manager, path: /opt/kubernetes/bin/kube-controller-manager}
      - {artifact: kube-scheduler, path: /opt/kubernetes/bin/kube-scheduler}
      - {artifact: kubectl, path: /opt/kubernetes/bin/kubectl}
    packageSets: [base]
    images: []
  - name: node
    programs:
      - {artifact: kube-proxy, path: /opt/kubernetes/bin/kube-proxy}
      - {artifact: kubelet, path: /opt/kubernetes/bin/kubelet}
    packageSets: [base, docker]
    images: ["k8s.gcr.io/pause:3.2"]
  - name: lb
    programs: []
    packageSets: [base, balancer]
    images: []
`

// tinyCluster is a small site.
const tinyCluster = `apiVersion: offgrid/v1
kind: Cluster
metadata:
  name: tiny
hosts:
  - {name: master01, ip: 20.0.0.100, roles: [master, etcd]}
  - {name: node01, ip: 20.0.0.103, roles: [node, etcd]}
  - {name: node02, ip: 20.0.0.104, roles: [etcd]}
`

// Site is a small site and all that it is built from.
type Site struct {
	Catalogue string
	Cluster   string // three hosts: a master, a node, etcd on all
	Installer []byte // an ELF header and a block for trusted keys
}

// Tiny makes the upstream serve programs of a few bytes and returns a site that is built from them.
func Tiny(u *Upstream, key Key) Site {
	fingerprint := serve(u, key)
	registry := strings.TrimPrefix(u.URL, "http://")
	return Site{
		Catalogue: strings.NewReplacer("FINGERPRINT", fingerprint, "UPSTREAM", u.URL, "REGISTRY", registry).Replace(tinyCatalogue),
		Cluster:   tinyCluster,
		Installer: fakeELF(),
	}
}

// serve puts the releases of the tiny catalogue upstream and returns the fingerprint of the key that signs its packages.
func serve(u *Upstream, key Key) (fingerprint string) {
	etcd := "/etcd/v3.4.26/etcd-v3.4.26-linux-amd64.tar.gz"
	u.File(etcd, tarGz(map[string]string{
		"etcd-v3.4.26-linux-amd64/etcd":    "etcd 3.4.26",
		"etcd-v3.4.26-linux-amd64/etcdctl": "etcdctl 3.4.26",
	}))
	u.Sums("/etcd/v3.4.26/SHA256SUMS", etcd)
	kube := "/v1.20.15/kubernetes-server-linux-amd64.tar.gz"
	programs := map[string]string{}
	for _, name := range strings.Fields("kube-apiserver kube-controller-manager kube-scheduler kubectl kube-proxy kubelet") {
		programs["kubernetes/server/bin/"+name] = name + " v1.20.15"
	}
	u.File(kube, tarGz(programs))
	u.Sums("/v1.20.15/SHA256SUMS", kube)
	for _, i := range []Image{
		{Repository: "pause", Tag: "3.2"}, {Repository: "coredns", Tag: "1.7.0"}, {Repository: "coreos/flannel", Tag: "v0.15.1"}, {Repository: "library/busybox", Tag: "1.28.4"},
	} {
		i.Type, i.List, i.Layers = DockerManifest, DockerList, [][]byte{[]byte(i.Repository)}
		u.Push(i)
	}
	u.File("/rpm/key", key.file())
	modules := strings.Fields("net/br_netfilter.ko fs/overlay.ko net/ip_vs.ko net/ip_vs_rr.ko.xz net/ip_vs_sh.ko net/ip_vs_wrr.ko")
	kernel := Kernel("kernel-lt", "5.4.278", "1.el7", modules, []string{"net/nf_conntrack.ko"})
	lacking := Kernel("kernel-lt", "5.4.277", "1.el7", modules[:3], []string{"net/nf_conntrack.ko"})
	kernel.Requires = []string{"dracut >= 1"}
	kernel.SignAll, kernel.AllTag, lacking.SignAll, lacking.AllTag = key.sign, rpmSigPGP, key.sign, rpmSigPGP
	u.Repo("/rpm/7", Repo{RPMs: []RPM{
		kernel, lacking, {Name: "dracut", Version: "33", Release: "1.el7", Arch: "x86_64", Payload: []byte("dracut"), SignAll: key.sign, AllTag: rpmSigPGP},
		{Name: "chrony", Version: "3.4", Release: "1.el7", Arch: "x86_64", License: "GPLv2", Vendor: "CentOS", Payload: []byte("chrony"), SignAll: key.sign, AllTag: rpmSigPGP},
		{Name: "keepalived", Version: "1.3.5", Release: "19.el7", Arch: "x86_64", Payload: []byte("keepalived"), SignAll: key.sign, AllTag: rpmSigPGP},
		{Name: "nginx", Version: "1.26.1", Release: "2.el7", Arch: "x86_64", Payload: []byte("nginx"), SignAll: key.sign, AllTag: rpmSigPGP},
		{Name: "docker-ce", Epoch: 3, Version: "20.10.24", Release: "3.el7", Arch: "x86_64", Payload: []byte("docker"), SignAll: key.sign, AllTag: rpmSigPGP},
	}})
	return fmt.Sprintf("%X", key.private.Fingerprint)
}

// Rebuilt replaces the Kubernetes release upstream: kubelet and kube-proxy have 40 KB that stay the same and end in the word.
func Rebuilt(u *Upstream, word string) {
	kube := "/v1.20.15/kubernetes-server-linux-amd64.tar.gz"
	programs := map[string]string{}
	for _, name := range strings.Fields("kube-apiserver kube-controller-manager kube-scheduler kubectl kube-proxy kubelet") {
		programs["kubernetes/server/bin/"+name] = name + " v1.20.15"
	}
	for _, name := range []string{"kube-proxy", "kubelet"} {
		var body strings.Builder
		for sum := sha256.Sum256([]byte(name)); body.Len() < 40<<10; sum = sha256.Sum256(sum[:]) {
			body.Write(sum[:])
		}
		programs["kubernetes/server/bin/"+name] = name + " v1.20.15 " + body.String() + word
	}
	u.File(kube, tarGz(programs))
	u.Sums("/v1.20.15/SHA256SUMS", kube)
}

func tarGz(files map[string]string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		content := files[name]
		w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg})
		w.Write([]byte(content))
	}
	w.Close()
	z.Close()
	return b.Bytes()
}

// fakeELF is the header of a static program for x86-64 with nothing in it but the block for trusted keys.
func fakeELF() []byte {
	var b bytes.Buffer
	b.WriteString("\x7fELF\x02\x01\x01")
	b.Write(make([]byte, 9))
	binary.Write(&b, binary.LittleEndian, []uint16{2, 62})     // executable, x86-64
	binary.Write(&b, binary.LittleEndian, uint32(1))           // version
	binary.Write(&b, binary.LittleEndian, make([]uint64, 3))   // entry, headers
	binary.Write(&b, binary.LittleEndian, uint32(0))           // flags
	binary.Write(&b, binary.LittleEndian, []uint16{64, 56, 0}) // sizes
	binary.Write(&b, binary.LittleEndian, []uint16{64, 0, 0})
	block, err := signature.Block(nil)
	if err != nil {
		panic(err) // no keys always fit
	}
	b.Write(block)
	return b.Bytes()
}
