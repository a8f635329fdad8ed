//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// faults tells the mirror what is to go wrong while the test runs.
func (r *rig) faults(t *testing.T, lines string) {
	t.Helper()
	name := filepath.Join(r.state, "mirror", "faults")
	if err := os.WriteFile(name, []byte(lines+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Error(err)
		}
	})
}

// bundle runs the builder in a site directory, against the mirror, with a store of the test's own.
func (r *rig) bundle(t *testing.T, verb, dir, store string) result {
	t.Helper()
	return program(t, r.root, filepath.Join(r.root, "bin", "bundle"), verb, "--dir", dir, "--store", store, "--catalogue", filepath.Join(r.state, "catalogue.yaml"), "--attempts", "3")
}

// freshSite is a site with nothing but its cluster file, and what the hosts have.
func (r *rig) freshSite(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"cluster.yaml", "baseline.json"} {
		copyFile(t, filepath.Join(r.site, name), filepath.Join(dir, name))
	}
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWhatUpstreamServesWronglyIsRefusedByName(t *testing.T) {
	r := lab(t)
	for _, c := range []struct {
		name, fault string
		words       []string
	}{
		{"a bit of the archive with a digest in the catalogue", "flip kubernetes-server-linux-amd64.tar.gz", []string{"kubernetes-server"}},
		{"a bit of the archive with a checksum list", "flip etcd-v3.4.23-linux-amd64.tar.gz", []string{"etcd"}},
		{"a bit of the checksum list", "flip SHA256SUMS", []string{"etcd"}},
		{"a bit of a package", "flip docker-ce-20.10.24", []string{"docker-ce"}},
		{"a bit of a signed repository's index", "flip centos.org/7.9.2009/os/x86_64/repodata/repomd.xml", []string{"centos-os"}},
		{"a bit of the list of packages", "flip stable/repodata/", []string{"docker-ce-stable"}},
		// in the key itself: what follows it in the file, names and signatures on itself, is not what is pinned
		{"a bit of a package key", "flip@200 linux/centos/gpg", []string{"docker"}},
		{"a bit of an image's layer", "flip /v2/registry.k8s.io/coredns/blobs/", []string{"coredns"}},
		{"a bit of an image's manifest", "flip /v2/registry.k8s.io/pause/manifests/", []string{"pause"}},
		{"no such file", "404 cni-plugins-linux-amd64", []string{"cni-plugins", "404"}},
		{"nothing at all", "silent dl.k8s.io", []string{"kubernetes-server"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.faults(t, c.fault)
			dir := r.freshSite(t)
			got := r.bundle(t, "lock", dir, t.TempDir())
			if got.code == 0 {
				t.Errorf("it was accepted:\n%s", got.out)
			}
			message := got.out[max(0, strings.LastIndex(got.out, "bundle: ")):]
			for _, word := range c.words {
				if !strings.Contains(message, word) {
					t.Errorf("the message does not name %q:\n%s", word, message)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, "bundle.lock")); err == nil {
				t.Error("a lock was written all the same")
			}
		})
	}
}

func TestAnUpstreamThatIsBusyTwiceOrBreaksOffIsAskedAgain(t *testing.T) {
	r := lab(t)
	r.faults(t, "503 etcd-v3.4.23-linux-amd64.tar.gz 2\nshort kubernetes-server-linux-amd64.tar.gz 1\n503 primary.xml 1")
	dir := r.freshSite(t)
	start := time.Now()
	if got := r.bundle(t, "lock", dir, t.TempDir()); got.code != 0 {
		t.Fatalf("bundle lock ended with %d:\n%s", got.code, got.out)
	}
	log, err := os.ReadFile(filepath.Join(r.state, "mirror", "access.log"))
	if err != nil {
		t.Fatal(err)
	}
	var resumed bool
	for line := range strings.Lines(string(log)) {
		at, _, _ := strings.Cut(line, " ")
		when, err := time.Parse(time.RFC3339, at)
		if err == nil && !when.Before(start.Truncate(time.Second)) && strings.Contains(line, "kubernetes-server") && strings.Contains(line, " 206 ") {
			resumed = true
		}
	}
	if !resumed {
		t.Error("the archive that broke off was not continued from where it had come to")
	}
}

func TestAFullDiskWhileBuildingIsSaidAndTheNextBuildGoesOn(t *testing.T) {
	r := lab(t)
	small := t.TempDir()
	if got := program(t, r.root, "mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", small); got.code != 0 {
		t.Fatal(got.out)
	}
	t.Cleanup(func() {
		if got := program(t, r.root, "umount", small); got.code != 0 {
			t.Error(got.out)
		}
	})
	dir := r.freshSite(t)
	copyFile(t, filepath.Join(r.site, "bundle.lock"), filepath.Join(dir, "bundle.lock"))
	got := r.bundle(t, "build", dir, filepath.Join(small, "store"))
	if got.code == 0 || !strings.Contains(got.out, "no space left") {
		t.Errorf("exit code %d, want a failure that says that there is no space:\n%s", got.code, got.out)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "dist", "*.bundle")); len(files) > 0 {
		t.Errorf("bundles were written all the same: %v", files)
	}
	if got := program(t, r.root, "mount", "-o", "remount,size=1g", small); got.code != 0 {
		t.Fatal(got.out)
	}
	if got := r.bundle(t, "build", dir, filepath.Join(small, "store")); got.code != 0 {
		t.Errorf("with space again, bundle build ended with %d:\n%s", got.code, got.out)
	}
}

func TestSkopeoReadsTheRoleAndEveryImage(t *testing.T) {
	r := lab(t)
	dir := t.TempDir()
	if got := program(t, dir, "tar", "-xf", filepath.Join(r.site, "dist", "node.bundle")); got.code != 0 {
		t.Fatal(got.out)
	}
	for _, ref := range []string{
		"k8s.gcr.io/pause:3.2", "k8s.gcr.io/coredns:1.7.0", "quay.io/coreos/flannel:v0.15.1", "docker.io/library/busybox:1.28.4",
	} {
		got := program(t, dir, "skopeo", "copy", "--override-os", "linux", "--override-arch", "amd64", "oci:"+dir+":"+ref, "dir:"+filepath.Join(t.TempDir(), "out"))
		if got.code != 0 {
			t.Errorf("skopeo copy %s: %s", ref, got.out)
		}
	}
	if got := program(t, dir, "skopeo", "inspect", "--raw", "oci:"+dir+":node"); got.code != 0 || !strings.Contains(got.out, "application/vnd.offgrid.role.v1") {
		t.Errorf("skopeo inspect of the role: %d\n%s", got.code, got.out)
	}
}
