//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// website is a deployment as sites have them: two pods, a budget that lets one of them go at a time, a port on every node.
const website = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: website}
spec:
  replicas: 2
  selector: {matchLabels: {app: website}}
  template:
    metadata: {labels: {app: website}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: web
        image: docker.io/library/busybox:1.28.4
        command: [sh, -c, "mkdir /www; echo here >/www/index.html; exec httpd -f -h /www"]
        readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 2}
---
apiVersion: policy/v1beta1
kind: PodDisruptionBudget
metadata: {name: website}
spec:
  minAvailable: 1
  selector: {matchLabels: {app: website}}
---
apiVersion: v1
kind: Service
metadata: {name: website}
spec:
  type: NodePort
  selector: {app: website}
  ports: [{port: 80, nodePort: 30080}]
`

// deployed says what the deployment misses.
func (h *host) deployed() string {
	if out := h.kubectl("get", "deployment", "website", "-o", "jsonpath={.status.availableReplicas}").out; out != "2" {
		return fmt.Sprintf("%q pods of the website are available, want 2", out)
	}
	return ""
}

// deploys brings the website up.
func (h *host) deploys() {
	h.t.Helper()
	cmd := h.command("kubectl", "apply", "-f", "-")
	cmd.Stdin = strings.NewReader(website)
	if r := finish(h.t, cmd, time.Minute); r.code != 0 {
		h.t.Fatalf("kubectl apply: %s", r.out)
	}
	eventually(h.t, 2*time.Minute, h.deployed)
}

// A watch asks an address again and again, from a host.
type watch struct {
	h    *host
	name string
}

// watches asks url from h until the test ends; an answer counts when it has the word. The answers are in a file on the host.
func (h *host) watches(name, word, url string) *watch {
	h.t.Helper()
	const script = `umask 077
kubectl config view --raw -o jsonpath='{.clusters[0].cluster.certificate-authority-data}' | base64 -d >watch-ca.pem
kubectl config view --raw -o jsonpath='{.users[0].user.client-certificate-data}' | base64 -d >watch.pem
kubectl config view --raw -o jsonpath='{.users[0].user.client-key-data}' | base64 -d >watch.key
while [ ! -e watch-end ]; do
	if curl -sf --max-time 2 --cacert watch-ca.pem --cert watch.pem --key watch.key "$2" 2>/dev/null | grep -q "$3"; then a=yes; else a=no; fi
	echo "$(date +%s.%N) $a" >>"watch-$1"
	sleep 0.4
done`
	cmd := h.command("sh", "-c", script, "sh", name, url, word)
	out := begin(h.t, cmd)
	h.t.Cleanup(func() {
		if err := os.WriteFile(h.path("root/watch-end"), nil, 0o600); err != nil {
			h.t.Error(err)
		}
		await(h.t, cmd, out, time.Minute)
	})
	return &watch{h, name}
}

// gap is the longest time without an answer since a moment, and how many questions were asked.
func (w *watch) gap(t *testing.T, since time.Time) (longest time.Duration, asked int) {
	t.Helper()
	data, err := os.ReadFile(w.h.path("root/watch-" + w.name))
	if err != nil {
		t.Fatal(err)
	}
	last := since
	for line := range strings.Lines(string(data)) {
		at, answer, _ := strings.Cut(strings.TrimSpace(line), " ")
		seconds, err := strconv.ParseFloat(at, 64)
		when := time.UnixMicro(int64(seconds * 1e6))
		if err != nil || when.Before(since) {
			continue
		}
		asked++
		longest = max(longest, when.Sub(last))
		if answer == "yes" {
			last = when
		}
	}
	return longest, asked
}
