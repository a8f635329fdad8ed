//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rotates takes a site's authorities to their next step, and builds its small bundles.
func (r *rig) rotates(t *testing.T, dir string, args ...string) {
	t.Helper()
	const build = `. lab/lib.sh; b=$lab_root/bin/bundle; d=$1; shift; "$b" pki rotate --dir "$d" "$@" && "$b" build --renewal --dir "$d" --catalogue "$(lab/mirror-up)" --store "$lab_cache/store"`
	if out := program(t, r.root, append([]string{"bash", "-c", build, "bash", dir}, args...)...); out.code != 0 {
		t.Fatalf("the next step ended with %d:\n%s", out.code, out.out)
	}
}

// renews applies the small bundle of a role.
func (h *host) renews(dir, role string) {
	h.t.Helper()
	h.lab("--put", filepath.Join(dir, "renewal", "install"), filepath.Join(dir, "renewal", role+".bundle"), "/root")
	h.install(role)
}

// signer is who signed what a port of a host serves with, as a master sees it.
func (s *site) signer(ip, port string) string {
	return s.master01.try("sh", "-c", "echo | openssl s_client -connect "+ip+":"+port+" 2>/dev/null | openssl x509 -noout -issuer").out
}

func TestTheAuthoritiesOfASiteAreChangedWhileItRuns(t *testing.T) {
	if !*full {
		t.Skip("takes long: -full")
	}
	r := lab(t)
	dir := filepath.Join(t.TempDir(), "site")
	if out := program(t, r.root, "lab/site", dir); out.code != 0 {
		t.Fatalf("building a site of its own:\n%s", out.out)
	}
	s := (&rig{root: r.root, state: r.state, site: dir}).six(t)
	for _, role := range []string{"etcd", "master", "node", "lb"} {
		s.install(role)
	}
	s.works()
	etcd, masters, nodes := []*host{s.master01, s.node01, s.node02}, []*host{s.master01, s.master02}, []*host{s.node01, s.node02}
	was := s.signer("20.0.0.103", "10250")

	r.rotates(t, dir)
	s.step(dir, etcd, masters, nodes)
	s.master01.must("kubectl", "-n", "kube-system", "rollout", "restart", "daemonset,deployment")
	s.works()

	r.rotates(t, dir, "--next")
	s.step(dir, etcd, masters, nodes)
	s.works()
	if now := s.signer("20.0.0.103", "10250"); now == was || !strings.Contains(now, "kubernetes-") {
		t.Errorf("kubelet serves with a certificate of %q, before %q", now, was)
	}

	r.rotates(t, dir, "--next")
	for _, h := range nodes {
		h.lab("--put", filepath.Join(dir, "renewal", "install"), filepath.Join(dir, "renewal", "node.bundle"), "/root")
		if refused := finish(t, h.installing("node"), time.Minute); refused.code != 2 || !strings.Contains(flat(refused.out), "kubelet's certificate is signed by kubernetes-ca") {
			t.Errorf("a kubelet with an old certificate: %d\n%s", refused.code, refused.out)
		}
		h.must("sh", "-c", "rm -f /opt/kubernetes/cfg/kubelet.kubeconfig /opt/kubernetes/ssl/kubelet-client-*.pem && systemctl restart kubelet")
		eventually(t, 3*time.Minute, func() string {
			if h.try("test", "-s", "/opt/kubernetes/ssl/kubelet-client-current.pem").code != 0 {
				return "kubelet has no new certificate"
			}
			return ""
		})
		h.renews(dir, "node")
	}
	s.step(dir, nil, masters, nil)
	s.step(dir, etcd, nil, nil)
	s.master01.must("kubectl", "-n", "kube-system", "rollout", "restart", "daemonset,deployment")
	s.works()
	s.master01.check()
	if out := s.node01.must("grep", "-c", "BEGIN", "/opt/kubernetes/ssl/ca.pem"); strings.TrimSpace(out) != "1" {
		t.Errorf("a node trusts %s authorities", out)
	}
}

// step brings the bundles of a step to hosts, one after the other.
func (s *site) step(dir string, etcd, masters, nodes []*host) {
	s.t.Helper()
	for _, c := range []struct {
		role  string
		hosts []*host
	}{{"etcd", etcd}, {"master", masters}, {"node", nodes}} {
		for _, h := range c.hosts {
			h.renews(dir, c.role)
		}
	}
}
