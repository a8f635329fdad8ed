package installer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"offgrid/bundle"
	"offgrid/installer/host"
)

// readyPatience is how long a run waits for the pod network on this node: its pod starts in some seconds, once the masters
// have applied it.
const readyPatience = time.Minute

// networkReady plans the wait for a node that is Ready, when the cluster has a pod network at all.
func (p *planner) networkReady() {
	if !hasNetwork(p.index) {
		return
	}
	p.add(&WaitStep{Name: "the pod network on this node", Wait: min(readyPatience, p.in.Patience), Probe: p.nodeReady()})
}

// hasNetwork reports whether the cluster file plans a pod network.
func hasNetwork(index *bundle.RoleIndex) bool {
	return index.Cluster.Policy.CNI != "" && index.Cluster.Policy.CNI != "none"
}

// nodeReady is satisfied when the cluster says that this node is Ready.
func (p *planner) nodeReady() probeFunc {
	return func(ctx context.Context, h host.Host) (Status, error) {
		c, why := kubeletCredential(h, p.role())
		if why != "" {
			return pending("waiting for the pod network on this node: %s", why)
		}
		node, why := askNode(ctx, p.in.Probe, c, p.index, p.in.Host)
		switch {
		case why != "":
			return pending("waiting for the pod network on this node: %s", why)
		case node.ready:
			return Status{State: Satisfied, Why: "Ready"}, nil
		case !strings.Contains(node.message, "network plugin is not ready"):
			return pending("waiting for the node to be Ready: kubelet says: %s", node.message)
		}
		return pending("waiting for the pod network on this node: %s", networkFault(ctx, p.in.Probe, c, p.index, p.in.Host))
	}
}

// kubeletCredential is what kubelet shows to the cluster, with the authority from the node's pack.
func kubeletCredential(h host.Host, r *RoleInput) (c credential, why string) {
	pair, err := host.ReadFile(h, kubeletPair, probeLimit)
	if err != nil {
		return c, "kubelet has no certificate yet"
	}
	c, _ = fileCredential(r, "bootstrap.kubeconfig")
	c.token = ""
	c.cert, c.key = splitPair(pair)
	return c, ""
}

// nodeAnswer is what the cluster says of a node.
type nodeAnswer struct {
	ready   bool
	message string // of the condition Ready
	version string // of kubelet
}

// askNode asks the cluster about a node. why says what is missing.
func askNode(ctx context.Context, probe Prober, c credential, index *bundle.RoleIndex, own bundle.Host) (n nodeAnswer, why string) {
	a, err := probe(ctx, c.probe(index.Cluster.APIServer+"/api/v1/nodes/"+own.NodeName))
	if err != nil {
		return n, err.Error()
	}
	var node nodeObject
	switch {
	case a.Status == statusNotFound:
		return n, "kubelet has not registered it yet"
	case a.Status != statusOK:
		return n, fmt.Sprintf("the API server answers %d: %s", a.Status, firstLine(a.Body))
	case json.Unmarshal(a.Body, &node) != nil:
		return n, "the answer is not a Node"
	}
	n.version = node.Status.NodeInfo.KubeletVersion
	n.ready, n.message = node.ready()
	return n, ""
}

// nodeObject is what is read of a Node.
type nodeObject struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Status struct {
		Addresses  []struct{ Type, Address string }         `json:"addresses"`
		Conditions []struct{ Type, Status, Message string } `json:"conditions"`
		NodeInfo   struct {
			KubeletVersion string `json:"kubeletVersion"`
		} `json:"nodeInfo"`
	} `json:"status"`
}

// ready reads the condition of that name.
func (n *nodeObject) ready() (ok bool, message string) {
	for _, c := range n.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status == "True", c.Message
		}
	}
	return false, "it has not said yet"
}

// address is where the node is reached.
func (n *nodeObject) address() string {
	for _, a := range n.Status.Addresses {
		if a.Type == "InternalIP" {
			return a.Address
		}
	}
	return ""
}

// podObject is what is read of a Pod.
type podObject struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		NodeName string `json:"nodeName"`
	} `json:"spec"`
	Status struct {
		Phase      string                          `json:"phase"`
		PodIP      string                          `json:"podIP"`
		Conditions []struct{ Type, Status string } `json:"conditions"`
		Init       []containerStatus               `json:"initContainerStatuses"`
		Containers []containerStatus               `json:"containerStatuses"`
	} `json:"status"`
}

type containerStatus struct {
	Image string `json:"image"`
	State struct {
		Waiting *struct{ Reason, Message string } `json:"waiting"`
	} `json:"state"`
}

// ready reads the condition of that name.
func (p *podObject) ready() bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c struct{ Type, Status string }) bool { return c.Type == "Ready" && c.Status == "True" })
}

// fault says what keeps the pod from running, "" when it is merely on its way.
func (p *podObject) fault() string {
	for _, c := range append(slices.Clone(p.Status.Init), p.Status.Containers...) {
		w := c.State.Waiting
		switch {
		case w == nil:
		case slices.Contains([]string{"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "ImageInspectError"}, w.Reason):
			return fmt.Sprintf("pod %s lacks the image %s on its node; there: %s images", p.Metadata.Name, c.Image, InstallPath())
		case w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" && w.Reason != "":
			return fmt.Sprintf("pod %s: %s %s", p.Metadata.Name, w.Reason, strings.TrimSpace(w.Message))
		}
	}
	return ""
}

// networkFault says why a node has no pod network: kubelet may look at the pods of its own node.
func networkFault(ctx context.Context, probe Prober, c credential, index *bundle.RoleIndex, own bundle.Host) string {
	a, err := probe(ctx, c.probe(index.Cluster.APIServer+"/api/v1/namespaces/kube-system/pods?fieldSelector=spec.nodeName="+own.NodeName))
	var list struct {
		Items []podObject `json:"items"`
	}
	switch {
	case err != nil:
		return err.Error()
	case a.Status != statusOK || json.Unmarshal(a.Body, &list) != nil:
		return fmt.Sprintf("the API server answers %d: %s", a.Status, firstLine(a.Body))
	case len(list.Items) == 0:
		return "no master has applied it yet, or the controller-manager has not come to this node"
	}
	for _, pod := range list.Items {
		if why := pod.fault(); why != "" {
			return why
		}
	}
	return "its pods are starting"
}
