//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// carriedImages are those of the node's bundle.
var carriedImages = []string{"k8s.gcr.io/pause:3.2", "k8s.gcr.io/coredns:1.7.0", "quay.io/coreos/flannel:v0.15.1", "docker.io/library/busybox:1.28.4"}

const busybox = "docker.io/library/busybox:1.28.4"

// TestImagesThatDockerLostOrHasWronglyComeBack is what happens to container images on a node in its years.
func TestImagesThatDockerLostOrHasWronglyComeBack(t *testing.T) {
	if !*full {
		t.Skip("only with -full: dockerd at work")
	}
	h := lab(t).hosts(t, "node01")[0]
	h.bring("node")
	h.install("node")                                                                                         // it waits for the masters, and docker has its images
	h.must("systemctl", "stop", "offgrid-converge.timer", "offgrid-images.timer", "offgrid-converge.service") // else they are at work at times of their own
	in := func(t *testing.T, do func(*host)) {
		c := *h
		c.t = t
		do(&c)
	}
	want := h.images()
	t.Run("a name that somebody gave to something else", func(t *testing.T) { in(t, func(h *host) { h.nameTaken(want) }) })
	t.Run("a layer on the host's disk that has a flipped byte", func(t *testing.T) { in(t, func(h *host) { h.layerDamaged(want) }) })
	t.Run("docker does not run", func(t *testing.T) { in(t, func(h *host) { h.dockerStopped() }) })
	t.Run("the installer is killed while docker loads", func(t *testing.T) { in(t, func(h *host) { h.killedWhileLoading(want) }) })
	t.Run("the timer's run and an operator's meet", func(t *testing.T) { in(t, func(h *host) { h.twoAtOnce(want) }) })
	t.Run("uninstall leaves no failed unit", func(t *testing.T) {
		in(t, func(h *host) {
			h.must("./install", "uninstall", "--yes", "--purge-data")
			if out := h.must("systemctl", "list-units", "--state=failed", "--no-legend", "--plain"); strings.TrimSpace(out) != "" {
				t.Errorf("units that failed after the uninstall:\n%s", out)
			}
		})
	})
}

// images are the IDs that docker has under the names of the bundle.
func (h *host) images() string {
	h.t.Helper()
	return h.must(append([]string{"docker", "image", "inspect", "--format", "{{.Id}}"}, carriedImages...)...)
}

// asCarried insists that docker has again what the bundle brought.
func (h *host) asCarried(want string) {
	h.t.Helper()
	if got := h.images(); got != want {
		h.t.Errorf("docker has\n%swant\n%s", got, want)
	}
}

func (h *host) nameTaken(want string) {
	h.must("docker", "tag", "k8s.gcr.io/pause:3.2", busybox)
	out := h.must(offgrid, "images")
	if words := "loaded " + busybox + ": docker had another image of that name, sha256:"; !strings.Contains(flat(out), words) {
		h.t.Errorf("it does not say %q:\n%s", words, out)
	}
	h.asCarried(want)
	if out := h.must(offgrid, "images"); strings.Contains(out, "loaded") {
		h.t.Errorf("a second run loads again:\n%s", out)
	}
}

// layerOf follows an image's name through the carried layout to its last layer.
func (h *host) layerOf(ref string) string {
	h.t.Helper()
	type descriptor struct {
		Digest      string            `json:"digest"`
		Annotations map[string]string `json:"annotations"`
	}
	type document struct {
		Manifests []descriptor `json:"manifests"`
		Layers    []descriptor `json:"layers"`
	}
	read := func(name string) (d document) {
		data, err := os.ReadFile(h.path("var/lib/offgrid/roles/node/" + name))
		if err == nil {
			err = json.Unmarshal(data, &d)
		}
		if err != nil {
			h.t.Fatal(err)
		}
		return d
	}
	blob := func(d descriptor) string { return "blobs/sha256/" + strings.TrimPrefix(d.Digest, "sha256:") }
	for _, m := range read("index.json").Manifests {
		if m.Annotations["org.opencontainers.image.ref.name"] != ref {
			continue
		}
		d := read(blob(m))
		for len(d.Manifests) > 0 {
			d = read(blob(d.Manifests[0]))
		}
		if len(d.Layers) > 0 {
			return blob(d.Layers[len(d.Layers)-1])
		}
	}
	h.t.Fatalf("the carried bundle has no layer of %s", ref)
	return ""
}

