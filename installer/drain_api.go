package installer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"offgrid/bundle"
	"offgrid/bundle/progress"
	"offgrid/installer/host"
)

// nodeClient is what a node needs to talk about itself to the cluster.
type nodeClient struct {
	probe  Prober
	role   *RoleInput
	own    bundle.Host
	limit  time.Duration // for all pods to go
	wait   time.Duration // for the API server to answer at all
	report progress.Func
}

// connect reads kubelet's own certificate: a node may cordon itself and evict its own pods, and nothing else.
func (n nodeClient) connect(h host.Host) (*nodeAPI, error) {
	pair, err := host.ReadFile(h, kubeletPair, probeLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("kubelet has no certificate yet")
	}
	if err != nil {
		return nil, err
	}
	c, _ := fileCredential(n.role, "bootstrap.kubeconfig")
	c.token = ""
	c.cert, c.key = splitPair(pair)
	return &nodeAPI{nodeClient: n, c: c, server: n.role.Index.Cluster.APIServer}, nil
}

// nodeAPI is a nodeClient with its certificate.
type nodeAPI struct {
	nodeClient
	c      credential
	server string
}

// drainNode is what matters of a Node.
type drainNode struct {
	Spec struct {
		Unschedulable bool `json:"unschedulable"`
	} `json:"spec"`
	Status struct {
		Conditions []struct{ Type, Status string } `json:"conditions"`
	} `json:"status"`
}

func (n drainNode) ready() bool {
	for _, c := range n.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status == "True"
		}
	}
	return false
}

// ask sends one question; an answer that is not a good one is an error, a missing object fs.ErrNotExist.
func (a *nodeAPI) ask(ctx context.Context, p Probe, into any) error {
	q := a.c.probe(a.server + p.URL)
	q.Method, q.Body, q.Type = p.Method, p.Body, p.Type
	got, err := a.probe(ctx, q)
	switch {
	case err != nil:
		return err
	case got.Status == statusNotFound:
		return fs.ErrNotExist
	case got.Status != statusOK && got.Status != statusCreated:
		return &apiError{status: got.Status, body: got.Body}
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(got.Body, into); err != nil {
		return fmt.Errorf("asking %s: %w", q.URL, err)
	}
	return nil
}

// apiError is an answer that says no.
type apiError struct {
	status int
	body   []byte
}

func (e *apiError) Error() string {
	var said struct {
		Message string `json:"message"`
		Details struct {
			Causes []struct {
				Message string `json:"message"`
			} `json:"causes"`
		} `json:"details"`
	}
	if json.Unmarshal(e.body, &said) != nil || said.Message == "" {
		return fmt.Sprintf("the API server answers %d: %s", e.status, firstLine(e.body))
	}
	text := strings.TrimSuffix(said.Message, ".")
	for _, c := range said.Details.Causes {
		text += ": " + c.Message // "The disruption budget web needs 2 healthy pods and has 2 currently"
	}
	return text
}

func (a *nodeAPI) node(ctx context.Context) (drainNode, error) {
	var n drainNode
	return n, a.ask(ctx, Probe{URL: "/api/v1/nodes/" + a.own.NodeName}, &n)
}

// schedulable says whether pods may be scheduled to the node.
func (a *nodeAPI) schedulable(ctx context.Context, yes bool) error {
	err := a.ask(ctx, Probe{Method: methodPatch, URL: "/api/v1/nodes/" + a.own.NodeName, Type: "application/merge-patch+json",
		Body: fmt.Sprintf(`{"spec":{"unschedulable":%v}}`, !yes)}, nil)
	verb := "cordoning"
	if yes {
		verb = "uncordoning"
	}
	if err != nil {
		return fmt.Errorf("%s node %s: %w", verb, a.own.NodeName, err)
	}
	return nil
}

// drainPod is what matters of a Pod.
type drainPod struct {
	Metadata struct {
		Namespace         string            `json:"namespace"`
		Name              string            `json:"name"`
		Annotations       map[string]string `json:"annotations"`
		DeletionTimestamp string            `json:"deletionTimestamp"`
		OwnerReferences   []struct {
			Kind       string `json:"kind"`
			Controller bool   `json:"controller"`
		} `json:"ownerReferences"`
	} `json:"metadata"`
	Status struct {
		Phase string `json:"phase"`
	} `json:"status"`
}

func (p drainPod) name() string { return p.Metadata.Namespace + "/" + p.Metadata.Name }

// mirrorAnnotation is on the pods that kubelet runs from files: the API server only shows them.
const mirrorAnnotation = "kubernetes.io/config.mirror"

// stays says why a pod is not evicted, "" when it is.
func (p drainPod) stays() string {
	if _, mirror := p.Metadata.Annotations[mirrorAnnotation]; mirror {
		return "kubelet runs it from a file"
	}
	if p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed" {
		return "it has ended"
	}
	for _, o := range p.Metadata.OwnerReferences {
		if o.Controller && o.Kind == "DaemonSet" {
			return "it belongs to a DaemonSet"
		}
		if o.Controller {
			return ""
		}
	}
	return loosePod
}

