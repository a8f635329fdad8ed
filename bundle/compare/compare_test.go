package compare_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"offgrid/bundle"
	"offgrid/bundle/compare"
	"offgrid/bundle/hostpack"
)

// site is what a test writes into a bundle.
type site struct {
	in     bundle.Input
	stored map[bundle.Digest][]byte
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{stored: map[bundle.Digest][]byte{}}
	s.in.Open = func(d bundle.Digest) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(s.stored[d])), nil }
	s.in.Role = bundle.RoleIndex{
		Role: bundle.RoleNode, Platform: bundle.Platform{OS: "linux", Arch: "amd64", Family: "el7"},
		Cluster: bundle.Cluster{
			ID: "0123456789abcdef0123456789abcdef", Name: "demo", Serial: 1700000000, NotBefore: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
			APIServer: "https://20.0.0.100:6443", Policy: bundle.Policy{KubeVersion: "v1.20.14"},
		},
		Modules:  []string{"br_netfilter"},
		Sysctls:  []bundle.Setting{{Key: "net.ipv4.ip_forward", Value: "1"}},
		Units:    []bundle.Unit{{Name: "kubelet.service"}},
		Hosts:    []bundle.Host{{Name: "node01", IP: "20.0.0.103", Roles: []string{bundle.RoleNode}}},
		Dirs:     []bundle.Dir{{Path: "/opt/kubernetes", Mode: 0o755, Owner: "root", Group: "root"}},
		Links:    []bundle.Link{{Path: "/usr/local/bin/kubelet", Target: "/opt/kubernetes/bin/kubelet"}},
		Packages: []bundle.Package{{Name: "docker-ce", Epoch: 3, Version: "19.03.15", Release: "3.el7", Arch: "x86_64", Artifact: "docker-ce.rpm"}},
	}
	s.artifact(t, "docker-ce.rpm", bundle.KindPackage, "an RPM")
	s.artifact(t, "kernel/modules", bundle.KindText, "a\nb\n")
	s.artifact(t, "kubelet", bundle.KindProgram, "a program")
	s.artifact(t, "unit/kubelet.service", bundle.KindText, "[Unit]\nDescription=Kubelet\n")
	s.in.Role.Files = []bundle.File{
		{Path: "/etc/systemd/system/kubelet.service", Mode: 0o644, Owner: "root", Group: "root", Artifact: "unit/kubelet.service"},
		{Path: "/opt/kubernetes/bin/kubelet", Mode: 0o755, Owner: "root", Group: "root", Artifact: "kubelet"},
	}
	s.image("k8s.gcr.io/pause:3.2", "{}")
	s.pack(t, hostpack.File{Path: "/opt/kubernetes/cfg/kubelet", Mode: 0o644, Data: []byte("--v=2\n")})
	return s
}

// artifact adds one, or replaces the one of that name.
func (s *site) artifact(t *testing.T, name, kind, content string) {
	t.Helper()
	var out bytes.Buffer
	blob, err := bundle.Encode(t.Context(), strings.NewReader(content), &out, 1)
	if err != nil {
		t.Fatal(err)
	}
	s.stored[blob.Stored] = out.Bytes()
	a := bundle.Artifact{Name: name, Version: "v1", Kind: kind, Source: "https://example.org/" + name, Vouched: "sha256", Blob: blob}
	for i := range s.in.Role.Artifacts {
		if s.in.Role.Artifacts[i].Name == name {
			s.in.Role.Artifacts[i] = a
			return
		}
	}
	s.in.Role.Artifacts = append(s.in.Role.Artifacts, a)
}

func (s *site) keep(data string) bundle.Descriptor {
	d := bundle.DigestOf([]byte(data))
	s.stored[d] = []byte(data)
	return bundle.Descriptor{Digest: d, Size: int64(len(data))}
}

func (s *site) image(ref, config string) {
	c, l := s.keep(config), s.keep("layer")
	m := s.keep(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":%d,"digest":%q},"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":%d,"digest":%q}]}`,
		bundle.MediaTypeDockerManifest, c.Size, c.Digest, l.Size, l.Digest))
	m.MediaType = bundle.MediaTypeDockerManifest
	s.in.Role.Images = []bundle.Image{{Ref: ref, Manifest: m.Digest, ID: c.Digest}}
	s.in.Images = []bundle.ImageInput{{Ref: ref, Manifest: m}}
}

func (s *site) pack(t *testing.T, files ...hostpack.File) {
	t.Helper()
	data, err := hostpack.Plain(&hostpack.Pack{Format: bundle.Format, Cluster: s.in.Role.Cluster.ID, Role: bundle.RoleNode, Host: "node01", IP: "20.0.0.103", Files: files})
	if err != nil {
		t.Fatal(err)
	}
	s.in.Packs = map[string]bundle.PackInput{"node01": data}
}

