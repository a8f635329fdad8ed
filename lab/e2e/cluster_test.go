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

// registered says which nodes are missing.
func (h *host) registered() string {
	out := h.kubectl("get", "nodes", "-o", "wide", "--no-headers").out
	for _, ip := range []string{"20.0.0.103", "20.0.0.104"} {
		if !strings.Contains(out, ip+" ") {
			return fmt.Sprintf("kubectl get nodes: %s is not there:\n%s", ip, out)
		}
	}
	return ""
}

func TestTheClusterOfTheTutorialFormsInWhateverOrderItsHostsAreInstalled(t *testing.T) {
	r := lab(t)
	hosts := r.hosts(t, "master01", "master02", "node01", "node02")
	master01, master02, node01, node02 := hosts[0], hosts[1], hosts[2], hosts[3]
	var before snapshot
	for _, h := range hosts {
		h.bring("etcd", "master", "node")
	}
	before = node01.snapshot()

	// Nodes first, whose masters are not there; then masters, whose etcd is not there; at last etcd. All at once: as long as one
	// waits it would only be slower one by one. The sticks are gone before the others come.
	together(t, []*host{node01, node02}, func(h *host) { h.install("node"); h.must("rm", "node.bundle") })
	together(t, []*host{master02, master01}, func(h *host) { h.install("master"); h.must("rm", "master.bundle") })
	together(t, []*host{node02, master01, node01}, func(h *host) { h.install("etcd"); h.must("rm", "etcd.bundle") })

	eventually(t, 3*time.Minute, master01.oneLeader)
	for _, h := range []*host{master01, master02} {
		eventually(t, 3*time.Minute, h.healthy)
	}
	eventually(t, 3*time.Minute, master01.registered)
	for _, h := range hosts {
		eventually(t, 3*time.Minute, h.converged)
		if refused, err := os.ReadFile(h.path("var/log/el7-refused")); err == nil {
			t.Errorf("%s: el7 would have refused:\n%s", h.name, refused)
		}
	}

	t.Run("what the tutorial shows at its end is there", func(t *testing.T) { tutorial(t, master01, node01) })
	t.Run("it comes back after a reboot of every host", func(t *testing.T) {
		together(t, hosts, func(h *host) { h.lab("--reboot") })
		eventually(t, 3*time.Minute, master01.oneLeader)
		for _, h := range []*host{master01, master02} {
			eventually(t, 3*time.Minute, h.healthy)
		}
		for _, h := range hosts {
			out := h.must("systemctl", "list-units", "--state=failed", "--no-legend", "--plain")
			if strings.TrimSpace(out) != "" {
				t.Errorf("%s: units that failed after the reboot:\n%s", h.name, out)
			}
		}
	})
	t.Run("uninstall puts a node back", func(t *testing.T) {
		node01.must("./install", "uninstall", "--yes", "--purge-data")
		node01.lab("--reboot")
		putBack(t, before, node01.snapshot())
	})
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
