package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"offgrid/bundle"
	"offgrid/installer/host"
)

const (
	// ownPatience is how long a run waits for what this host does by itself: an API server needs half a minute on a small host.
	ownPatience = 3 * time.Minute
	// peerPatience is how long it waits for other hosts: they may be installed next week.
	peerPatience = 10 * time.Second
	// peerAnswer is how long a member may take to answer: on a site's own network it is there or it is not.
	peerAnswer = 2 * time.Second
	// leaseAge is how old a leader's last sign of life may be; the lease itself lasts 15 s.
	leaseAge = time.Minute
)

// probeFunc is a WaitStep's Probe.
type probeFunc = func(ctx context.Context, h host.Host) (Status, error)

// own and peers are the times to wait; an impatient run only looks.
func (p *planner) own() time.Duration   { return min(ownPatience, p.in.Patience) }
func (p *planner) peers() time.Duration { return min(peerPatience, p.in.Patience) }

func (p *planner) role() *RoleInput {
	return &RoleInput{Path: p.in.Bundle.Path, Index: p.index, Pack: p.in.Pack, Texts: p.in.Texts}
}

func pending(format string, args ...any) (Status, error) {
	return Status{State: Pending, Why: fmt.Sprintf(format, args...)}, nil
}

// etcdAnswer is what a member said of itself.
type etcdAnswer struct {
	member  bundle.Host
	healthy bool
	why     string // why it is not
}

// askMembers asks every member of etcd at once whether it is healthy.
func askMembers(ctx context.Context, probe Prober, index *bundle.RoleIndex, c credential) []etcdAnswer {
	members := hostsWith(index, bundle.RoleEtcd)
	answers := make([]etcdAnswer, len(members))
	var group sync.WaitGroup
	for i, m := range members {
		group.Go(func() {
			answers[i] = etcdAnswer{member: m}
			question := c.probe(memberURL(m) + "/health")
			question.Timeout = peerAnswer
			a, err := probe(ctx, question)
			var said struct {
				Health string `json:"health"`
			}
			switch {
			case err != nil:
				answers[i].why = err.Error()
			case json.Unmarshal(a.Body, &said) != nil || said.Health != "true":
				answers[i].why = fmt.Sprintf("it answers %d: %s", a.Status, strings.TrimSpace(string(a.Body)))
			default:
				answers[i].healthy = true
			}
		})
	}
	group.Wait()
	// A spare one is no member until it was let in.
	return slices.DeleteFunc(answers, func(a etcdAnswer) bool { return a.member.Spare && !a.healthy })
}

func memberURL(h bundle.Host) string { return "https://" + net.JoinHostPort(h.IP, "2379") }

func memberName(h bundle.Host) string { return fmt.Sprintf("%s on %s (%s)", h.EtcdName, h.Name, h.IP) }

// etcdQuorum is satisfied when etcd answers: a member says that it is healthy only when most are there and have a leader.
// On a member itself, this one has to answer as well.
func (p *planner) etcdQuorum() probeFunc {
	return func(ctx context.Context, h host.Host) (Status, error) {
		c, ok := etcdCredential(p.role())
		if !ok {
			return Status{}, errors.New("the host pack holds no certificate for etcd's clients")
		}
		answers := askMembers(ctx, p.in.Probe, p.index, c)
		var missing []string
		healthy, own := 0, p.plan.Role != bundle.RoleEtcd
		for _, a := range answers {
			if a.healthy {
				healthy++
				own = own || a.member.IP == p.in.Host.IP
				continue
			}
			if a.member.IP != p.in.Host.IP || p.plan.Role != bundle.RoleEtcd {
				missing = append(missing, memberName(a.member))
			}
		}
		switch {
		case healthy == 0:
			return pending("waiting for etcd: %d of %d members are needed; not there yet: %s", len(answers)/2+1, len(answers), strings.Join(missing, ", "))
		case !own:
			if why := p.lostMember(ctx, h, c, answers); why != "" {
				return Status{State: Conflict, Why: why}, nil
			}
			return pending("waiting for the member on this host to catch up with the others")
		case len(missing) > 0:
			return Status{State: Satisfied, Why: fmt.Sprintf("%d of %d members answer; not there yet: %s", healthy, len(answers), strings.Join(missing, ", "))}, nil
		}
		return Status{State: Satisfied, Why: fmt.Sprintf("all %d members answer", len(answers))}, nil
	}
}

// etcdStatus is what the maintenance API of etcd 3.4 says of a member. Its numbers are strings.
type etcdStatus struct {
	Header struct {
		MemberID string `json:"member_id"`
		RaftTerm string `json:"raft_term"`
	} `json:"header"`
	Version string `json:"version"`
	Leader  string `json:"leader"`
}

