package installer

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// The authorities of a site are changed in three steps, each with bundles of its own: trust the new ones beside the old ones, have
// certificates of the new ones, trust only those. Hosts of neighbouring steps understand each other, others do not, so a
// bundle is refused on a host, or beside hosts, that have not got the one before it.

const authorityWhy = "a change of authorities goes in three steps, and every host gets the bundles of one before any gets those of the next"

// authorityFindings keeps the order.
func (s *Session) authorityFindings(ctx context.Context, job *Job) []Finding {
	var found []Finding
	for i := range job.Roles {
		r := &job.Roles[i]
		if r.Plan == nil || r.Plan.Upgrade != nil && r.Plan.Upgrade.PutBack {
			continue // what is put back was there before
		}
		c := &authorityCheck{s: s, r: r, now: s.authoritiesHere(&r.Input), will: authoritiesOf(&r.Input)}
		if len(c.now) > 0 {
			found = append(found, c.run(ctx)...)
		}
	}
	return found
}

// authorityCheck compares what a host trusts now with what a bundle brings.
type authorityCheck struct {
	s         *Session
	r         *RoleJob
	now, will []*x509.Certificate
}

func (c *authorityCheck) run(ctx context.Context) []Finding {
	gone := slices.DeleteFunc(slices.Clone(c.now), func(ca *x509.Certificate) bool { return among(ca, c.will) })
	fresh := slices.DeleteFunc(slices.Clone(c.will), func(ca *x509.Certificate) bool { return among(ca, c.now) })
	found := slices.Concat(c.early(fresh), c.late(gone), c.kubelets(gone))
	if len(found) == 0 && (len(gone) > 0 || c.changesHands()) {
		found = c.peers(ctx)
	}
	for i := range found {
		found[i].Role = c.r.Plan.Role
	}
	return found
}

// early finds certificates of an authority that this host does not know yet: others do not know it either.
func (c *authorityCheck) early(fresh []*x509.Certificate) []Finding {
	for _, leaf := range slices.Concat(packCertificates(&c.r.Input), kubeconfigCertificates(&c.r.Input)) {
		if by := signedBy(leaf.cert, fresh); by != nil {
			return usage("authority-unknown", fmt.Sprintf("%s is signed by %s, which this host does not trust yet", leaf.path, by.Subject.CommonName), c.r.Bundle.Path,
				authorityWhy, "first the bundles of the step before, on every host: bundle pki show   (on the machine with internet)")
		}
	}
	return nil
}

// late finds what this host still has of an authority that goes.
func (c *authorityCheck) late(gone []*x509.Certificate) []Finding {
	for _, leaf := range slices.Concat(packCertificates(&c.r.Input), kubeconfigCertificates(&c.r.Input)) {
		if by := signedBy(c.s.certificateAt(leaf.path), gone); by != nil {
			return usage("authority-skipped", fmt.Sprintf("%s on this host is signed by %s, which the bundle does not trust any more", leaf.path, by.Subject.CommonName), leaf.path,
				authorityWhy, "first the bundles of the step before, on every host: bundle pki show   (on the machine with internet)")
		}
	}
	return nil
}

// kubelets finds what the cluster gave to this node's kubelet, and no bundle brings anew.
func (c *authorityCheck) kubelets(gone []*x509.Certificate) []Finding {
	if c.r.Plan.Role != bundle.RoleNode {
		return nil
	}
	if by := signedBy(c.s.certificateAt(kubeletPair), gone); by != nil {
		return usage("authority-kubelet", "kubelet's certificate is signed by "+by.Subject.CommonName+", which the bundle does not trust any more", kubeletPair,
			"the masters sign with the new authority once they have the bundle of step 2: kubelet has to ask once more before the old one goes",
			"rm -f /opt/kubernetes/cfg/kubelet.kubeconfig /opt/kubernetes/ssl/kubelet-client-*.pem && systemctl restart kubelet")
	}
	if by := signedBy(c.s.certificateAt(kubeletServing), gone); by != nil {
		return usage("authority-kubelet", "the certificate that kubelet serves with is signed by "+by.Subject.CommonName+", which the bundle does not trust any more", kubeletServing,
			"the API servers would not read this node's logs any more",
			"rm -f /opt/kubernetes/ssl/kubelet-server-*.pem && systemctl restart kubelet   (then, on a master: "+InstallPath()+" approve)")
	}
	return nil
}

