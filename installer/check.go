package installer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// CheckRequest is how the whole cluster is to be looked at.
type CheckRequest struct {
	Keep    bool          // the test pods stay for whoever wants to look at them
	Timeout time.Duration // of everything but the removal of the test pods
}

const (
	// checkHealth is how long the cluster check of a master's own installation may take.
	checkHealth = 90 * time.Second
	// checkRemoval is how long the removal of the test pods may take.
	checkRemoval = time.Minute
	// checkPatience is how long a line of the check may take to become right.
	checkPatience = 20 * time.Second
	// checkCommand is how long one kubectl may take.
	checkCommand = 15 * time.Second
)

// Check looks at the whole cluster from a master: its masters, etcd, nodes and balancers, and what pods can do, with test
// pods on every node. Everything that it makes in the cluster it removes again, also when ctx is cancelled. A host without
// the role master is refused with a *UsageError.
func (s *Session) Check(ctx context.Context, req CheckRequest) ([]HealthLine, error) {
	jobs, err := s.resumed(ctx, bundle.RoleMaster)
	if err != nil {
		return nil, err
	}
	defer closeJobs(jobs)
	if len(jobs) == 0 {
		return nil, s.noMaster(ctx)
	}
	limited, cancel := context.WithTimeout(ctx, req.Timeout)
	defer cancel()
	c := newClusterCheck(s, jobs[0].Roles[0], true)
	lines := s.takeLooks(limited, bundle.RoleMaster, append(s.masterLooks(c.r), s.certificateLooks(c.r)...))
	lines = append(lines, c.run(limited, req.Keep, checkRemoval)...)
	return lines, ctx.Err()
}

// noMaster says where the check is to be run.
func (s *Session) noMaster(ctx context.Context) error {
	e := &UsageError{What: "the whole cluster is looked at from a master, and this host is none", Hint: "on a master: " + InstallPath() + " check"}
	jobs, err := s.resumed(ctx, "")
	if err != nil || len(jobs) == 0 {
		return e
	}
	defer closeJobs(jobs)
	if masters := hostsWith(jobs[0].Roles[0].Input.Index, bundle.RoleMaster); len(masters) > 0 {
		e.Hint = "on " + masters[0].Name + " (" + masters[0].IP + "): " + InstallPath() + " check"
	}
	return e
}

// clusterLines are the cluster's part of a master's health. Before all nodes are Ready there is nothing to try: hosts are
// installed in any order, and that is said instead.
func (s *Session) clusterLines(ctx context.Context, r RoleJob) []HealthLine {
	if r.Plan.Role != bundle.RoleMaster || !hasNetwork(r.Input.Index) {
		return nil
	}
	c := newClusterCheck(s, r, false)
	missing, why := c.missingNodes(ctx)
	if why != "" || len(missing) > 0 {
		text := "not tried yet: " + orText(why, "not Ready: "+strings.Join(missing, ", ")) + "; when all nodes are Ready, run: " + InstallPath() + " check"
		return []HealthLine{{Role: bundle.RoleMaster, Name: "the whole cluster", OK: true, Text: text}}
	}
	limited, cancel := context.WithTimeout(ctx, checkHealth)
	defer cancel()
	return c.run(limited, false, checkRemoval)
}

// clusterCheck is one look at the whole cluster.
type clusterCheck struct {
	s      *Session
	r      RoleJob
	api    apiAsker // of this master
	kube   ApplyStep
	strict bool // what is planned and not there is a fault, and not merely on its way

	nodes   []nodeObject // that are Ready, by name
	pods    []checkPod   // that are ready, by the name of their node
	service struct {
		ip   string // its cluster address
		port int    // that every node has for it
	}
}

func newClusterCheck(s *Session, r RoleJob, strict bool) *clusterCheck {
	c, _ := fileCredential(&r.Input, adminKubeconfig)
	own := ownAPI(r.Input.Index, r.Plan.Host)
	return &clusterCheck{s: s, r: r, strict: strict, api: apiAsker{s: s, c: c, server: own},
		kube: ApplyStep{Kubectl: kubectlPath, Kubeconfig: adminKubeconfig, Server: own}}
}