func askStatus(ctx context.Context, probe Prober, c credential, m bundle.Host) (etcdStatus, error) {
	var s etcdStatus
	question := c.probe(memberURL(m) + "/v3/maintenance/status")
	question.Method, question.Body, question.Timeout = methodPost, "{}", peerAnswer
	a, err := probe(ctx, question)
	if err != nil {
		return s, err
	}
	if a.Status != statusOK {
		return s, fmt.Errorf("asking %s: it answers %d", question.URL, a.Status)
	}
	if err := json.Unmarshal(a.Body, &s); err != nil {
		return s, fmt.Errorf("asking %s: %w", question.URL, err)
	}
	return s, nil
}

// leaderOf asks all members and returns the one that leads, how many answered, and what is wrong when they do not agree.
func leaderOf(ctx context.Context, probe Prober, index *bundle.RoleIndex, c credential) (leader string, answered int, wrong string) {
	ids := map[string]string{}
	said := map[string]bool{}
	for _, m := range hostsWith(index, bundle.RoleEtcd) {
		s, err := askStatus(ctx, probe, c, m)
		if err != nil {
			continue
		}
		answered++
		ids[s.Header.MemberID] = m.EtcdName
		said[s.Leader] = true
	}
	switch {
	case answered == 0:
		return "", 0, "no member answers"
	case len(said) != 1 || said["0"] || said[""]:
		return "", answered, "the members do not agree on a leader yet"
	}
	for id := range said {
		leader = ids[id]
	}
	if leader == "" {
		leader = "a member that does not answer yet"
	}
	return leader, answered, ""
}

func (p *planner) etcdLeader() probeFunc {
	return func(ctx context.Context, _ host.Host) (Status, error) {
		c, ok := etcdCredential(p.role())
		if !ok {
			return Status{}, errors.New("the host pack holds no certificate for etcd's clients")
		}
		leader, _, wrong := leaderOf(ctx, p.in.Probe, p.index, c)
		if wrong != "" {
			return pending("waiting for etcd: %s", wrong)
		}
		return Status{State: Satisfied, Why: leader + " leads"}, nil
	}
}

// ownAPI is the address of the API server on a master itself.
func ownAPI(index *bundle.RoleIndex, h bundle.Host) string {
	return "https://" + net.JoinHostPort(h.IP, strconv.Itoa(apiPort(index)))
}

// apiReady is satisfied when this master's own API server says so.
func (p *planner) apiReady() probeFunc {
	return func(ctx context.Context, _ host.Host) (Status, error) {
		c, ok := fileCredential(p.role(), adminKubeconfig)
		if !ok {
			return Status{}, fmt.Errorf("the host pack holds no %s", adminKubeconfig)
		}
		a, err := p.in.Probe(ctx, c.probe(ownAPI(p.index, p.in.Host)+"/readyz"))
		switch {
		case err != nil:
			return pending("waiting for the API server of this host: %v", err)
		case a.Status != statusOK:
			return pending("waiting for the API server of this host: it answers %d: %s", a.Status, firstLine(a.Body))
		}
		return Status{State: Satisfied}, nil
	}
}

func firstLine(body []byte) string {
	text, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	if len(text) > 200 {
		text = text[:200]
	}
	return text
}

// leases is satisfied when scheduler and controller-manager each have a leader that is alive, on whichever master.
func (p *planner) leases() probeFunc {
	return func(ctx context.Context, _ host.Host) (Status, error) {
		c, ok := fileCredential(p.role(), adminKubeconfig)
		if !ok {
			return Status{}, fmt.Errorf("the host pack holds no %s", adminKubeconfig)
		}
		for _, name := range []string{"kube-scheduler", "kube-controller-manager"} {
			if why := leaseFault(ctx, p.in.Probe, c, ownAPI(p.index, p.in.Host), name, p.in.Now()); why != "" {
				return pending("waiting for a leader of %s: %s", name, why)
			}
		}
		return Status{State: Satisfied}, nil
	}
}

// leaseFault says what is wrong with a component's lease, "" when nothing is.
func leaseFault(ctx context.Context, probe Prober, c credential, server, name string, now time.Time) string {
	a, err := probe(ctx, c.probe(server+"/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/"+name))
	if err != nil {
		return err.Error()
	}
	var lease struct {
		Spec struct {
			HolderIdentity string    `json:"holderIdentity"`
			RenewTime      time.Time `json:"renewTime"`
		} `json:"spec"`
	}
	switch {
	case a.Status == statusNotFound:
		return "there is none yet"
	case a.Status != statusOK:
		return fmt.Sprintf("the API server answers %d", a.Status)
	case json.Unmarshal(a.Body, &lease) != nil || lease.Spec.HolderIdentity == "":
		return "nobody holds the lease"
	case now.Sub(lease.Spec.RenewTime) > leaseAge:
		return lease.Spec.HolderIdentity + " has not renewed it since " + utc(lease.Spec.RenewTime)
	}
	return ""
}

