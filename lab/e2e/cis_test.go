//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"offgrid/lab/cis"
)

// cis is the host as the checks of the benchmark see it; a master answers for the cluster. What many checks ask is asked once.
func (h *host) cis(master *host, node bool) *cis.Host {
	said := map[string]result{}
	run := func(h *host, argv ...string) (string, error) {
		question := h.name + "\x00" + strings.Join(argv, "\x00")
		r, ok := said[question]
		if !ok {
			r = h.try(argv...)
			said[question] = r
		}
		if r.code != 0 {
			return r.out, fmt.Errorf("%s# %q ended with %d: %s", h.name, argv, r.code, r.out)
		}
		return r.out, nil
	}
	seen := &cis.Host{
		Run:     func(argv ...string) (string, error) { return run(h, argv...) },
		Kubectl: func(args ...string) (string, error) { return run(master, append([]string{"kubectl"}, args...)...) },
	}
	if node {
		seen.NodeName = h.ip
	}
	return seen
}

// hardened looks at hosts of every role, and at what the cluster grants.
func (s *site) hardened() {
	for _, c := range []struct {
		role  string
		hosts []*host
	}{
		{cis.Etcd, []*host{s.master01, s.node01, s.node02}}, {cis.Master, []*host{s.master01, s.master02}},
		{cis.Node, []*host{s.node01, s.node02}}, {cis.Cluster, []*host{s.master01}},
	} {
		for _, h := range c.hosts {
			seen := h.cis(s.master01, c.role == cis.Node)
			for _, check := range cis.Of(c.role) {
				for _, fault := range check.Look(seen) {
					s.t.Errorf("%s (%s): %s: %s", h.name, c.role, check.ID, fault)
				}
			}
		}
	}
	for _, fault := range cis.Nobody(s.master01.cis(s.master01, false)) {
		s.t.Errorf("somebody who has not said who he is: %s", fault)
	}
}

const canary = "a-word-that-stands-nowhere-else"

// encrypted reads a Secret where etcd has it.
func (s *site) encrypted() {
	s.master01.must("kubectl", "create", "secret", "generic", "canary", "-n", "kube-system", "--from-literal=word="+canary)
	const get = `ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 --cacert /opt/etcd/ssl/ca.pem --cert /opt/etcd/ssl/admin.pem --key /opt/etcd/ssl/admin-key.pem ` +
		`get /registry/secrets/kube-system/canary --print-value-only`
	stored := s.node01.must("sh", "-c", get)
	if !strings.HasPrefix(stored, "k8s:enc:secretbox:v1:key1:") || strings.Contains(stored, canary) {
		s.t.Errorf("etcd holds %.60q", stored)
	}
	if got := s.master02.must("kubectl", "get", "secret", "canary", "-n", "kube-system", "-o", "jsonpath={.data.word}"); got != "YS13b3JkLXRoYXQtc3RhbmRzLW5vd2hlcmUtZWxzZQ==" {
		s.t.Errorf("the other master reads %q", got)
	}
}

// audited reads what the masters have written about it.
func (s *site) audited() {
	eventually(s.t, time.Minute, func() string {
		var all strings.Builder
		for _, h := range []*host{s.master01, s.master02} {
			data, err := os.ReadFile(h.path("opt/kubernetes/logs/k8s-audit.log"))
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err.Error()
			}
			all.Write(data)
		}
		if strings.Contains(all.String(), canary) || strings.Contains(all.String(), "YS13b3JkLXRoYXQt") {
			s.t.Fatal("the content of a Secret is in the audit log")
		}
		for line := range strings.Lines(all.String()) {
			if strings.Contains(line, `"level":"Metadata"`) && strings.Contains(line, `"verb":"create"`) && strings.Contains(line, `"resource":"secrets"`) && strings.Contains(line, `"name":"canary"`) &&
				strings.Contains(line, `"username":"kubernetes-admin"`) {
				return ""
			}
		}
		return "no audit log says who made the secret"
	})
}

// nobody asks as nobody.
func (s *site) nobody() {
	for _, url := range []string{"https://20.0.0.100:6443/version", "https://20.0.0.103:10250/pods", "https://20.0.0.103:10250/runningpods/"} {
		if out := s.master02.must("curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", url); out != "401" {
			s.t.Errorf("%s answers nobody with %s, want 401", url, out)
		}
	}
	if r := s.master01.try("curl", "-sk", "https://20.0.0.103:2379/health"); r.code == 0 {
		s.t.Errorf("etcd answers nobody: %s", r.out)
	}
}

// benchmark looks at a whole site as the CIS benchmark does.
func (s *site) benchmark(t *testing.T) {
	t.Run("every item that is said to be met is met", func(t *testing.T) { s.in(t).hardened() })
	t.Run("Secrets are encrypted in etcd", func(t *testing.T) { s.in(t).encrypted() })
	t.Run("the audit log says who made one", func(t *testing.T) { s.in(t).audited() })
	t.Run("nobody is answered without a name", func(t *testing.T) { s.in(t).nobody() })
}
