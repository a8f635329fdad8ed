package sitetest

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"offgrid/installer"
)

// Probe answers as the site's hosts would.
func (s *Site) Probe(_ context.Context, p installer.Probe) (installer.Answer, error) {
	if err := s.Settle(); err != nil {
		return installer.Answer{}, err
	}
	u, err := url.Parse(p.URL)
	if err != nil {
		return installer.Answer{}, err
	}
	status, body := s.answer(u, p)
	if status == 0 {
		return installer.Answer{}, fmt.Errorf("asking %s: nothing listens there yet", p.URL)
	}
	return installer.Answer{Status: status, Date: s.time, Body: []byte(body)}, nil
}

// answer returns status 0 when nobody is there.
func (s *Site) answer(u *url.URL, p installer.Probe) (int, string) {
	ip := u.Hostname()
	switch {
	case ip == "127.0.0.1":
		return 200, "ipvs"
	case u.Port() == "2379":
		return s.answerEtcd(ip, u.Path, p)
	case u.Port() == "6443" && ip == s.vip && s.holder() != "" && s.apiUp(""), u.Port() == "6443" && s.balances(ip) && s.apiUp(""):
		return s.answerAPI(s.behind(), u.Path, p)
	case u.Port() == "6443" && s.apiUp(ip):
		return s.answerAPI(ip, u.Path, p)
	}
	return s.inCluster(u)
}

func (s *Site) answerEtcd(ip, path string, p installer.Probe) (int, string) {
	switch {
	case !s.up(ip, "etcd.service") || !s.quorum():
		return 0, "" // a member listens only once it has joined
	case p.CertPEM == nil:
		return 0, ""
	case path == "/health":
		return 200, `{"health":"true"}`
	case path == "/v3/maintenance/status":
		return 200, fmt.Sprintf(`{"header":{"member_id":"%s","raft_term":"2"},"version":"%s","leader":"%s"}`, ip, s.runs(ip, "etcd")[1:], s.leader())
	case path == "/version":
		return 200, `{"etcdserver":"` + s.runs(ip, "etcd")[1:] + `","etcdcluster":"3.4.0"}`
	case path == "/v3/cluster/member/list":
		var members []string
		for _, h := range s.Table {
			if h.EtcdName != "" {
				members = append(members, fmt.Sprintf(`{"name":"%s","peerURLs":["https://%s:2380"]}`, h.EtcdName, h.IP))
			}
		}
		return 200, `{"members":[` + strings.Join(members, ",") + `]}`
	}
	return 404, ""
}

// leader is the first member that runs.
func (s *Site) leader() string {
	for _, h := range s.Table {
		if h.EtcdName != "" && s.up(h.IP, "etcd.service") {
			return h.IP
		}
	}
	return "0"
}

func (s *Site) answerAPI(ip, path string, p installer.Probe) (int, string) {
	if p.CertPEM == nil && p.Token == "" {
		return 401, `{"kind":"Status","code":401}`
	}
	if status, body := s.drain(path, p); status != 0 {
		return status, body
	}
	const binding = `{"metadata":{"name":"rotation"},"roleRef":{"name":"system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"},` +
		`"subjects":[{"kind":"Group","name":"system:nodes"}]}`
	switch {
	case path == "/readyz":
		return 200, "ok"
	case path == "/version":
		return 200, `{"gitVersion":"` + s.runs(ip, "kube-apiserver") + `"}`
	case path == "/api" && p.Token != "" && (p.Token != checkToken || s.faults["token "+ip]):
		return 401, ""
	case path == "/apis", path == "/api":
		return 200, "{}"
	case strings.HasPrefix(path, "/api/v1/namespaces/"+checkSpace):
		return s.spaceObjects(path)
	case path == "/api/v1/namespaces/kube-system/configmaps":
		return 200, s.marks()
	case strings.HasSuffix(path, "/services/kube-dns"):
		return 200, "{}"
	case strings.HasSuffix(path, "/serviceaccounts/default/token"):
		return 201, `{"status":{"token":"x.y.z"}}`
	case strings.HasPrefix(path, "/apis/coordination.k8s.io/"):
		return 200, fmt.Sprintf(`{"spec":{"holderIdentity":"master01_1","renewTime":"%s"}}`, s.time.Format("2006-01-02T15:04:05.000000Z"))
	case strings.HasSuffix(path, "/clusterrolebindings"):
		return 200, `{"items":[` + binding + `]}`
	case strings.HasSuffix(path, "/componentstatuses"):
		return 200, `{"items":[{"metadata":{"name":"etcd-0"},"conditions":[{"type":"Healthy","status":"True"}]}]}`
	case path == "/api/v1/nodes":
		return 200, s.nodes()
	case strings.HasPrefix(path, "/api/v1/nodes/"):
		return 200, s.node(strings.TrimPrefix(path, "/api/v1/nodes/"))
	case strings.HasSuffix(path, "/pods"):
		return 200, `{"items":[]}`
	}
	return 404, ""
}
