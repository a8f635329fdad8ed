package installer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"offgrid/installer/host"
)

// What the test pods are called and where they serve.
const (
	checkName  = "check"
	checkPort  = 8080
	checkToken = "/var/run/offgrid/token"
	checkLabel = "offgrid-check"
)

// checkScript serves the name of the pod's node over HTTP, and says it in the log.
const checkScript = `echo "this is $NODE"; echo "$NODE" > /www/node; exec httpd -f -p 8080 -h /www`

// checkPod is a test pod that is ready.
type checkPod struct {
	name, node, ip string
}

type object = map[string]any

// checkObjects are a namespace, a service and a pod on every node. The pods have no privilege, bear any taint and take their
// image from their node; their token is one of those that the API server makes for a pod alone.
func (c *clusterCheck) checkObjects() ([]byte, error) {
	meta := object{"name": checkName, "namespace": c.namespace()}
	labels := object{"app": checkLabel}
	container := object{
		"name": checkName, "image": c.r.Input.Index.Cluster.Policy.CheckImage, "imagePullPolicy": "IfNotPresent",
		"command":         []string{"sh", "-c", checkScript},
		"env":             []object{{"name": "NODE", "valueFrom": object{"fieldRef": object{"fieldPath": "spec.nodeName"}}}},
		"ports":           []object{{"containerPort": checkPort}},
		"readinessProbe":  object{"httpGet": object{"path": "/node", "port": checkPort}, "periodSeconds": 1, "timeoutSeconds": 3},
		"securityContext": object{"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": object{"drop": []string{"ALL"}}},
		"volumeMounts":    []object{{"name": "www", "mountPath": "/www"}, {"name": "token", "mountPath": "/var/run/offgrid", "readOnly": true}},
	}
	pod := object{
		"serviceAccountName": checkName, "automountServiceAccountToken": false, "enableServiceLinks": false, "terminationGracePeriodSeconds": 1,
		"securityContext": object{"runAsNonRoot": true, "runAsUser": 65534, "runAsGroup": 65534, "fsGroup": 65534},
		"tolerations":     []object{{"operator": "Exists"}},
		"containers":      []object{container},
		"volumes": []object{
			{"name": "www", "emptyDir": object{}},
			{"name": "token", "projected": object{"sources": []object{{"serviceAccountToken": object{"path": "token", "expirationSeconds": 600}}}}},
		},
	}
	return json.Marshal(object{"apiVersion": "v1", "kind": "List", "items": []object{
		{"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": c.namespace(), "labels": labels}},
		{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
		{"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": object{"type": "NodePort", "selector": labels,
			"ports": []object{{"port": 80, "targetPort": checkPort}}}},
		{"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta, "spec": object{"selector": object{"matchLabels": labels},
			"template": object{"metadata": object{"labels": labels}, "spec": pod}}},
	}})
}

// kubectl runs kubectl in the check's namespace.
func (c *clusterCheck) kubectl(ctx context.Context, stdin []byte, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, checkCommand)
	defer cancel()
	out, err := c.s.Host.Run(ctx, bytes.NewReader(stdin), c.kube.kubectl(append([]string{"-n", c.namespace()}, args...)...)...)
	return string(out), err
}

// makePods removes what an earlier check that was cut off has left, makes the pods, and waits for one on every Ready node.
func (c *clusterCheck) makePods(ctx context.Context) (string, bool) {
	if err := c.deleteNamespace(ctx, checkRemoval); err != nil {
		return "removing what an earlier check has left: " + said(err), false
	}
	manifest, err := c.checkObjects()
	if err == nil {
		_, err = c.kubectl(ctx, manifest, "create", "-f", "-")
	}
	if err != nil {
		return said(err), false
	}
	text, ok := waitFor(ctx, min(podPatience, c.s.Patience), func() (string, bool) { return c.lookPods(ctx) })
	if !ok {
		return text, false
	}
	return text, c.readService(ctx)
}

// podPatience is how long the test pods may take: docker starts a pod in some seconds, on a slow host in many.
const podPatience = healthWait

// lookPods finds the pods that are ready, one on each Ready node.
func (c *clusterCheck) lookPods(ctx context.Context) (string, bool) {
	var list struct {
		Items []podObject `json:"items"`
	}
	if why := c.api.decode(ctx, "/api/v1/namespaces/"+c.namespace()+"/pods", &list); why != "" {
		return why, false
	}
	c.pods = nil
	faults := map[string]string{}
	for _, p := range list.Items {
		if p.ready() {
			c.pods = append(c.pods, checkPod{p.Metadata.Name, p.Spec.NodeName, p.Status.PodIP})
		} else if why := p.fault(); why != "" {
			faults[p.Spec.NodeName] = why
		}
	}
	slices.SortFunc(c.pods, func(a, b checkPod) int { return strings.Compare(a.node, b.node) })
	var there, missing []string
	for _, n := range c.nodes {
		name := n.Metadata.Name
		if slices.ContainsFunc(c.pods, func(p checkPod) bool { return p.node == name }) {
			there = append(there, name)
		} else {
			missing = append(missing, strings.TrimSpace(name+" "+faults[name]))
		}
	}
	if len(missing) > 0 {
		return "none is ready on " + strings.Join(missing, ", "), false
	}
	return "one is ready on " + listed(there), len(there) > 0
}

// readService learns the service's address and port.
func (c *clusterCheck) readService(ctx context.Context) bool {
	var service struct {
		Spec struct {
			ClusterIP string `json:"clusterIP"`
			Ports     []struct {
				NodePort int `json:"nodePort"`
			} `json:"ports"`
		} `json:"spec"`
	}
	why := c.api.decode(ctx, "/api/v1/namespaces/"+c.namespace()+"/services/"+checkName, &service)
	if why != "" || len(service.Spec.Ports) != 1 {
		return false
	}
	c.service.ip, c.service.port = service.Spec.ClusterIP, service.Spec.Ports[0].NodePort
	return true
}

// exec runs a command in a pod and returns what it prints, whatever its exit code; why is what a failure said.
func (c *clusterCheck) exec(ctx context.Context, p checkPod, argv ...string) (out, why string) {
	text, err := c.kubectl(ctx, nil, append([]string{"exec", p.name, "--"}, argv...)...)
	var failed *host.RunError
	if errors.As(err, &failed) {
		text = failed.Stdout
	}
	if err != nil {
		why = said(err)
	}
	return strings.TrimSpace(text), why
}

// fetch gets a page from inside a pod: the name of the node that served it. What ends a wait is the end of kubectl: some
// builds of busybox crash over wget's own -T.
func (c *clusterCheck) fetch(ctx context.Context, p checkPod, address string) (node, why string) {
	node, why = c.exec(ctx, p, "wget", "-q", "-O", "-", fmt.Sprintf("http://%s/node", address))
	if why == "" && !slices.ContainsFunc(c.pods, func(o checkPod) bool { return o.node == node }) {
		why = fmt.Sprintf("it got %q", node)
	}
	return node, why
}

// said is what kubectl, or the program that it ran in a pod, complained of.
func said(err error) string {
	var failed *host.RunError
	switch {
	case errors.As(err, &failed) && failed.Code < 0 && strings.Contains(err.Error(), "signal: killed"):
		return "no answer in time"
	case !errors.As(err, &failed) || failed.Code < 0:
		return lastLine(err)
	}
	text := fmt.Sprintf("it ended with code %d", failed.Code)
	for line := range strings.Lines(failed.Stderr) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "command terminated with exit code") {
			text = line
		}
	}
	return text
}
