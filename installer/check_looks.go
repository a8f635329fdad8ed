package installer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"offgrid/bundle"
)

// clusterLooks are what is seen without test pods.
func (c *clusterCheck) clusterLooks() []look {
	index := c.r.Input.Index
	looks := []look{
		{"all nodes", checkPatience, c.lookNodes},
		{"all masters", checkPatience, c.lookMasters},
		{"table of etcd", checkPatience, c.lookEtcd},
		{"add-ons", checkPatience, c.lookAddons},
	}
	if index.Cluster.VIP != "" {
		looks = append(looks, look{"API server at " + index.Cluster.VIP, checkPatience, c.lookVIP})
	}
	if len(hostsWith(index, bundle.RoleLB)) > 0 { // somebody else's balancer may hold it as it likes
		looks = append(looks, look{"one holder of " + index.Cluster.VIP, checkPatience, c.lookHolder})
	}
	return looks
}

// lookNodes is kubectl get nodes.
func (c *clusterCheck) lookNodes(ctx context.Context) (string, bool) {
	missing, why := c.missingNodes(ctx)
	if why != "" {
		return why, false
	}
	var ready []string
	for _, n := range c.nodes {
		ready = append(ready, n.Metadata.Name+" "+n.Status.NodeInfo.KubeletVersion)
	}
	text := "Ready: " + listed(ready)
	if len(missing) > 0 {
		return text + "; not Ready: " + strings.Join(missing, ", "), false
	}
	return text, len(ready) > 0
}

// listed joins a list; one that is empty is "none".
func listed(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// lookMasters asks every planned API server for its version.
func (c *clusterCheck) lookMasters(ctx context.Context) (string, bool) {
	var there, missing []string
	for _, m := range hostsWith(c.r.Input.Index, bundle.RoleMaster) {
		var v struct {
			GitVersion string `json:"gitVersion"`
		}
		one := apiAsker{s: c.s, c: c.api.c, server: ownAPI(c.r.Input.Index, m)}
		switch why := one.decode(ctx, "/version", &v); {
		case why == "":
			there = append(there, m.Name+" "+v.GitVersion)
		case !m.Spare:
			missing = append(missing, m.Name+": "+why)
		}
	}
	text := listed(there) + " answer"
	if len(missing) > 0 {
		text += "; not there: " + strings.Join(missing, "; ")
	}
	return text, len(there) > 0 && (len(missing) == 0 || !c.strict)
}

// lookEtcd is etcdctl endpoint status: one leader, and every planned member healthy.
func (c *clusterCheck) lookEtcd(ctx context.Context) (string, bool) {
	credential, ok := etcdCredential(&c.r.Input)
	if !ok {
		return "the host pack holds no certificate for etcd's clients", false
	}
	index := c.r.Input.Index
	leader, _, wrong := leaderOf(ctx, c.s.Probe, index, credential)
	if wrong != "" {
		return wrong, false
	}
	var rows, missing []string
	for _, a := range askMembers(ctx, c.s.Probe, index, credential) {
		status, err := askStatus(ctx, c.s.Probe, credential, a.member)
		switch {
		case !a.healthy:
			missing = append(missing, memberName(a.member)+": "+a.why)
		case err != nil:
			missing = append(missing, memberName(a.member)+": "+err.Error())
		default:
			rows = append(rows, a.member.EtcdName+" v"+status.Version+" term "+status.Header.RaftTerm)
		}
	}
	text := leader + " leads; " + listed(rows)
	if len(missing) > 0 {
		text += "; not healthy: " + strings.Join(missing, "; ")
	}
	return text, len(missing) == 0 || !c.strict && len(rows) > len(missing)
}

// lookAddons compares the marks of what was applied with the bundle. What an earlier bundle brought and this one does not is
// named and left alone: somebody may use it.
func (c *clusterCheck) lookAddons(ctx context.Context) (string, bool) {
	var list struct {
		Items []struct {
			Metadata struct {
				Name   string            `json:"name"`
				Labels map[string]string `json:"labels"`
			} `json:"metadata"`
		} `json:"items"`
	}
	if why := c.api.decode(ctx, "/api/v1/namespaces/"+markNamespace+"/configmaps?labelSelector="+markLabelQuery, &list); why != "" {
		return why, false
	}
	var applied, missing, left []string
	for _, m := range list.Items {
		applied = append(applied, m.Metadata.Labels[markLabel])
	}
	var planned []string
	for _, a := range c.r.Input.Index.Addons {
		planned = append(planned, a.Name)
		if !slices.Contains(applied, a.Name) {
			missing = append(missing, a.Name)
		}
	}
	for _, name := range applied {
		if !slices.Contains(planned, name) {
			left = append(left, name)
		}
	}
	text := strings.Join(planned, ", ")
	if len(left) > 0 {
		text += "; of an earlier bundle, and left alone: " + strings.Join(left, ", ")
	}
	if len(missing) > 0 {
		return "not applied yet: " + strings.Join(missing, ", "), false
	}
	return text, true
}

// markLabelQuery is markLabel in a URL.
const markLabelQuery = "offgrid%2Faddon"

// lookVIP asks for the API server where nodes do.
func (c *clusterCheck) lookVIP(ctx context.Context) (string, bool) {
	a, err := c.s.Probe(ctx, c.api.c.probe(vipURL(c.r.Input.Index)+"/readyz"))
	if err != nil {
		return err.Error(), false
	}
	return fmt.Sprintf("it answers %d", a.Status), a.Status == statusOK
}

// lookHolder asks the network who has the shared address. A master can tell as long as it is in the balancers' network.
func (c *clusterCheck) lookHolder(ctx context.Context) (string, bool) {
	return holderOf(ctx, c.s.Host, c.r.Input.Index, c.r.Plan.Host.IP)
}
