package installer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"offgrid/bundle"
	"offgrid/installer/host"
)

const kindApply = "apply"

// ApplyStep makes the cluster hold the objects of a manifest, by a server-side apply. A ConfigMap beside them records the
// manifest's digest, so that whichever master comes first does the work and the others see that it is done. Uninstalling a
// host takes nothing back from the cluster.
type ApplyStep struct {
	Name       string // "bootstrap-rbac": lower-case letters, digits and "-"
	Manifest   string // path on the host
	Kubectl    string // path on the host
	Kubeconfig string // path on the host
	Server     string // the API server of this very master; "": the one that the kubeconfig names, which may be a balancer's
	Serial     int64  // of the bundle: what a newer one has applied is left alone
}

// markLabel is on the ConfigMaps that record what was applied.
const markLabel = "offgrid/addon"

// markNamespace is where the marks are.
const markNamespace = "kube-system"

// ID implements Step.
func (s *ApplyStep) ID() string { return kindApply + ":" + s.Name }

// Line implements Step.
func (s *ApplyStep) Line() Line { return Line{Verb: "apply", Object: s.Manifest} }

// mark is the name of the ConfigMap.
func (s *ApplyStep) mark() string { return "offgrid-" + s.Name }

// kubectl is a command line; no answer within 20 seconds is an error. What kubectl remembers of the API server it would
// leave in /root/.kube, where nobody takes it away.
func (s *ApplyStep) kubectl(args ...string) []string {
	argv := []string{s.Kubectl, "--kubeconfig", s.Kubeconfig, "--cache-dir=" + path.Join(StateDir, "kubectl"), "--request-timeout=20s"}
	if s.Server != "" {
		argv = append(argv, "--server="+s.Server)
	}
	return append(argv, args...)
}

// Check implements Step. While the API server does not answer the step is Pending.
func (s *ApplyStep) Check(ctx context.Context, h host.Host) (Status, error) {
	for _, name := range []string{s.Kubectl, s.Kubeconfig, s.Manifest} {
		there, err := host.Exists(h, name)
		if err != nil || !there {
			return Status{State: Needed, Why: name + " is not in place yet"}, err
		}
	}
	want, _, err := host.DigestFile(h, s.Manifest)
	if err != nil {
		return Status{}, err
	}
	out, err := h.Run(ctx, nil, s.kubectl("get", "configmap", s.mark(), "-n", markNamespace, "--ignore-not-found", "-o", "jsonpath={.data.digest} {.data.serial}")...)
	if err != nil {
		if noAnswer(err) {
			return Status{State: Pending, Why: "waiting for the API server: " + lastLine(err)}, nil
		}
		return Status{}, err
	}
	return s.judge(string(out), want), nil
}

// judge compares what the mark says with what is wanted.
func (s *ApplyStep) judge(mark string, want bundle.Digest) Status {
	words := append(strings.Fields(mark), "", "")
	serial, err := strconv.ParseInt(words[1], 10, 64)
	switch {
	case words[0] == want.String():
		return Status{State: Satisfied}
	case words[0] == "":
		return Status{State: Needed, Why: "the cluster has not got it yet"}
	case err == nil && serial > s.Serial:
		return Status{State: Satisfied, Why: "a master with a newer bundle has applied another one"}
	}
	return Status{State: Needed, Why: "it has changed"}
}

// applyTries is how often an apply is repeated that met another master's.
const applyTries = 3

// raced reports whether kubectl failed because another master did the same at the same time. What both want is the same.
func raced(err error) bool {
	var failed *host.RunError
	return errors.As(err, &failed) && (strings.Contains(failed.Stderr, "AlreadyExists") || strings.Contains(failed.Stderr, "already exists") ||
		strings.Contains(failed.Stderr, "the object has been modified"))
}

// noAnswer reports whether kubectl failed because the API server does not answer, or not yet with all it has.
func noAnswer(err error) bool {
	var failed *host.RunError
	if !errors.As(err, &failed) || failed.Code < 0 {
		return false
	}
	for _, said := range []string{"refused", "Unable to connect", "timeout", "timed out", "no route to host", "unreachable",
		"ServiceUnavailable", "currently unable", "etcdserver", "EOF", "TLS handshake", "Internal error occurred"} {
		if strings.Contains(failed.Stderr, said) {
			return true
		}
	}
	return false
}

// lastLine is what a command said at the end.
func lastLine(err error) string {
	text := strings.TrimSpace(err.Error())
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// Do implements Step. The mark comes last: without it the objects are applied once more, which changes nothing.
func (s *ApplyStep) Do(ctx context.Context, h host.Host) error {
	st, err := s.Check(ctx, h)
	if err != nil || st.State != Needed {
		return err
	}
	d, _, err := host.DigestFile(h, s.Manifest)
	if err != nil {
		return err
	}
	if err := s.apply(ctx, h, nil, s.Manifest); err != nil {
		return err
	}
	mark, err := json.Marshal(map[string]any{
		"apiVersion": "v1",
		"kind":       "ConfigMap",
		"metadata":   map[string]any{"name": s.mark(), "namespace": markNamespace, "labels": map[string]string{markLabel: s.Name}},
		"data":       map[string]string{"digest": bundle.Digest.String(d), "serial": strconv.FormatInt(s.Serial, 10)},
	})
	if err != nil {
		return err
	}
	return s.apply(ctx, h, mark, "-")
}

// apply runs kubectl's server-side apply, which is beta and on in 1.20. Our objects are ours: what somebody else set in
// them is overruled.
func (s *ApplyStep) apply(ctx context.Context, h host.Host, stdin []byte, file string) error {
	argv := s.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=offgrid", "-f", file)
	_, err := h.Run(ctx, bytes.NewReader(stdin), argv...)
	for range applyTries {
		if !raced(err) {
			break
		}
		_, err = h.Run(ctx, bytes.NewReader(stdin), argv...)
	}
	if err != nil && noAnswer(err) {
		return nil // Check says that it is pending
	}
	if err != nil {
		return fmt.Errorf("applying %s: %w", s.Manifest, err)
	}
	return nil
}
