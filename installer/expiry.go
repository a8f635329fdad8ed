package installer

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// expiryWarning is how long before its end a certificate is warned of: renewing takes a trip to the site.
const (
	expiryDays    = 90
	expiryWarning = expiryDays * 24 * time.Hour
)

// States of a certificate.
const (
	certificateOK      = "ok"
	certificateSoon    = "soon"
	certificateExpired = "expired"
	certificateEarly   = "early"
)

// CertificateStatus is a certificate on this host.
type CertificateStatus struct {
	Path    string    `json:"path"`
	Name    string    `json:"name"` // common name
	Expires time.Time `json:"expires"`
	Days    int       `json:"days"`  // left, negative when it has expired
	State   string    `json:"state"` // "ok", "soon" (fewer than 90 days), "expired" or "early" (not valid yet)
}

// MemberStatus is a member of etcd as seen from this host.
type MemberStatus struct {
	Name    string `json:"name"`
	Host    string `json:"host"`
	IP      string `json:"ip"`
	Healthy bool   `json:"healthy"`
	Leader  bool   `json:"leader"`
	Version string `json:"version"`
	DBSize  int64  `json:"dbSize"` // bytes
	Text    string `json:"text"`   // what is wrong; "" when nothing is
}

// VIPStatus is the address of the load balancers as seen from this host.
type VIPStatus struct {
	Address string `json:"address"`
	Here    bool   `json:"here"`    // this host holds it
	Answers bool   `json:"answers"` // an API server answers there
	Text    string `json:"text"`    // what is wrong; "" when nothing is
}

// certificates lists the certificates that the role has placed on this host, those in kubeconfigs as well, and those that
// kubelet got, soonest end first.
func (s *Session) certificates(r RoleJob) []CertificateStatus {
	var paths []string
	for _, c := range slices.Concat(packCertificates(&r.Input), kubeconfigCertificates(&r.Input)) {
		paths = append(paths, c.path)
	}
	for path, text := range r.Input.Texts {
		if block, _ := pem.Decode(text); block != nil && block.Type == "CERTIFICATE" {
			paths = append(paths, path)
		}
	}
	if r.Plan.Role == bundle.RoleNode {
		paths = append(paths, kubeletPair, kubeletServing)
	}
	slices.Sort(paths)
	found := []CertificateStatus{}
	for _, path := range slices.Compact(paths) {
		data, err := host.ReadFile(s.Host, path, saveMax)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its step says so
		}
		if c, ok := expiryOf(data, s.Now()); ok {
			c.Path = path
			found = append(found, c)
		}
	}
	slices.SortStableFunc(found, func(a, b CertificateStatus) int {
		return cmp.Or(a.Expires.Compare(b.Expires), cmp.Compare(a.Path, b.Path))
	})
	return found
}

// expiryOf reads the first certificate of a file, or that of a kubeconfig's user.
func expiryOf(data []byte, now time.Time) (CertificateStatus, bool) {
	cert := firstCertificate(data)
	if cert == nil {
		return CertificateStatus{}, false
	}
	left := cert.NotAfter.Sub(now)
	return CertificateStatus{Name: cert.Subject.CommonName, Expires: cert.NotAfter.UTC(), Days: int(left / (24 * time.Hour)), State: certificateState(cert, now)}, true
}

// firstCertificate is the first certificate of a file, or that of a kubeconfig's user; nil when there is none.
func firstCertificate(data []byte) *x509.Certificate {
	pair, _ := splitPair(data)
	if pair == nil {
		pair = kubeconfigCertificate(data)
	}
	block, _ := pem.Decode(pair)
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return cert
}

// certificateState judges a certificate.
func certificateState(cert *x509.Certificate, now time.Time) string {
	switch left := cert.NotAfter.Sub(now); {
	case left <= 0:
		return certificateExpired
	case now.Before(cert.NotBefore):
		return certificateEarly
	case left < expiryWarning:
		return certificateSoon
	}
	return certificateOK
}

// renewCommand is what makes certificates anew, on the machine with internet.
func renewCommand() string {
	return fmt.Sprintf("on the machine with internet: bundle pki renew --expiring %d && bundle build --renewal", expiryDays)
}

// certificateLooks looks at how long what lies on this host is good for. What ends soon works still, and is said.
func (s *Session) certificateLooks(r RoleJob) []look {
	return []look{{"certificates", 0, func(context.Context) (string, bool) { return judgeCertificates(s.certificates(r)) }}}
}

// judgeCertificates sums up certificates that are sorted by their ends.
func judgeCertificates(all []CertificateStatus) (text string, ok bool) {
	var over, early, soon []string
	for _, c := range all {
		line := fmt.Sprintf("%s (%s)", c.Path, utc(c.Expires))
		switch c.State {
		case certificateExpired:
			over = append(over, line)
		case certificateEarly:
			early = append(early, c.Path)
		case certificateSoon:
			soon = append(soon, line)
		}
	}
	switch {
	case len(over) > 0:
		return "expired: " + strings.Join(over, ", ") + "; if the clock is right, " + renewCommand(), false
	case len(early) > 0:
		return "not valid yet: " + strings.Join(early, ", ") + "; this host's clock is behind; look at: date; chronyc tracking", false
	case len(soon) > 0:
		return fmt.Sprintf("%d of %d end within %d days, the first is %s; %s", len(soon), len(all), expiryDays, soon[0], renewCommand()), true
	case len(all) == 0:
		return "none is on this host", true
	}
	return fmt.Sprintf("%d, the first ends in %d days", len(all), all[0].Days), true
}

// etcdStatuses asks every planned member, from a host that may.
func (s *Session) etcdStatuses(ctx context.Context, r RoleJob) []MemberStatus {
	all := []MemberStatus{}
	c, ok := etcdCredential(&r.Input)
	if !ok || s.Probe == nil || r.Plan.Role != bundle.RoleEtcd && r.Plan.Role != bundle.RoleMaster {
		return all
	}
	leader, _, _ := leaderOf(ctx, s.Probe, r.Input.Index, c)
	e := &etcdHere{installedRole: &installedRole{Input: r.Input, Host: r.Plan.Host}, credential: c, probe: s.Probe}
	for _, a := range askMembers(ctx, s.Probe, r.Input.Index, c) {
		m := MemberStatus{Name: a.member.EtcdName, Host: a.member.Name, IP: a.member.IP, Healthy: a.healthy, Leader: a.healthy && a.member.EtcdName == leader, Text: a.why}
		if st, err := e.status(ctx, a.member); err == nil {
			m.Version, m.DBSize = "v"+st.version, st.dbSize
		}
		all = append(all, m)
	}
	return all
}

// vipStatus says whether this host holds the address of the load balancers, and whether it works; nil on a site without.
func (s *Session) vipStatus(ctx context.Context, r RoleJob) *VIPStatus {
	index := r.Input.Index
	if index.Cluster.VIP == "" {
		return nil
	}
	v := &VIPStatus{Address: index.Cluster.VIP}
	nic, err := holdsAddress(ctx, s.Host, v.Address)
	v.Here = nic != ""
	if err != nil {
		v.Text = lastLine(err)
	}
	if s.Probe == nil {
		return v
	}
	a, err := s.Probe(ctx, Probe{URL: strings.TrimSuffix(index.Cluster.APIServer, "/") + "/version", Timeout: peerAnswer})
	v.Answers = err == nil && a.Status < 500
	if err != nil {
		v.Text = err.Error()
	}
	return v
}
