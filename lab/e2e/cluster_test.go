//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// together runs one step on several hosts at the same time.
func together(t *testing.T, hosts []*host, do func(*host)) {
	t.Helper()
	var wait sync.WaitGroup
	for _, h := range hosts {
		wait.Go(func() { do(h) })
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// A site is the six hosts of the tutorial's table.
type site struct {
	t                  *testing.T
	rig                *rig
	master01, master02 *host
	node01, node02     *host
	lb01, lb02         *host
}

// sixHosts boots them and brings each the bundles of its roles.
func sixHosts(t *testing.T) *site {
	t.Helper()
	return lab(t).six(t)
}

// six is sixHosts with the bundles of one build.
func (r *rig) six(t *testing.T) *site {
	t.Helper()
	h := r.hosts(t, "master01", "master02", "node01", "node02", "lb01", "lb02")
	s := &site{t: t, rig: r, master01: h[0], master02: h[1], node01: h[2], node02: h[3], lb01: h[4], lb02: h[5]}
	s.master01.bring("etcd", "master")
	s.master02.bring("master")
	s.node01.bring("etcd", "node")
	s.node02.bring("etcd", "node")
	s.lb01.bring("lb")
	s.lb02.bring("lb")
	return s
}

func (s *site) all() []*host {
	return []*host{s.master01, s.master02, s.node01, s.node02, s.lb01, s.lb02}
}

// in is the site for a subtest, which fails by itself.
func (s *site) in(t *testing.T) *site {
	of := func(h *host) *host {
		if h == nil {
			return nil // a smaller site
		}
		c := *h
		c.t = t
		return &c
	}
	return &site{t: t, rig: s.rig, master01: of(s.master01), master02: of(s.master02), node01: of(s.node01), node02: of(s.node02), lb01: of(s.lb01), lb02: of(s.lb02)}
}

// install installs a role on every host that has it, all at once: one by one would only be slower. The stick is gone before the
// next role comes.
func (s *site) install(role string) {
	s.t.Helper()
	hosts := map[string][]*host{
		"etcd": {s.node02, s.master01, s.node01}, "master": {s.master02, s.master01}, "node": {s.node01, s.node02}, "lb": {s.lb02, s.lb01},
	}[role]
	together(s.t, hosts, func(h *host) { h.install(role); h.must("rm", role+".bundle") })
}

// works waits until the cluster is whole: etcd, masters, nodes, pods, and the virtual address at one balancer.
func (s *site) works() {
	s.t.Helper()
	eventually(s.t, 3*time.Minute, s.master01.oneLeader)
	for _, h := range []*host{s.master01, s.master02} {
		eventually(s.t, 3*time.Minute, h.healthy)
	}
	eventually(s.t, time.Minute, s.oneHolder)
	eventually(s.t, 3*time.Minute, func() string { return s.master01.ready(s.node01, s.node02) })
	eventually(s.t, 3*time.Minute, s.master01.podsReady)
}

// kubectl asks the API server of a master.
func (h *host) kubectl(args ...string) result {
	h.t.Helper()
	return h.try(append([]string{"kubectl"}, args...)...)
}

// healthy says what `kubectl get cs` misses.
func (h *host) healthy() string {
	out := h.kubectl("get", "cs", "--no-headers").out
	if n := strings.Count(out, " Healthy "); n != 5 {
		return fmt.Sprintf("kubectl get cs: %d are Healthy, want 5:\n%s", n, out)
	}
	return ""
}

// ready says which nodes are not Ready.
func (h *host) ready(nodes ...*host) string {
	out := h.kubectl("get", "nodes", "--no-headers").out
	for _, n := range nodes {
		found := false
		for line := range strings.Lines(out) {
			f := strings.Fields(line)
			found = found || len(f) > 1 && f[0] == n.ip && f[1] == "Ready"
		}
		if !found {
			return fmt.Sprintf("kubectl get nodes: %s is not Ready:\n%s", n.ip, out)
		}
	}
	return ""
}

// podsReady says which pods do not run with all their containers; DNS has to be among them.
func (h *host) podsReady() string {
	out := h.kubectl("get", "pods", "-A", "--no-headers").out
	dns := 0
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 4 {
			return "kubectl get pods: " + out
		}
		up, all, _ := strings.Cut(f[2], "/")
		if f[3] != "Running" || up != all {
			return fmt.Sprintf("kubectl get pods: %s is %s, %s ready:\n%s", f[1], f[3], f[2], out)
		}
		if strings.HasPrefix(f[1], "coredns-") {
			dns++
		}
	}
	if dns != 2 {
		return fmt.Sprintf("kubectl get pods: %d of CoreDNS, want 2:\n%s", dns, out)
	}
	return ""
}

// check is what an operator asks when all is done: pods on both nodes that talk to each other, names, logs, exec.
func (h *host) check() {
	h.t.Helper()
	start := time.Now()
	out := h.must("/var/lib/offgrid/install", "check")
	h.t.Logf("%s# install check (%.1f s)\n%s", h.name, time.Since(start).Seconds(), out)
}

func TestTheClusterOfTheTutorialFormsInWhateverOrderItsHostsAreInstalled(t *testing.T) {
	s := sixHosts(t)
	before := s.node01.snapshot()
	balancer := s.lb02.snapshot()

	// Nodes first, whose masters are not there; then masters, whose etcd is not there; then etcd; at last what all of them call.
	for _, role := range []string{"node", "master", "etcd", "lb"} {
		s.install(role)
	}
	s.works()
	for _, h := range s.all() {
		eventually(t, 3*time.Minute, h.converged)
		if refused, err := os.ReadFile(h.path("var/log/el7-refused")); err == nil {
			t.Errorf("%s: el7 would have refused:\n%s", h.name, refused)
		}
	}

	t.Run("what the tutorial shows at its end is there", func(t *testing.T) { s := s.in(t); tutorial(t, s.master01, s.node01) })
	t.Run("the CIS benchmark", s.benchmark)
	t.Run("pods of both nodes talk, and names are answered", func(t *testing.T) { s.in(t).master02.check() })
	t.Run("an image that somebody removed comes back", s.imageComesBack)
	t.Run("the virtual address leaves a balancer that dies", s.balancerDies)
	t.Run("kubectl hardly notices a master that dies", s.masterDies)
	t.Run("the cluster does without one member of etcd", s.memberDies)
	t.Run("it comes back after the power failed everywhere", s.powerFails)
	t.Run("uninstall puts a balancer back", func(t *testing.T) {
		s := s.in(t)
		s.lb02.must("./install", "uninstall", "--yes", "--purge-data")
		s.lb02.lab("--reboot")
		putBack(t, balancer, s.lb02.snapshot())
	})
	t.Run("uninstall puts a node back, and the cluster goes on without it", func(t *testing.T) { s.nodeLeaves(t, before) })
}

// tutorial is its own verification: names, versions, paths.
func tutorial(t *testing.T, master, node *host) {
	for _, c := range []struct {
		h    *host
		argv []string
		want string
	}{
		{master, []string{"kubectl", "version", "--short"}, "Server Version: v1.20.15"},
		{master, []string{"kubectl", "get", "nodes"}, "v1.20.15"},
		{master, []string{"kubectl", "get", "leases", "-n", "kube-system"}, "kube-controller-manager"},
		{master, []string{"ls", "/opt/etcd/bin", "/opt/etcd/cfg", "/opt/etcd/ssl", "/opt/kubernetes/bin", "/opt/kubernetes/cfg", "/opt/kubernetes/ssl", "/opt/kubernetes/logs"}, "kube-apiserver"},
		{master, []string{"ls", "/root/.kube/config", "/usr/lib/systemd/system/kube-apiserver.service", "/usr/local/bin/kubectl"}, "/root/.kube/config"},
		{master, []string{"hostname"}, "master01"},
		{node, []string{"docker", "info", "--format", "{{.CgroupDriver}} {{.Driver}}"}, "systemd overlay2"},
		{node, []string{"cat", "/etc/docker/daemon.json"}, "native.cgroupdriver=systemd"},
		{node, []string{"ls", "/opt/kubernetes/ssl"}, "kubelet-client-current.pem"},
		{node, []string{"grep", "server: https://" + vip + ":6443", "/opt/kubernetes/cfg/kubelet.kubeconfig"}, vip},
		{node, []string{"getenforce"}, "Permissive"},
	} {
		if out := c.h.must(c.argv...); !strings.Contains(out, c.want) {
			t.Errorf("%s# %q does not say %q:\n%s", c.h.name, c.argv, c.want, out)
		}
	}
	csr := master.must("kubectl", "get", "csr", "--no-headers")
	if n := strings.Count(csr, "Approved,Issued"); n < 2 {
		t.Errorf("%d certificates were issued to nodes, want 2:\n%s", n, csr)
	}
	if out := node.must("sh", "-c", "find /opt/kubernetes /opt/etcd -name 'ca-key.pem'"); out != "" {
		t.Errorf("a node has the key of an authority: %s", out)
	}
}