// changesHands reports whether the bundle brings certificates of another authority than those that are here.
func (c *authorityCheck) changesHands() bool {
	return slices.ContainsFunc(slices.Concat(packCertificates(&c.r.Input), kubeconfigCertificates(&c.r.Input)), func(leaf packCert) bool {
		here := c.s.certificateAt(leaf.path)
		return here != nil && signedBy(leaf.cert, c.will) != nil && !sameAuthority(signedBy(leaf.cert, c.will), signedBy(here, c.now))
	})
}

// peers asks the hosts that this one talks to with what the bundle brings: they have to accept it, and it them. Those that do not
// answer are asked by nobody.
func (c *authorityCheck) peers(ctx context.Context) []Finding {
	if c.s.Probe == nil {
		return nil
	}
	index, own := c.r.Input.Index, c.r.Plan.Host.IP
	for _, h := range index.Hosts {
		if h.IP == own || h.Spare {
			continue
		}
		for _, q := range c.questions(h) {
			q.Timeout = peerAnswer
			a, err := c.s.Probe(ctx, q)
			what := ""
			switch {
			case err == nil && a.Status == statusUnauthorized, err != nil && strings.Contains(err.Error(), "remote error: tls"):
				what = "does not accept the bundle's certificates yet"
			case err != nil && strings.Contains(err.Error(), otherCluster):
				what = "still has certificates that the bundle does not trust any more"
			default:
				continue
			}
			return usage("authority-peer", fmt.Sprintf("%s (%s) %s", h.Name, h.IP, what), q.URL, authorityWhy,
				"first the bundles of the step before, on "+h.Name+": bundle pki show   (on the machine with internet)")
		}
	}
	return nil
}

// questions are those that this role asks a host.
func (c *authorityCheck) questions(h bundle.Host) []Probe {
	var all []Probe
	in := &c.r.Input
	if client, ok := etcdCredential(in); ok && slices.Contains(h.Roles, bundle.RoleEtcd) {
		all = append(all, client.probe(memberURL(h)+"/health"))
	}
	for _, name := range []string{adminKubeconfig, "kube-proxy.kubeconfig"} {
		if client, ok := fileCredential(in, name); ok && slices.Contains(h.Roles, bundle.RoleMaster) {
			all = append(all, client.probe(ownAPI(in.Index, h)+"/readyz"))
		}
	}
	return all
}

// authoritiesOf lists the authorities that a bundle places for its role.
func authoritiesOf(r *RoleInput) []*x509.Certificate {
	var all []*x509.Certificate
	for _, text := range r.Texts {
		all = append(all, authoritiesIn(text)...)
	}
	return all
}

// authoritiesHere lists those that lie on this host in the same places.
func (s *Session) authoritiesHere(r *RoleInput) []*x509.Certificate {
	var all []*x509.Certificate
	for path, text := range r.Texts {
		if len(authoritiesIn(text)) == 0 {
			continue
		}
		if data, err := host.ReadFile(s.Host, path, saveMax); err == nil { // what is not there is placed
			all = append(all, authoritiesIn(data)...)
		}
	}
	return all
}

func authoritiesIn(data []byte) []*x509.Certificate {
	var all []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if ca, err := x509.ParseCertificate(block.Bytes); err == nil && ca.IsCA {
			all = append(all, ca)
		}
	}
	return all
}

// certificateAt is the first certificate of a file on this host, or that of a kubeconfig; nil when there is none.
func (s *Session) certificateAt(path string) *x509.Certificate {
	data, err := host.ReadFile(s.Host, path, saveMax)
	if err != nil {
		return nil
	}
	return firstCertificate(data)
}

// signedBy is the authority, of several, that signed a certificate; nil when none did, or there is no certificate.
func signedBy(cert *x509.Certificate, cas []*x509.Certificate) *x509.Certificate {
	if cert == nil || cert.IsCA {
		return nil
	}
	for _, ca := range cas {
		if cert.CheckSignatureFrom(ca) == nil {
			return ca
		}
	}
	return nil
}

func among(ca *x509.Certificate, all []*x509.Certificate) bool {
	return slices.ContainsFunc(all, ca.Equal)
}

func sameAuthority(a, b *x509.Certificate) bool { return a != nil && b != nil && a.Equal(b) }