// loosePod is why a pod stays that would be gone for good.
const loosePod = "it belongs to no controller, so nobody would start it anew"

// podsPage keeps an answer well below probeLimit: a pod may have 20 KiB.
const podsPage = 25

// pods lists the pods on the node.
func (a *nodeAPI) pods(ctx context.Context) ([]drainPod, error) {
	var all []drainPod
	next := ""
	for {
		query := url.Values{"fieldSelector": {"spec.nodeName=" + a.own.NodeName}, "limit": {fmt.Sprint(podsPage)}}
		if next != "" {
			query.Set("continue", next)
		}
		var page struct {
			Metadata struct {
				Continue string `json:"continue"`
			} `json:"metadata"`
			Items []drainPod `json:"items"`
		}
		if err := a.ask(ctx, Probe{URL: "/api/v1/pods?" + query.Encode()}, &page); err != nil {
			return nil, fmt.Errorf("listing the pods of node %s: %w", a.own.NodeName, err)
		}
		all = append(all, page.Items...)
		if next = page.Metadata.Continue; next == "" {
			return all, nil
		}
	}
}

// evict asks for one pod to go. One that is not there any more has gone.
func (a *nodeAPI) evict(ctx context.Context, p drainPod) error {
	body, err := json.Marshal(map[string]any{"apiVersion": "policy/v1beta1", "kind": "Eviction",
		"metadata": map[string]string{"namespace": p.Metadata.Namespace, "name": p.Metadata.Name}})
	if err != nil {
		return err
	}
	err = a.ask(ctx, Probe{Method: methodPost, Body: string(body),
		URL: "/api/v1/namespaces/" + p.Metadata.Namespace + "/pods/" + p.Metadata.Name + "/eviction"}, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// evictAll has the node's pods evicted, and returns when all have gone. What a PodDisruptionBudget holds back is tried
// again until the time is over.
func (a *nodeAPI) evictAll(ctx context.Context) error {
	told := map[string]bool{}
	var last *DrainError
	var fault error
	_, ok := waitFor(ctx, a.limit, func() (string, bool) {
		left := 0
		if left, last, fault = a.evictRound(ctx, told); fault == nil && left > 0 {
			left, last, fault = a.evictRound(ctx, told) // what was accepted may be gone at once
		}
		return "", fault == nil && left == 0 || fault != nil && !transient(fault)
	})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case fault != nil:
		return fault
	case !ok && last != nil:
		return last
	}
	return nil
}

// silent tells that nobody answered from an answer that says no.
func silent(err error) bool {
	var said *apiError
	return !errors.As(err, &said) && !errors.Is(err, fs.ErrNotExist)
}

// transient tells the faults that another second may cure: no answer at all. What the API server refuses, it refuses again.
func transient(err error) bool {
	var said *apiError
	return !errors.As(err, &said) || said.status >= 500
}

// evictRound looks once at every pod. left is how many still have to go, and held is one of them.
func (a *nodeAPI) evictRound(ctx context.Context, told map[string]bool) (left int, held *DrainError, err error) {
	pods, err := a.pods(ctx)
	if err != nil {
		return 0, nil, err
	}
	for _, p := range pods {
		if why := p.stays(); why != "" {
			if why == loosePod && !told[p.name()] {
				told[p.name()] = true
				a.report.Report(progress.Event{Phase: "apply", Item: "drain node " + a.own.NodeName, Kind: progress.Warn, Text: "pod " + p.name() + " stays: " + why})
			}
			continue
		}
		left++
		why := "it is told to end, and has not yet"
		if p.Metadata.DeletionTimestamp == "" {
			err := a.evict(ctx, p)
			var said *apiError
			if err != nil && (!errors.As(err, &said) || said.status != statusBusy && said.status < 500) {
				return left, nil, fmt.Errorf("evicting pod %s: %w", p.name(), err)
			}
			if err != nil {
				why = err.Error()
			}
		}
		if held == nil || p.Metadata.DeletionTimestamp == "" {
			held = &DrainError{Node: a.own.NodeName, Pod: p.name(), Why: why, Wait: a.limit}
		}
	}
	if held != nil && !told[held.Pod+held.Why] {
		told[held.Pod+held.Why] = true
		a.report.Report(progress.Event{Phase: "apply", Item: "drain node " + a.own.NodeName, Kind: progress.Wait, Text: "pod " + held.Pod + ": " + held.Why})
	}
	return left, held, nil
}