func (h *host) layerDamaged(want string) {
	layer := h.layerOf(busybox)
	flip(h.t, h.path("var/lib/offgrid/roles/node/"+layer))
	h.must("docker", "rmi", busybox)
	r := h.try(offgrid, "images")
	h.t.Logf("exit code %d:\n%s", r.code, r.out)
	if r.code != 4 || !strings.Contains(flat(r.out), busybox) || !strings.Contains(flat(r.out), filepath.Base(layer)[:12]) {
		h.t.Errorf("exit code %d, want 4, the image and its layer %s:\n%s", r.code, filepath.Base(layer)[:12], r.out)
	}
	flip(h.t, h.path("var/lib/offgrid/roles/node/"+layer))
	h.must(offgrid, "images")
	h.asCarried(want)
}

func (h *host) dockerStopped() {
	h.must("systemctl", "stop", "docker.socket", "docker.service")
	out := h.must(offgrid, "images")
	if words := "Nothing was done: docker does not answer on this host: "; !strings.Contains(flat(out), words) {
		h.t.Errorf("it does not say %q:\n%s", words, out)
	}
	h.t.Log(out)
	h.must("systemctl", "start", "offgrid-images.service")
	h.must("systemctl", "start", "docker.service")
	eventually(h.t, time.Minute, func() string {
		if r := h.try("docker", "info"); r.code != 0 {
			return r.out
		}
		return ""
	})
}

// loses makes docker forget all images.
func (h *host) loses() {
	h.t.Helper()
	h.must(append([]string{"docker", "rmi", "-f"}, carriedImages...)...)
}

// loading reports whether a program that pid started is `docker load`.
func loading(pid int) bool {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return false
	}
	// the program's threads start their children; each lists its own
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range threads {
		more, _ := os.ReadFile(name)
		children = append(append(children, ' '), more...)
	}
	for _, child := range strings.Fields(string(children)) {
		if line, err := os.ReadFile("/proc/" + child + "/cmdline"); err == nil && strings.HasSuffix(string(line), "docker\x00load\x00") {
			return true
		}
	}
	return false
}

func (h *host) killedWhileLoading(want string) {
	for range 3 {
		h.loses()
		r := h.start(offgrid, "images")
		if !r.until(func() bool { return r.pid != 0 && loading(r.pid) }) {
			h.t.Fatalf("images ended with %d before docker loaded:\n%s", r.last.code, r.last.out)
		}
		killed(r)
		h.must(offgrid, "images")
		h.asCarried(want)
	}
	eventually(h.t, 20*time.Second, func() string {
		if left, err := filepath.Glob(h.path("var/lib/docker/tmp/*")); err != nil || len(left) > 0 {
			return fmt.Sprintf("docker's temporary directory holds %q", left)
		}
		return ""
	})
}

func (h *host) twoAtOnce(want string) {
	const busy = "Nothing was done: another installer is at work (process "
	h.loses()
	r := h.start(offgrid, "images")
	if !r.until(func() bool { return r.pid != 0 && loading(r.pid) }) || !r.signal(syscall.SIGSTOP) {
		h.t.Fatalf("images ended with %d before it could be stopped:\n%s", r.last.code, r.last.out)
	}
	h.must("systemctl", "start", "offgrid-images.service") // it leaves it to the operator's
	r.signal(syscall.SIGCONT)
	if end := r.wait(); end.code != 0 {
		h.t.Errorf("the operator's run ended with %d:\n%s", end.code, end.out)
	}
	h.asCarried(want)

	h.loses()
	h.must("systemctl", "start", "--no-block", "offgrid-images.service")
	pid := 0
	eventually(h.t, 20*time.Second, func() string {
		pid, _ = strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(h.must("systemctl", "show", "-p", "MainPID", "offgrid-images.service")), "MainPID="))
		if pid == 0 {
			return "the service has no process"
		}
		return ""
	})
	h.must("kill", "-STOP", strconv.Itoa(pid))
	if out := h.must(offgrid, "images"); !strings.Contains(flat(out), busy) {
		h.t.Errorf("it does not say %q:\n%s", busy, out)
	}
	h.must("kill", "-CONT", strconv.Itoa(pid))
	eventually(h.t, time.Minute, func() string {
		if out := h.must("systemctl", "show", "-p", "ActiveState", "offgrid-images.service"); strings.TrimSpace(out) != "ActiveState=inactive" {
			return out
		}
		return ""
	})
	h.asCarried(want)
}