// dockerReady is satisfied when docker answers with the cgroup driver that kubelet is set to.
func (p *planner) dockerReady() probeFunc {
	return func(ctx context.Context, h host.Host) (Status, error) {
		out, err := h.Run(ctx, nil, "docker", "info", "--format", "{{.CgroupDriver}}")
		driver := strings.TrimSpace(string(out))
		switch {
		case err != nil:
			return pending("waiting for docker on this host: %s", lastLine(err))
		case driver != "systemd":
			return Status{State: Conflict, Why: fmt.Sprintf("docker uses the cgroup driver %q, kubelet needs \"systemd\"; see: systemctl cat docker", driver)}, nil
		}
		return Status{State: Satisfied, Why: "cgroup driver systemd"}, nil
	}
}

// endpoint names the API server that nodes talk to, for messages.
func (p *planner) endpoint() string {
	server := p.index.Cluster.APIServer
	balancers := hostsWith(p.index, bundle.RoleLB)
	if vip := p.index.Cluster.VIP; len(balancers) > 0 && strings.Contains(server, "//"+vip+":") {
		return server + " (of the load balancers " + hostNames(balancers) + ")"
	}
	for _, h := range hostsWith(p.index, bundle.RoleMaster) {
		if strings.Contains(server, "//"+h.IP+":") {
			return server + " (" + h.Name + ")"
		}
	}
	return server
}

// endpointReady is satisfied when the API server answers anything: without a certificate it answers 401.
func (p *planner) endpointReady() probeFunc {
	return func(ctx context.Context, _ host.Host) (Status, error) {
		c, ok := fileCredential(p.role(), "bootstrap.kubeconfig")
		if !ok {
			return Status{}, errors.New("the host pack holds no bootstrap.kubeconfig")
		}
		question := Probe{URL: p.index.Cluster.APIServer + "/readyz", CAPEM: c.ca, Timeout: peerAnswer}
		if _, err := p.in.Probe(ctx, question); err != nil {
			return pending("waiting for the API server %s: %v", p.endpoint(), err)
		}
		return Status{State: Satisfied}, nil
	}
}

// kubeletPair is where kubelet puts the certificate that the cluster signed for it, with its key.
const kubeletPair = "/opt/kubernetes/ssl/kubelet-client-current.pem"

func (p *planner) nodeCertificate() probeFunc {
	return func(ctx context.Context, h host.Host) (Status, error) {
		if _, err := h.Lstat(kubeletPair); errors.Is(err, fs.ErrNotExist) {
			if u, err := host.ShowUnit(ctx, h, "kubelet.service"); err == nil && u.Active == "failed" {
				return pending("waiting for kubelet, which failed; see: journalctl -u kubelet -n 20")
			}
			return pending("%s", p.unsigned(ctx))
		} else if err != nil {
			return Status{}, err
		}
		return Status{State: Satisfied}, nil
	}
}

// nodeRegistered is satisfied when the cluster knows the node with the version that the bundle brought. Ready or not is
// not asked: that takes a pod network, which has a wait of its own.
func (p *planner) nodeRegistered() probeFunc {
	return func(ctx context.Context, h host.Host) (Status, error) {
		ready, version, why := nodeState(ctx, p.in.Probe, h, p.role(), p.in.Host)
		switch {
		case why != "":
			return pending("waiting for the node in the cluster: %s", why)
		case version != p.index.Cluster.Policy.KubeVersion:
			return pending("waiting for kubelet %s: the cluster knows the node with %s", p.index.Cluster.Policy.KubeVersion, version)
		case !ready && !hasNetwork(p.index):
			return Status{State: Satisfied, Why: "registered; NotReady until the cluster has a pod network, which is right at this point"}, nil
		case !ready:
			return Status{State: Satisfied, Why: "registered"}, nil
		}
		return Status{State: Satisfied, Why: "registered and Ready"}, nil
	}
}

// nodeState asks the cluster about this node with kubelet's own certificate. why says what is missing.
func nodeState(ctx context.Context, probe Prober, h host.Host, r *RoleInput, own bundle.Host) (ready bool, version, why string) {
	c, why := kubeletCredential(h, r)
	if why != "" {
		return false, "", why
	}
	n, why := askNode(ctx, probe, c, r.Index, own)
	return n.ready, n.version, why
}
