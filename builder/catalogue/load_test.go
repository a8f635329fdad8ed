package catalogue_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"offgrid/builder/catalogue"
)

const good = `schema: 1
name: test
platform: {os: linux, arch: amd64, family: el7}
mirrors: []
keys:
  - id: k
    fingerprint: 060A61C51B558A7F742B77AAC52FEB6B621E9F35
    url: https://a.example/key
repositories:
  - id: r
    baseURL: https://a.example/r/
    key: k
    signedMetadata: true
downloads:
  - id: etcd
    component: etcd
    kind: archive
    default: v3.4.26
    releases:
      - version: v3.4.26
        url: https://a.example/etcd.tar.gz
        sums: {url: "https://a.example/SHA256SUMS", algorithm: sha256}
    members:
      - {name: etcd, path: "etcd-v{version}/etcd", contains: "{version}"}
packageSets:
  - id: base
    releases:
      - packages:
          - {name: chrony, evr: 3.4-1.el7, arch: x86_64, repository: r}
images:
  - ref: k8s.gcr.io/pause:3.2
    source: 127.0.0.1:5000/pause:3.2
addons:
  - {name: coredns, kind: dns, version: 1.7.0, images: ["k8s.gcr.io/pause:3.2"], template: coredns.yaml}
  - {name: check, kind: check, version: "3.2", images: ["k8s.gcr.io/pause:3.2"]}
roles:
  - name: etcd
    programs: [{artifact: etcd, path: /opt/etcd/bin/etcd}]
    packageSets: [base]
    images: [k8s.gcr.io/pause:3.2]
`

func TestAGoodCatalogueLoads(t *testing.T) {
	c, err := catalogue.Load("catalogue.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if d, m, ok := c.Artifact("etcd"); !ok || d.ID != "etcd" || m.Path != "etcd-v{version}/etcd" {
		t.Errorf("got %+v, %+v, %v", d, m, ok)
	}
}

func TestTheBuiltInCatalogueLoads(t *testing.T) {
	data, err := os.ReadFile("../../manifests/catalogue.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := catalogue.Load("catalogue.yaml", data); err != nil {
		t.Error(err)
	}
}

func TestEachFaultIsNamedWithItsLine(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"schema: 1", "schema: 2", "catalogue.yaml:1:1: schema: is 2, this program reads 1"},
		{"https://a.example/key", "", "catalogue.yaml:8:5: keys[0].url: is missing"},
		{"060A61C5", "060a61c5", "catalogue.yaml:7:5: keys[0].fingerprint: want upper-case digits"},
		{"https://a.example/r/", "http://a.example/r/", `catalogue.yaml:11:5: repositories[0].baseURL: "http://a.example/r/": http protects nothing: use https, or give the sha256 of the bytes`},
		{"    key: k\n", "    key: z\n", `catalogue.yaml:12:5: repositories[0].key: there is no key "z"`},
		{"default: v3.4.26", "default: v3.4.27", `catalogue.yaml:18:5: downloads[0].default: "v3.4.27" is not among the releases`},
		{`        sums: {url: "https://a.example/SHA256SUMS", algorithm: sha256}` + "\n", "",
			"catalogue.yaml:20:9: downloads[0].releases[0]: nothing vouches for etcd v3.4.26: give the sha256 or sha512 of its bytes, or sums with the address of the checksum list that upstream publishes"},
		{"{url: \"https://a.example/SHA256SUMS\"", "{url: \"http://a.example/SHA256SUMS\"", `catalogue.yaml:22:16: downloads[0].releases[0].sums.url: "http://a.example/SHA256SUMS": http protects nothing: use https, or give the sha256 of the bytes`},
		{"etcd-v{version}/etcd", "../etcd", `catalogue.yaml:24:22: downloads[0].members[0].path: "../etcd": want a plain path inside the archive`},
		{"evr: 3.4-1.el7", "evr: 3.4", `catalogue.yaml:29:28: packageSets[0].releases[0].packages[0].evr: "3.4": want VERSION-RELEASE or EPOCH:VERSION-RELEASE`},
		{"    key: k\n    signedMetadata: true\n", "    key: \"\"\n    signedMetadata: false\n", "catalogue.yaml:29:13: packageSets[0].releases[0].packages[0]: nothing vouches for chrony: give its sha256, or pin the key that signs the packages of r"},
		{"repository: r", "repository: q", `catalogue.yaml:29:58: packageSets[0].releases[0].packages[0].repository: there is no repository "q"`},
		{"source: 127.0.0.1:5000/pause:3.2", "source: pause", `catalogue.yaml:32:5: images[0].source: "pause": want registry/repository:tag`},
		{"artifact: etcd, path: /opt", "artifact: etcdctl, path: /opt", `catalogue.yaml:38:17: roles[0].programs[0].artifact: no download gives "etcdctl"`},
		{"packageSets: [base]", "packageSets: [docker]", `catalogue.yaml:39:19: roles[0].packageSets[0]: there is no package set "docker"`},
		{"name: coredns,", "name: Core_DNS,", `catalogue.yaml:34:6: addons[0].name: "Core_DNS": want lower-case letters, digits and "-", and not cluster-jobs`},
		{"kind: dns,", "kind: dance,", `catalogue.yaml:34:21: addons[0].kind: "dance": want "cni", "dns" or "check"`},
		{`1.7.0, images: ["k8s.gcr.io/pause:3.2"]`, `1.7.0, images: ["k8s.gcr.io/coredns:1.7.0"]`, `catalogue.yaml:34:57: addons[0].images[0]: there is no image "k8s.gcr.io/coredns:1.7.0"`},
		{"template: coredns.yaml", "template: corednz.yaml", `catalogue.yaml:34:82: addons[0].template: there is no template "corednz.yaml" below templates/addons`},
		{", template: coredns.yaml", "", "catalogue.yaml:34:5: addons[0].template: is missing"},
		{`kind: check, version: "3.2"`, `kind: dns, template: coredns.yaml, version: "3.2"`, `catalogue.yaml:35:19: addons[1].kind: there is an add-on of the kind "dns" already`},
		{`version: "3.2", images: ["k8s.gcr.io/pause:3.2"]`, `version: "3.2", images: []`, `catalogue.yaml:35:48: addons[1].images: want one image: that of the pods which the health check makes`},
		{"name: test\n", "name: test\nsurprise: 1\n", `catalogue.yaml:3:1: surprise: unknown key`},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		_, err := catalogue.Load("catalogue.yaml", []byte(text))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s:\n got %v\nwant %s", c.new, err, c.want)
		}
	}
}

func TestAllFaultsComeAtOnceInTheOrderOfTheLines(t *testing.T) {
	text := strings.NewReplacer("schema: 1", "schema: 9", "url: https://a.example/key", "url: ftp://a", "default: v3.4.26", "default: v1").Replace(good)
	_, err := catalogue.Load("c", []byte(text))
	var p *catalogue.Problems
	if !errors.As(err, &p) || len(p.Items) != 3 || p.Items[0].Line != 1 || p.Items[1].Line != 8 || p.Items[2].Line != 18 {
		t.Errorf("got %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := catalogue.Load("c", data)
		if (c == nil) == (err == nil) {
			t.Errorf("catalogue %v and error %v", c, err)
		}
	})
}
