//go:build !windows

package builder_test

import (
	"io"
	"path/filepath"
	"strings"
	"testing"

	"offgrid/bundle"
)

// withKernel lets the site's hosts run the carried kernel.
func (s *buildSite) withKernel(t *testing.T, version string) {
	t.Helper()
	write(t, filepath.Join(s.dir, "cluster.yaml"), upstreamCluster+"versions: {kernel: "+version+"}\nhost: {kernel: {mode: upgrade, removeOld: true}}\n")
}

const upstreamCluster = `apiVersion: offgrid/v1
kind: Cluster
metadata: {name: tiny}
hosts:
  - {name: master01, ip: 20.0.0.100, roles: [master, etcd]}
  - {name: node01, ip: 20.0.0.103, roles: [node, etcd]}
  - {name: node02, ip: 20.0.0.104, roles: [etcd]}
`

func TestTheKernelIsCarriedWithTheNamesOfItsModules(t *testing.T) {
	s := newBuildSite(t)
	s.withKernel(t, "5.4.278-1.el7")
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"node", "etcd", "master"} {
		b, err := bundle.Open(filepath.Join(s.dir, "dist", role+".bundle"))
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		k := b.Role.Kernel
		if k == nil || k.Release != "5.4.278-1.el7.x86_64" || len(k.Packages) != 1 || k.Packages[0].Name != "kernel-lt" {
			t.Fatalf("%s: kernel %+v", role, k)
		}
		if p := b.Role.Cluster.Policy; p.KernelMode != "upgrade" || !p.KernelRemove {
			t.Errorf("%s: policy %+v", role, p)
		}
		names := ""
		for _, p := range b.Role.Packages {
			names += p.Name + " "
		}
		if !strings.Contains(names, "dracut ") || strings.Contains(names, "kernel-lt") {
			t.Errorf("%s: packages %s", role, names)
		}
		art, _ := b.Artifact(k.Modules)
		r, err := b.Content(t.Context(), art.Blob, art.Name)
		if err != nil {
			t.Fatal(err)
		}
		list, err := io.ReadAll(r)
		if err != nil || string(list) != "br_netfilter\nip_vs\nip_vs_rr\nip_vs_sh\nip_vs_wrr\nnf_conntrack\noverlay\n" {
			t.Errorf("%s: %v\n%s", role, err, list)
		}
		r.Close()
	}
}

func TestAKernelThatLacksAModuleIsRefused(t *testing.T) {
	s := newBuildSite(t)
	s.withKernel(t, "5.4.277-1.el7")
	s.opts.Baseline = []byte(`{"format":1,"os":"centos-7.9.2009","packages":[{"name":"dracut","epoch":0,"version":"33","release":"1.el7","arch":"x86_64"}]}`)
	_, err := s.build()
	want := "kernel 5.4.277-1.el7.x86_64: it has no module ip_vs_rr, ip_vs_sh, ip_vs_wrr, neither as a file nor built in, and hosts of this role load it; choose another versions.kernel"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v\nwant %s", err, want)
	}
	// Without dracut, here or there, no host could boot it.
	site := newBuildSite(t)
	site.withKernel(t, "5.4.277-1.el7")
	if _, err := site.build(); err == nil || !strings.Contains(err.Error(), "neither the baseline nor the bundle has dracut") {
		t.Errorf("got %v", err)
	}
}

func TestWithoutAWordNoKernelIsCarried(t *testing.T) {
	s := newBuildSite(t)
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(filepath.Join(s.dir, "dist", "node.bundle"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.Role.Kernel != nil || b.Role.Cluster.Policy.KernelMode != "skip" {
		t.Errorf("kernel %+v, mode %q", b.Role.Kernel, b.Role.Cluster.Policy.KernelMode)
	}
}

func TestTheBaselineOfTheSiteIsUsedAndItsFaultsAreNamed(t *testing.T) {
	s := newBuildSite(t)
	write(t, filepath.Join(s.dir, "cluster.yaml"), upstreamCluster+"host: {baseline: baseline.json}\n")
	_, err := s.build()
	if want := `cluster.yaml: host.baseline: "baseline.json": there is no such file in the site; run "./install baseline > baseline.json" on a host and bring it`; err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	write(t, filepath.Join(s.dir, "baseline.json"), `{"format":2}`)
	if _, err := s.build(); err == nil || !strings.Contains(err.Error(), "its format is not 1") {
		t.Errorf("got %v", err)
	}
	write(t, filepath.Join(s.dir, "baseline.json"), `{"format":1,"os":"centos-7.9.2009","packages":[{"name":"chrony","epoch":0,"version":"3.4","release":"1.el7","arch":"x86_64"}]}`)
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(filepath.Join(s.dir, "dist", "etcd.bundle"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if len(b.Role.Packages) != 0 {
		t.Errorf("packages %+v", b.Role.Packages)
	}
}
