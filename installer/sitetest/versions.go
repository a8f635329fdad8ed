package sitetest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"offgrid/bundle"
	"offgrid/installer"
)

// Versions is what tells one set of bundles from another one.
type Versions struct {
	Kube, Etcd string // "v1.20.15"
	Serial     int64
	Authority  int    // step of a change of authorities: 0 and from 3 on there is none under way
	Docker     string // version and release of docker's package; "" means 1.0-1.el7
}

func (v Versions) docker() string {
	if v.Docker == "" {
		return "1.0-1.el7"
	}
	return v.Docker
}

// First is what the bundles of a new site bring.
func First() Versions { return Versions{Kube: "v1.20.15", Etcd: "v3.4.26", Serial: 1} }

// signer is the authority of two, the old one and the new one, that signs in the step of the bundles at hand.
func (s *Site) signer(old, new *cert) *cert {
	if s.stick.Authority >= 2 {
		return new
	}
	return old
}

// trusted are those of the two that hosts trust in that step, the one that signs first.
func (s *Site) trusted(old, new *cert) []byte {
	switch s.stick.Authority {
	case 0:
		return old.pem
	case 1:
		return slices.Concat(old.pem, new.pem)
	case 2:
		return slices.Concat(new.pem, old.pem)
	}
	return new.pem
}

// KubeletRenews gives a node's kubelet a certificate of the authority that signs now, as the masters do when it asks.
func (s *Site) KubeletRenews(t testing.TB, ip string) {
	t.Helper()
	c := s.pki.client(t, s.signer(s.pki.kube, s.pki.nextKube), "system:node")
	s.Hosts[ip].Put(t, "/opt/kubernetes/ssl/kubelet-client-current.pem", string(c.pem)+string(c.keyPEM))
}

// Bring makes the bundles at hand those of other versions, all with certificates of their own. Bundles that were there
// before are the same ones again.
func (s *Site) Bring(t testing.TB, v Versions) {
	t.Helper()
	s.stick = v
	s.drains.known[v.Kube], s.drains.known[v.Etcd] = true, true
	dir := filepath.Join(s.drains.base, fmt.Sprintf("%s-%s-%d", v.Kube, v.Etcd, v.Serial))
	if v == First() {
		dir = s.drains.base
	}
	s.dir = dir
	if err := os.Mkdir(dir, 0o755); err != nil {
		return // it is there
	}
	for _, role := range []string{bundle.RoleEtcd, bundle.RoleMaster, bundle.RoleNode} {
		s.write(t, role)
	}
}

// Break makes a program of a version end as soon as it is started: "kubelet v1.20.16".
func (s *Site) Break(program string, broken bool) { s.drains.bad[program] = broken }

// behind is the first master whose API server answers.
func (s *Site) behind() string {
	for _, h := range s.Table {
		if s.apiUp(h.IP) {
			return h.IP
		}
	}
	return s.Table[0].IP
}

// runs is the version of a program that its service on a host was last started with.
func (s *Site) runs(ip, program string) string {
	var started struct {
		Files []struct {
			Path   string        `json:"path"`
			Digest bundle.Digest `json:"digest"`
		} `json:"files"`
	}
	text := s.Hosts[ip].Get(installer.StateDir + "/units/" + program + ".service.json")
	if json.Unmarshal([]byte(text), &started) == nil {
		for _, f := range started.Files {
			for v := range s.drains.known {
				if filepath.Base(f.Path) == program && f.Digest == bundle.DigestOf([]byte(programOf(program, v))) {
					return v
				}
			}
		}
	}
	return "v?"
}

// registered is the version that a node's kubelet has told the cluster: one that cannot run tells nothing.
func (s *Site) registered(ip string) string {
	s.drains.mu.Lock()
	defer s.drains.mu.Unlock()
	if !s.broken(ip, "kubelet.service") {
		s.drains.told[ip] = s.runs(ip, "kubelet")
	}
	return s.drains.told[ip]
}

func programOf(name, version string) string { return program(name + " " + version) }

// broken reports whether a service cannot run with the program that it was started with.
func (s *Site) broken(ip, unit string) bool {
	if len(s.drains.bad) == 0 {
		return false
	}
	name := strings.TrimSuffix(unit, ".service")
	return s.drains.bad[name+" "+s.runs(ip, name)]
}

// Runs is the version that a program on a host was last started with, "v?" when it never was.
func (s *Site) Runs(ip, program string) string { return s.runs(ip, program) }
