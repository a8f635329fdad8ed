package pki

import (
	"crypto/x509"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

// checkLeaf compares a certificate that is there with what the cluster file asks for now.
func checkLeaf(host string, p, ca Pair, want spec, req Request, problems *Problems) {
	rel := filepath.Join(hostsDir, host, want.name)
	remedy := "have it made anew with `bundle pki renew --host " + host + "`, then build and install again on that host"
	if err := p.Parsed.CheckSignatureFrom(ca.Parsed); err != nil {
		problems.add(rel, "was not signed by this site's %s CA; %s", want.ca, remedy)
		return
	}
	checkValidity(rel, p, req, problems, remedy)
	subject := p.Parsed.Subject
	if subject.CommonName != want.cn || strings.Join(subject.Organization, ",") != want.org {
		problems.add(rel, "is made for %q, the cluster file now wants %q; put the names and addresses in the cluster file back, or %s", subject.CommonName, want.cn, remedy)
	}
	if missing := missingNames(p.Parsed, want.needs); len(missing) > 0 {
		problems.add(rel, "does not cover %s; put the names and addresses in the cluster file back, or %s", strings.Join(missing, ", "), remedy)
	}
	if p.Parsed.NotAfter.After(ca.Parsed.NotAfter) {
		problems.add(rel, "outlives its CA; %s", remedy)
	}
	for _, u := range want.extUsages() {
		if !slices.Contains(p.Parsed.ExtKeyUsage, u) {
			problems.add(rel, "lacks a usage that its connection needs; %s", remedy)
			break
		}
	}
}

func (s spec) extUsages() []x509.ExtKeyUsage {
	var out []x509.ExtKeyUsage
	if s.server {
		out = append(out, x509.ExtKeyUsageServerAuth)
	}
	if s.client {
		out = append(out, x509.ExtKeyUsageClientAuth)
	}
	return out
}

// missingNames returns those of needs that the certificate does not carry.
func missingNames(c *x509.Certificate, needs []string) []string {
	var out []string
	for _, name := range needs {
		if ip, err := netip.ParseAddr(name); err == nil {
			has := false
			for _, have := range c.IPAddresses {
				addr, ok := netip.AddrFromSlice(have)
				has = has || ok && addr.Unmap() == ip.Unmap()
			}
			if !has {
				out = append(out, name)
			}
		} else if !slices.Contains(c.DNSNames, name) {
			out = append(out, name)
		}
	}
	return out
}