// namespace is of this master alone: two of them may check at the same time.
func (c *clusterCheck) namespace() string { return "offgrid-check-" + c.r.Plan.Host.Name }

// run looks at the cluster, then tries what pods can do. What it makes it removes, whatever happens.
func (c *clusterCheck) run(ctx context.Context, keep bool, removal time.Duration) []HealthLine {
	lines := c.s.takeLooks(ctx, bundle.RoleMaster, c.clusterLooks())
	image := c.r.Input.Index.Cluster.Policy.CheckImage
	if image == "" || !hasNetwork(c.r.Input.Index) {
		return append(lines, HealthLine{Role: bundle.RoleMaster, Name: "test pods", OK: true, Text: "none: the bundle has no pod network or no image for them"})
	}
	if ctx.Err() != nil {
		return lines
	}
	pods := c.s.takeLooks(ctx, bundle.RoleMaster, []look{{"test pods", 0, c.makePods}})
	lines = append(lines, pods...)
	if len(c.pods) > 0 {
		lines = append(lines, c.s.takeLooks(ctx, bundle.RoleMaster, c.podLooks())...)
	}
	if keep {
		c.s.Report.Report(progress.Event{Phase: "health", Kind: progress.Note,
			Text: "the test pods stay; remove them with: kubectl delete namespace " + c.namespace()})
		return lines
	}
	return append(lines, c.remove(context.WithoutCancel(ctx), removal)...)
}

// remove takes away what was made. It says nothing when that goes well.
func (c *clusterCheck) remove(ctx context.Context, limit time.Duration) []HealthLine {
	c.s.Report.Report(progress.Event{Phase: "health", Kind: progress.Note, Text: "removing the test pods"})
	begin := time.Now()
	if err := c.deleteNamespace(ctx, limit); err != nil {
		return []HealthLine{{Role: bundle.RoleMaster, Name: "removal of the test pods", Seconds: time.Since(begin).Seconds(),
			Text: said(err) + "; remove them with: kubectl delete namespace " + c.namespace()}}
	}
	return nil
}

func (c *clusterCheck) deleteNamespace(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit+checkCommand)
	defer cancel()
	argv := slices.DeleteFunc(c.kube.kubectl("delete", "namespace", c.namespace(), "--ignore-not-found", "--wait=true", fmt.Sprintf("--timeout=%ds", int(limit/time.Second))),
		func(a string) bool { return strings.HasPrefix(a, "--request-timeout") }) // it would end the wait
	_, err := c.s.Host.Run(ctx, nil, argv...)
	return err
}

// listNodes asks for all nodes.
func (c *clusterCheck) listNodes(ctx context.Context) (all []nodeObject, why string) {
	var list struct {
		Items []nodeObject `json:"items"`
	}
	why = c.api.decode(ctx, "/api/v1/nodes", &list)
	slices.SortFunc(list.Items, func(a, b nodeObject) int { return strings.Compare(a.Metadata.Name, b.Metadata.Name) })
	return list.Items, why
}

// missingNodes are the planned nodes that are not Ready; those that are, planned or not, it remembers.
func (c *clusterCheck) missingNodes(ctx context.Context) (missing []string, why string) {
	all, why := c.listNodes(ctx)
	if why != "" {
		return nil, why
	}
	c.nodes = nil
	ready := map[string]bool{}
	for _, n := range all {
		if ok, _ := n.ready(); ok {
			ready[n.Metadata.Name] = true
			c.nodes = append(c.nodes, n)
		}
	}
	for _, h := range hostsWith(c.r.Input.Index, bundle.RoleNode) {
		if !h.Spare && !ready[h.NodeName] {
			missing = append(missing, h.Name+" ("+h.IP+")")
		}
	}
	return missing, ""
}
