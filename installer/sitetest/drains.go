package sitetest

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"

	"offgrid/installer"
)

// Pod is a pod on a node.
type Pod struct {
	Name   string
	Node   string
	Owner  string // kind of its controller; "" none
	Mirror bool
	Phase  string // "" means Running
	Budget string // PodDisruptionBudget that lets it not go; "" none
}

// drains is what the cluster knows of nodes and pods, and of versions.
type drains struct {
	mu     sync.Mutex
	base   string // where the first bundles are
	known  map[string]bool
	bad    map[string]bool
	told   map[string]string // version of the kubelet, by node
	cordon map[string]bool
	pods   []Pod
	log    []string
}

func newDrains(base string) *drains {
	return &drains{base: base, known: map[string]bool{First().Kube: true, First().Etcd: true}, bad: map[string]bool{}, cordon: map[string]bool{}, told: map[string]string{}}
}

// Cordon is kubectl cordon and uncordon.
func (s *Site) Cordon(node string, yes bool) {
	s.drains.mu.Lock()
	defer s.drains.mu.Unlock()
	s.drains.cordon[node] = yes
}

// Cordoned reports whether no pod may be scheduled to a node.
func (s *Site) Cordoned(node string) bool {
	s.drains.mu.Lock()
	defer s.drains.mu.Unlock()
	return s.drains.cordon[node]
}

// SetPods makes these the pods of the cluster.
func (s *Site) SetPods(pods ...Pod) {
	s.drains.mu.Lock()
	defer s.drains.mu.Unlock()
	s.drains.pods, s.drains.log = pods, nil
}

// Drained is what was asked of nodes and pods, in order: "cordon 20.0.0.103", "evict web-0", "uncordon 20.0.0.103".
func (s *Site) Drained() []string {
	s.drains.mu.Lock()
	defer s.drains.mu.Unlock()
	return append([]string{}, s.drains.log...)
}

// drain answers what an upgrade asks of nodes and pods; status 0 when that is not it.
func (s *Site) drain(path string, p installer.Probe) (int, string) {
	d := s.drains
	d.mu.Lock()
	defer d.mu.Unlock()
	name, isNode := strings.CutPrefix(path, "/api/v1/nodes/")
	pod, isEviction := strings.CutSuffix(strings.TrimPrefix(path, "/api/v1/namespaces/default/pods/"), "/eviction")
	switch {
	case isNode && p.Method == "PATCH":
		if p.Type != "application/merge-patch+json" {
			return 415, `{"message":"the body of the request was in an unknown format"}`
		}
		yes := strings.Contains(p.Body, `"unschedulable":true`)
		d.cordon[name] = yes
		d.log = append(d.log, map[bool]string{true: "cordon ", false: "uncordon "}[yes]+name)
		return 200, "{}"
	case path == "/api/v1/pods":
		return 200, d.list(p.URL)
	case isEviction && p.Method == "POST":
		return d.evict(pod)
	}
	return 0, ""
}

// list is a page with one pod of a node.
func (d *drains) list(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	node := strings.TrimPrefix(u.Query().Get("fieldSelector"), "spec.nodeName=")
	after := u.Query().Get("continue")
	for i, pod := range d.pods {
		if pod.Node != node || after != "" && fmt.Sprint(i) < after {
			continue
		}
		more := ""
		for k := i + 1; k < len(d.pods); k++ {
			if d.pods[k].Node == node && more == "" {
				more = fmt.Sprint(k)
			}
		}
		return fmt.Sprintf(`{"metadata":{"continue":%q},"items":[%s]}`, more, pod.object())
	}
	return `{"metadata":{},"items":[]}`
}

func (p Pod) object() string {
	phase, annotations, owners := p.Phase, "{}", "[]"
	if phase == "" {
		phase = "Running"
	}
	if p.Mirror {
		annotations = `{"kubernetes.io/config.mirror":"x"}`
	}
	if p.Owner != "" {
		owners = fmt.Sprintf(`[{"kind":%q,"controller":true}]`, p.Owner)
	}
	return fmt.Sprintf(`{"metadata":{"namespace":"default","name":%q,"annotations":%s,"ownerReferences":%s},"status":{"phase":%q}}`, p.Name, annotations, owners, phase)
}

// evict removes a pod unless its budget forbids it.
func (d *drains) evict(name string) (int, string) {
	for i, p := range d.pods {
		switch {
		case p.Name != name:
		case p.Budget != "":
			return 429, fmt.Sprintf(`{"kind":"Status","message":"Cannot evict pod as it would violate the pod's disruption budget.","details":{"causes":[{"reason":"DisruptionBudget",`+
				`"message":"The disruption budget %s needs 2 healthy pods and has 2 currently"}]},"code":429}`, p.Budget)
		default:
			d.pods = append(d.pods[:i:i], d.pods[i+1:]...)
			d.log = append(d.log, "evict "+name)
			return 201, "{}"
		}
	}
	return 404, `{"message":"not found"}`
}

// Aside lets what happens next happen without a trace: the function that it returns makes the cluster what it is now.
func (s *Site) Aside() (back func()) {
	d := s.drains
	d.mu.Lock()
	defer d.mu.Unlock()
	objects, cordon, told := maps.Clone(s.objects), maps.Clone(d.cordon), maps.Clone(d.told)
	pods, log := slices.Clone(d.pods), slices.Clone(d.log)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		s.objects, d.cordon, d.told, d.pods, d.log = objects, cordon, told, pods, log
	}
}