func (s *site) open(t *testing.T) *bundle.Bundle {
	t.Helper()
	var out bytes.Buffer
	if _, err := bundle.Write(t.Context(), &out, s.in); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.OpenReaderAt("test.bundle", bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func unpack(ctx context.Context, b *bundle.Bundle, host string) (*hostpack.Pack, error) {
	x, err := hostpack.Load(ctx, b, host)
	if err != nil {
		return nil, err
	}
	return x.Open()
}

// lines compares and writes each change as one line.
func lines(t *testing.T, a, b *bundle.Bundle, open compare.Unpack) []string {
	t.Helper()
	changes, err := compare.Bundles(t.Context(), a, b, open)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, c := range changes {
		data, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(data))
	}
	return list
}

func TestEveryKindOfChangeIsToldOnce(t *testing.T) {
	base := newSite(t).open(t)
	for _, c := range []struct {
		name   string
		change func(s *site)
		want   string // the only change, without its braces
	}{
		{"nothing", func(*site) {}, ""},
		{"setting", func(s *site) { s.in.Role.Cluster.Policy.KubeVersion = "v1.20.15" },
			`"what":"cluster","name":"policy.kubeVersion","change":"changed","before":"v1.20.14","after":"v1.20.15"`},
		{"serial", func(s *site) { s.in.Role.Cluster.Serial++ }, `"what":"cluster","name":"serial","change":"changed","before":"1700000000","after":"1700000001"`},
		{"host", func(s *site) { s.in.Role.Hosts[0].Spare = true },
			`"what":"host","name":"node01","change":"changed","before":"20.0.0.103 node","after":"20.0.0.103 node spare"`},
		{"new host", func(s *site) {
			s.in.Role.Hosts = append(s.in.Role.Hosts, bundle.Host{Name: "node02", IP: "20.0.0.104", Roles: []string{bundle.RoleNode}})
		}, `"what":"host","name":"node02","change":"added","after":"20.0.0.104 node"`},
		{"package", func(s *site) { s.in.Role.Packages[0].Version = "20.10.24" },
			`"what":"package","name":"docker-ce.x86_64","change":"changed","before":"3:19.03.15-3.el7","after":"3:20.10.24-3.el7"`},
		{"no package", func(s *site) { s.in.Role.Packages = nil }, `"what":"package","name":"docker-ce.x86_64","change":"removed","before":"3:19.03.15-3.el7"`},
		{"package of the same name", func(s *site) { s.artifact(t, "docker-ce.rpm", bundle.KindPackage, "another RPM") },
			`"what":"package","name":"docker-ce.x86_64","change":"changed","before":"3:19.03.15-3.el7, sha256 142d46fefba0","after":"3:19.03.15-3.el7, sha256 `},
		{"program", func(s *site) { s.artifact(t, "kubelet", bundle.KindProgram, "a longer program") },
			`"what":"program","name":"kubelet","change":"changed","before":"v1, 9 bytes","after":"v1, 16 bytes"`},
		{"image", func(s *site) { s.image("k8s.gcr.io/pause:3.2", "{} ") }, `"what":"image","name":"k8s.gcr.io/pause:3.2","change":"changed","before":"id 44136fa355b3","after":"id `},
		{"unit file", func(s *site) {
			s.artifact(t, "unit/kubelet.service", bundle.KindText, "[Unit]\nDescription=The kubelet\nAfter=docker.service\n")
		}, `"what":"file","name":"/etc/systemd/system/kubelet.service","change":"changed","lines":{"added":2,"removed":1}`},
		{"mode", func(s *site) { s.in.Role.Files[1].Mode = 0o700 },
			`"what":"file","name":"/opt/kubernetes/bin/kubelet","change":"changed","before":"0755 root:root kubelet","after":"0700 root:root kubelet"`},
		{"text", func(s *site) { s.artifact(t, "kernel/modules", bundle.KindText, "b\na\n") },
			`"what":"text","name":"kernel/modules","change":"changed","lines":{"added":0,"removed":0}`},
		{"no text", func(s *site) { s.artifact(t, "kernel/modules", bundle.KindText, "\x00\x00\x00\x00") },
			`"what":"text","name":"kernel/modules","change":"changed","note":"other content of the same 4 bytes"`},
		{"directory", func(s *site) { s.in.Role.Dirs[0].Keep = "data" },
			`"what":"file","name":"/opt/kubernetes/","change":"changed","before":"0755 root:root","after":"0755 root:root data"`},
		{"link", func(s *site) { s.in.Role.Links = nil }, `"what":"file","name":"/usr/local/bin/kubelet","change":"removed","before":"-\u003e /opt/kubernetes/bin/kubelet"`},
		{"unit", func(s *site) {
			s.in.Role.Units = append(s.in.Role.Units, bundle.Unit{Name: "docker.service", Package: "docker-ce"})
		},
			`"what":"unit","name":"docker.service","change":"added","after":"of package docker-ce, restarts with "`},
		{"module", func(s *site) { s.in.Role.Modules = []string{"br_netfilter", "overlay"} }, `"what":"setting","name":"module overlay","change":"added"`},
		{"sysctl", func(s *site) { s.in.Role.Sysctls[0].Value = "0" }, `"what":"setting","name":"sysctl net.ipv4.ip_forward","change":"changed","before":"1","after":"0"`},
		{"source", func(s *site) { s.in.Role.Artifacts[2].Source = "https://example.com/" },
			`"what":"bundle","name":"storage","change":"changed","note":"sources, or how the same content is stored"`},
		{"pack", func(s *site) {
			s.pack(t, hostpack.File{Path: "/opt/kubernetes/cfg/kubelet", Mode: 0o644, Data: []byte("--v=4\n")})
		}, `"what":"file","host":"node01","name":"/opt/kubernetes/cfg/kubelet","change":"changed","lines":{"added":1,"removed":1}`},
		{"no pack", func(s *site) { s.in.Packs = nil }, `"what":"host pack","host":"node01","name":"pack","change":"removed"`},
	} {
		s := newSite(t)
		c.change(s)
		got := lines(t, base, s.open(t), unpack)
		if c.want == "" && len(got) == 0 {
			continue
		}
		if len(got) != 1 || !strings.HasPrefix(got[0], "{"+c.want) {
			t.Errorf("%s:\n%s\nwant\n{%s...", c.name, strings.Join(got, "\n"), c.want)
		}
	}
}

// certificate makes a certificate with its key, as PEM.
func certificate(t *testing.T, serial int64, until time.Time) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "system:node:node01"}, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

