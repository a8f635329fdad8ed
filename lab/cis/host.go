// Package cis looks at a running host as the CIS Kubernetes Benchmark 1.20 asks: at its processes and at the files they use, not
// at what a build rendered.
package cis

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
)

// A Host is one that runs, with what was read of it.
type Host struct {
	// Run runs a command on the host as root and returns what it prints.
	Run func(argv ...string) (string, error)
	// Kubectl asks an API server of the site, with an administrator's rights.
	Kubectl func(args ...string) (string, error)
	// NodeName is the host's Node object; "" when it is no node.
	NodeName string

	processes map[string]*process
	config    any // the kubelet's, as it runs
}

// A process is what a service was started with.
type process struct {
	flags map[string]string // without the dashes; a flag without a value is "true"
	env   map[string]string
}

// process reads the flags and the environment of a service's main process.
func (h *Host) process(name string) (*process, error) {
	if p, ok := h.processes[name]; ok {
		return p, nil
	}
	out, err := h.Run("systemctl", "show", "-p", "MainPID", name+".service")
	if err != nil {
		return nil, err
	}
	_, pid, _ := strings.Cut(strings.TrimSpace(out), "=")
	if pid == "" || pid == "0" {
		return nil, fmt.Errorf("%s does not run", name)
	}
	p := &process{flags: map[string]string{}, env: map[string]string{}}
	command, err := h.lines("/proc/" + pid + "/cmdline")
	if err != nil {
		return nil, err
	}
	if path.Base(command[0]) != name {
		return nil, fmt.Errorf("process %s is %s and not %s", pid, command[0], name)
	}
	for _, arg := range command[1:] {
		flag, value, ok := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !ok {
			value = "true"
		}
		p.flags[flag] = value
	}
	environ, err := h.lines("/proc/" + pid + "/environ")
	if err != nil {
		return nil, err
	}
	for _, line := range environ {
		key, value, _ := strings.Cut(line, "=")
		p.env[key] = value
	}
	if h.processes == nil {
		h.processes = map[string]*process{}
	}
	h.processes[name] = p
	return p, nil
}

// lines reads a file of strings that end with zeros.
func (h *Host) lines(name string) ([]string, error) {
	out, err := h.Run("sh", "-c", `tr '\0' '\n' < "$1"`, "sh", name)
	if err != nil {
		return nil, err
	}
	all := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if all[0] == "" {
		return nil, fmt.Errorf("%s is empty", name)
	}
	return all, nil
}

// setting is the value of a flag, or of the variable that etcd takes for it.
func (p *process) setting(flag string) (string, bool) {
	if v, ok := p.flags[flag]; ok {
		return v, true
	}
	v, ok := p.env["ETCD_"+strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))]
	return v, ok
}

// kubelet returns a value of the kubelet's configuration as it says itself that it runs with it; nil when it is not there.
func (h *Host) kubelet(keys ...string) (any, error) {
	if h.config == nil {
		out, err := h.Kubectl("get", "--raw", "/api/v1/nodes/"+h.NodeName+"/proxy/configz")
		if err != nil {
			return nil, err
		}
		d := json.NewDecoder(bytes.NewReader([]byte(out)))
		d.UseNumber()
		var answer struct{ Kubeletconfig any }
		if err := d.Decode(&answer); err != nil {
			return nil, fmt.Errorf("the configuration of kubelet: %w", err)
		}
		if h.config = answer.Kubeletconfig; h.config == nil {
			return nil, fmt.Errorf("the configuration of kubelet is not in its answer: %.200s", out)
		}
	}
	at := h.config
	for _, key := range keys {
		m, ok := at.(map[string]any)
		if !ok {
			return nil, nil
		}
		at = m[key]
	}
	return at, nil
}

// A found file is one with its mode and owner.
type found struct {
	name  string
	mode  uint64
	owner string // "root:root"
}

// stat looks at files; patterns of a shell are fine, but something has to be there.
func (h *Host) stat(patterns ...string) ([]found, error) {
	out, err := h.Run(append([]string{"sh", "-c", `for f in $*; do [ -f "$f" ] || [ -d "$f" ] || { echo "$f is not there" >&2; exit 1; }; stat -L -c '%a %U:%G %n' "$f"; done`, "sh"}, patterns...)...)
	if err != nil {
		return nil, err
	}
	var all []found
	for line := range strings.Lines(out) {
		var f found
		if _, err := fmt.Sscanf(line, "%o %s %s", &f.mode, &f.owner, &f.name); err != nil {
			return nil, fmt.Errorf("stat says %q: %w", line, err)
		}
		all = append(all, f)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no file is called %s", strings.Join(patterns, " "))
	}
	return all, nil
}

// started are the files from which systemd starts a service: its unit, and those with its variables that are there.
func (h *Host) started(name string) ([]string, error) {
	out, err := h.Run("systemctl", "show", "-p", "FragmentPath", name+".service")
	if err != nil {
		return nil, err
	}
	_, unit, _ := strings.Cut(strings.TrimSpace(out), "=")
	if unit == "" {
		return nil, fmt.Errorf("%s has no unit", name)
	}
	text, err := h.Run("cat", unit)
	if err != nil {
		return nil, err
	}
	files := []string{unit}
	for line := range strings.Lines(text) {
		if file, ok := strings.CutPrefix(strings.TrimSpace(line), "EnvironmentFile="); ok && !strings.HasPrefix(file, "-") {
			files = append(files, file)
		}
	}
	return files, nil
}

// flagged are the files that flags name; each has to be given.
func (h *Host) flagged(process string, flags ...string) ([]string, error) {
	p, err := h.process(process)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, flag := range flags {
		v, ok := p.setting(flag)
		if !ok {
			return nil, fmt.Errorf("%s runs without --%s", process, flag)
		}
		files = append(files, v)
	}
	return slices.Compact(files), nil
}
