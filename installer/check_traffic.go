package installer

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"offgrid/bundle"
)

// checkPairs is up to how many pods each talks to each other one; of more, each talks to the next.
const checkPairs = 4

// podLooks are what the test pods try.
func (c *clusterCheck) podLooks() []look {
	return []look{
		{"logs", checkPatience, c.each(c.tryLogs)},
		{"exec", checkPatience, c.each(c.tryExec)},
		{"pod to pod", checkPatience, c.tryPods},
		{"names in the cluster (DNS)", checkPatience, c.each(c.tryNames)},
		{"service at its cluster address", checkPatience, c.each(c.tryService)},
		{"service at every node's port (NodePort)", checkPatience, c.tryNodePort},
		{"pods' tokens at every API server", checkPatience, c.tryToken},
	}
}

// each tries something in every pod; the first fault ends it.
func (c *clusterCheck) each(try func(ctx context.Context, p checkPod) (text, why string)) func(context.Context) (string, bool) {
	return func(ctx context.Context) (string, bool) {
		text := ""
		for _, p := range c.pods {
			var why string
			if text, why = try(ctx, p); why != "" {
				return "on " + p.node + ": " + why, false
			}
		}
		return fmt.Sprintf("%s, on %s", text, count(len(c.pods), "node")), true
	}
}

// count writes "1 node" and "2 nodes".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (c *clusterCheck) tryLogs(ctx context.Context, p checkPod) (text, why string) {
	out, err := c.kubectl(ctx, nil, "logs", p.name)
	switch {
	case err != nil:
		return "", said(err)
	case !strings.Contains(out, "this is "+p.node):
		return "", "the log of its pod is not what it said"
	}
	return "what a pod says is read", ""
}

func (c *clusterCheck) tryExec(ctx context.Context, p checkPod) (text, why string) {
	out, why := c.exec(ctx, p, "cat", "/www/node")
	if why == "" && out != p.node {
		why = fmt.Sprintf("it printed %q", out)
	}
	return "a command runs in a pod", why
}

// tryPods lets pods talk across nodes.
func (c *clusterCheck) tryPods(ctx context.Context) (string, bool) {
	n, tried := len(c.pods), 0
	for i, from := range c.pods {
		for j := 1; j < n; j++ {
			if n > checkPairs && j > 1 {
				break
			}
			to := c.pods[(i+j)%n]
			node, why := c.fetch(ctx, from, net.JoinHostPort(to.ip, strconv.Itoa(checkPort)))
			if why == "" && node != to.node {
				why = "it got to " + node
			}
			if why != "" {
				return fmt.Sprintf("from %s to %s (%s): %s", from.node, to.node, to.ip, why), false
			}
			tried++
		}
	}
	if n == 1 {
		return "there is but one node", true
	}
	return count(tried, "way") + " between " + count(n, "node"), true
}

// tryNames asks for a full name and for a short one, as programs do.
func (c *clusterCheck) tryNames(ctx context.Context, p checkPod) (text, why string) {
	cluster := c.r.Input.Index.Cluster
	names := []struct{ name, address string }{
		{"kubernetes.default.svc." + cluster.DNSDomain, firstService(cluster)},
		{checkName + "." + c.namespace() + ".svc." + cluster.DNSDomain, c.service.ip},
	}
	for _, n := range names {
		if out, why := c.exec(ctx, p, "nslookup", n.name); !slices.Contains(strings.Fields(out), n.address) {
			return "", fmt.Sprintf("nslookup %s does not find %s: %s", n.name, n.address, orText(why, lastOf(out)))
		}
	}
	if _, why := c.fetch(ctx, p, checkName); why != "" {
		return "", "the service by its short name " + checkName + ": " + why
	}
	return "full and short names are found", ""
}

// lastOf is the last line of what a program printed.
func lastOf(text string) string { return text[strings.LastIndexByte(text, '\n')+1:] }

// firstService is the address of the service kubernetes: the first of the services' network.
func firstService(c bundle.Cluster) string {
	prefix, err := netip.ParsePrefix(c.ServiceCIDR)
	if err != nil {
		return ""
	}
	return prefix.Masked().Addr().Next().String()
}

func (c *clusterCheck) tryService(ctx context.Context, p checkPod) (text, why string) {
	_, why = c.fetch(ctx, p, c.service.ip)
	return "it answers at " + c.service.ip, why
}

// tryNodePort asks every Ready node from this host.
func (c *clusterCheck) tryNodePort(ctx context.Context) (string, bool) {
	for _, n := range c.nodes {
		url := fmt.Sprintf("http://%s/node", net.JoinHostPort(n.address(), strconv.Itoa(c.service.port)))
		a, err := c.s.Probe(ctx, Probe{URL: url})
		switch {
		case err != nil:
			return err.Error(), false
		case a.Status != statusOK:
			return fmt.Sprintf("asking %s: it answers %d", url, a.Status), false
		}
	}
	return fmt.Sprintf("port %d, on %s", c.service.port, count(len(c.nodes), "node")), true
}

// tryToken shows the token that kubelet has given to a pod to every API server. When masters have different keys, each one
// accepts only what it has signed itself.
func (c *clusterCheck) tryToken(ctx context.Context) (string, bool) {
	token, why := c.exec(ctx, c.pods[0], "cat", checkToken)
	if why != "" || token == "" {
		return "the pod on " + c.pods[0].node + " has none: " + why, false
	}
	var accepted, missing []string
	for _, m := range hostsWith(c.r.Input.Index, bundle.RoleMaster) {
		a, err := c.s.Probe(ctx, Probe{URL: ownAPI(c.r.Input.Index, m) + "/api", CAPEM: c.api.c.ca, Token: token})
		switch {
		case err != nil && m.Spare:
		case err != nil:
			missing = append(missing, m.Name+": "+err.Error())
		case a.Status != statusOK:
			return fmt.Sprintf("%s answers %d: its keys are not those of the master that made the token", m.Name, a.Status), false
		default:
			accepted = append(accepted, m.Name)
		}
	}
	text := "accepted by " + listed(accepted)
	if len(missing) > 0 {
		text += "; not there: " + strings.Join(missing, "; ")
	}
	return text, len(accepted) > 0 && (len(missing) == 0 || !c.strict)
}
