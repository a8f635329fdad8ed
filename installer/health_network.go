package installer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"offgrid/bundle"
)

// networkLooks are what a node sees of the cluster's network by itself: its services, and names.
func (s *Session) networkLooks(r RoleJob) []look {
	index := r.Input.Index
	if !hasNetwork(index) {
		return nil
	}
	first := firstService(index.Cluster)
	return []look{
		{"service kubernetes at " + first, healthWait, func(ctx context.Context) (string, bool) {
			c, _ := fileCredential(&r.Input, "bootstrap.kubeconfig")
			a, err := s.Probe(ctx, Probe{URL: "https://" + net.JoinHostPort(first, "443") + "/version", CAPEM: c.ca})
			if err != nil {
				return err.Error() + "; see: journalctl -u kube-proxy -n 20", false
			}
			return fmt.Sprintf("it answers %d", a.Status), true
		}},
		{"names in the cluster (DNS) at " + index.Cluster.DNSIP, healthWait, func(ctx context.Context) (string, bool) { return s.lookDNS(ctx, r) }},
	}
}

// lookDNS asks for the name that every cluster has. Where the cluster has no DNS of ours there is nothing to ask.
func (s *Session) lookDNS(ctx context.Context, r RoleJob) (string, bool) {
	cluster := r.Input.Index.Cluster
	if c, why := kubeletCredential(s.Host, &r.Input); why == "" {
		a, err := s.Probe(ctx, c.probe(cluster.APIServer+"/api/v1/namespaces/kube-system/services/kube-dns"))
		if err == nil && a.Status == statusNotFound {
			return "the cluster has none: there is no service kube-dns", true
		}
	}
	name := "kubernetes.default.svc." + cluster.DNSDomain
	a, err := s.Probe(ctx, Probe{URL: dnsScheme + cluster.DNSIP + "/" + name})
	found := strings.TrimSpace(string(a.Body))
	switch {
	case err != nil:
		return err.Error(), false
	case a.Status != statusOK:
		return "it does not know " + name, false
	}
	return name + " is " + found, found == firstService(cluster)
}

// balancerLooks are the checks of a load balancer.
func (s *Session) balancerLooks(r RoleJob) []look {
	index := r.Input.Index
	looks := []look{
		{"API server behind this balancer", healthWait, func(ctx context.Context) (string, bool) {
			a, err := s.Probe(ctx, Probe{URL: balancerURL(index, r.Plan.Host) + "/readyz"})
			if errors.Is(err, errNobodyListens) {
				return "nginx does not listen; see: journalctl -u " + nginxUnit + " -n 20", false
			}
			if err != nil {
				return "none answers: " + err.Error(), false
			}
			return fmt.Sprintf("it answers %d", a.Status), true
		}},
		{"masters", 0, func(ctx context.Context) (string, bool) { return s.mastersSeen(ctx, index) }},
	}
	if index.Cluster.VIP == "" {
		return looks
	}
	return append(looks,
		look{"API server at " + index.Cluster.VIP, healthWait, func(ctx context.Context) (string, bool) {
			a, err := s.Probe(ctx, Probe{URL: vipURL(index) + "/readyz"})
			if err != nil {
				return err.Error() + "; see: journalctl -u " + keepalivedUnit + " -n 20", false
			}
			return fmt.Sprintf("it answers %d", a.Status), true
		}},
		look{"one holder of " + index.Cluster.VIP, healthWait, func(ctx context.Context) (string, bool) {
			return holderOf(ctx, s.Host, index, r.Plan.Host.IP)
		}})
}

// mastersSeen asks every API server without a balancer in between. One is enough: the others may come later.
func (s *Session) mastersSeen(ctx context.Context, index *bundle.RoleIndex) (string, bool) {
	var there, missing []string
	for _, m := range hostsWith(index, bundle.RoleMaster) {
		_, err := s.Probe(ctx, Probe{URL: ownAPI(index, m) + "/readyz", Timeout: peerAnswer})
		switch {
		case err == nil:
			there = append(there, m.Name)
		case !m.Spare:
			missing = append(missing, m.Name)
		}
	}
	text := listed(there) + " answer"
	if len(missing) > 0 {
		text += "; not there: " + strings.Join(missing, ", ")
	}
	return text, len(there) > 0
}