func TestCertificatesAreToldAndSecretsAreNot(t *testing.T) {
	var both [2]*bundle.Bundle
	for i := range both {
		cert, key := certificate(t, int64(10+i), time.Date(2027+i, 5, 6, 0, 0, 0, 0, time.UTC))
		config := "users:\n- user:\n    client-certificate-data: " + base64.StdEncoding.EncodeToString([]byte(cert)) + "\n    client-key-data: " + base64.StdEncoding.EncodeToString([]byte(key)) + "\n"
		s := newSite(t)
		s.pack(t,
			hostpack.File{Path: "/a/cert.pem", Mode: 0o644, Data: []byte(cert)}, hostpack.File{Path: "/a/key.pem", Mode: 0o600, Secret: true, Data: []byte(key)},
			hostpack.File{Path: "/a/kubeconfig", Mode: 0o600, Secret: true, Data: []byte(config)})
		both[i] = s.open(t)
	}
	want := `{"what":"certificate","host":"node01","name":"/a/cert.pem","change":"changed","before":"system:node:node01, serial a, until 2027-05-06","after":"system:node:node01, serial b, until 2028-05-06"}
{"what":"certificate","host":"node01","name":"/a/kubeconfig","change":"changed","before":"system:node:node01, serial a, until 2027-05-06","after":"system:node:node01, serial b, until 2028-05-06"}
{"what":"file","host":"node01","name":"/a/key.pem","change":"changed","note":"another secret"}`
	if got := strings.Join(lines(t, both[0], both[1], unpack), "\n"); got != want {
		t.Errorf("changes\n%s\nwant\n%s", got, want)
	}
	want = `{"what":"host pack","host":"node01","name":"pack","change":"changed","note":"sealed: in what it differs cannot be told"}`
	if got := strings.Join(lines(t, both[0], both[1], nil), "\n"); got != want {
		t.Errorf("changes of sealed packs\n%s\nwant\n%s", got, want)
	}
}

func TestWhatCannotBeReadIsAnError(t *testing.T) {
	a, s := newSite(t).open(t), newSite(t)
	s.pack(t)
	broken := errors.New("broken")
	_, err := compare.Bundles(t.Context(), a, s.open(t), func(context.Context, *bundle.Bundle, string) (*hostpack.Pack, error) { return nil, broken })
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.artifact(t, "kernel/modules", bundle.KindText, "c\n")
	if _, err := compare.Bundles(ctx, a, s.open(t), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}
