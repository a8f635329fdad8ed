package installer_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"offgrid/installer"
	"offgrid/installer/sitetest"
)

// whole is a site where everything is installed.
func whole(t *testing.T) *sitetest.Site {
	t.Helper()
	s := sitetest.NewBalanced(t)
	for _, w := range balancedTable() {
		if _, err := install(t.Context(), s, w); err != nil {
			t.Fatalf("%s on %s: %v", w.role, w.ip, err)
		}
	}
	converge(t, s, balancedTable())
	return s
}

// lines writes the lines of a check, one under the other, without their times.
func lines(all []installer.HealthLine) string {
	var b strings.Builder
	for _, l := range all {
		state := "ok     "
		if !l.OK {
			state = "FAILED "
		}
		b.WriteString(state + l.Name + ": " + l.Text + "\n")
	}
	return b.String()
}

func TestACheckTriesWhatUsersNeedAndLeavesNothing(t *testing.T) {
	s := whole(t)
	s.Hosts["20.0.0.101"].Ran = nil
	all, err := s.Session("20.0.0.101").Check(t.Context(), installer.CheckRequest{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	got := lines(all)
	want := `ok     all nodes: Ready: 20.0.0.103 v1.20.15, 20.0.0.104 v1.20.15
ok     all masters: master01 v1.20.15, master02 v1.20.15 answer
ok     table of etcd: etcd01 leads; etcd01 v3.4.26 term 2, etcd02 v3.4.26 term 2, etcd03 v3.4.26 term 2
ok     add-ons: cluster-jobs, flannel, coredns
ok     API server at 20.0.0.110: it answers 200
ok     one holder of 20.0.0.110: not known: this host has no arping, which asks for it
ok     test pods: one is ready on 20.0.0.103, 20.0.0.104
ok     logs: what a pod says is read, on 2 nodes
ok     exec: a command runs in a pod, on 2 nodes
ok     pod to pod: 2 ways between 2 nodes
ok     names in the cluster (DNS): full and short names are found, on 2 nodes
ok     service at its cluster address: it answers at 10.0.0.77, on 2 nodes
ok     service at every node's port (NodePort): port 31000, on 2 nodes
ok     pods' tokens at every API server: accepted by master01, master02
`
	if !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s\nwant at its end\n%s", got, want)
	}
	if left := s.Spaces(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for _, line := range s.Hosts["20.0.0.101"].Ran {
		if strings.Contains(line, "kubectl") && !strings.Contains(line, "--server=https://20.0.0.101:6443") {
			t.Errorf("another API server than its own was asked: %s", line)
		}
	}
}

func TestEachFaultOfTheClusterIsALineThatFails(t *testing.T) {
	s := whole(t)
	for _, c := range []struct{ fault, line string }{
		{"image", "FAILED test pods: none is ready on 20.0.0.103 pod check-20.0.0.103 lacks the image busybox:1.28.4 on its node; there: /var/lib/offgrid/install images, " +
			"20.0.0.104 pod check-20.0.0.104 lacks"},
		{"logs", "FAILED logs: on 20.0.0.103: Error from server: Get"},
		{"exec", "FAILED exec: on 20.0.0.103: error: unable to upgrade connection: Forbidden"},
		{"pods", "FAILED pod to pod: from 20.0.0.103 to 20.0.0.104 (10.244.0.104): "},
		{"names", "FAILED names in the cluster (DNS): on 20.0.0.103: nslookup kubernetes.default.svc.cluster.local does not find 10.0.0.1: "},
		{"service", "FAILED service at its cluster address: on 20.0.0.103: "},
		{"nodeport", "FAILED service at every node's port (NodePort): asking http://20.0.0.103:31000/node"},
		{"token 20.0.0.101", "FAILED pods' tokens at every API server: master02 answers 401: its keys are not those"},
	} {
		t.Run(c.fault, func(t *testing.T) {
			s.Fault(c.fault)
			defer s.Mend(c.fault)
			all, err := s.Session("20.0.0.100").Check(t.Context(), installer.CheckRequest{Timeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			if got := lines(all); !strings.Contains(got, c.line) {
				t.Errorf("no line %q in\n%s", c.line, got)
			}
			if left := s.Spaces(); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestWhatACheckMakesIsRemovedAfterAnInterruptAndAfterACrash(t *testing.T) {
	s := whole(t)
	session := s.Session("20.0.0.100")
	ctx, cancel := context.WithCancel(t.Context())
	probe := session.Probe
	session.Probe = func(c context.Context, p installer.Probe) (installer.Answer, error) {
		if strings.Contains(p.URL, "/services/check") {
			cancel() // the pods are there
		}
		return probe(c, p)
	}
	if _, err := session.Check(ctx, installer.CheckRequest{Timeout: time.Minute}); err == nil {
		t.Error("an interrupted check says nothing of it")
	}
	if left := s.Spaces(); len(left) > 0 {
		t.Errorf("left behind after an interrupt: %v", left)
	}
	if _, err := s.Session("20.0.0.100").Check(t.Context(), installer.CheckRequest{Timeout: time.Minute, Keep: true}); err != nil {
		t.Fatal(err)
	}
	if left := s.Spaces(); !slices.Equal(left, []string{"offgrid-check-master01"}) {
		t.Errorf("kept: %v", left)
	}
	all, err := s.Session("20.0.0.100").Check(t.Context(), installer.CheckRequest{Timeout: time.Minute})
	if got := lines(all); err != nil || strings.Contains(got, "FAILED") || len(s.Spaces()) > 0 {
		t.Errorf("after a check that left its pods: %v %v\n%s", err, s.Spaces(), got)
	}
	s.Fault("removal")
	all, err = s.Session("20.0.0.100").Check(t.Context(), installer.CheckRequest{Timeout: time.Minute})
	want := "FAILED removal of the test pods: "
	if got := lines(all); err != nil || !strings.Contains(got, want) || !strings.Contains(got, "kubectl delete namespace offgrid-check-master01") {
		t.Errorf("%v, want %q in\n%s", err, want, got)
	}
}

func TestTestPodsHaveNoPrivilege(t *testing.T) {
	s := whole(t)
	if _, err := s.Session("20.0.0.100").Check(t.Context(), installer.CheckRequest{Timeout: time.Minute, Keep: true}); err != nil {
		t.Fatal(err)
	}
	manifest := s.Object("offgrid-check-master01")
	var v any
	if err := json.Unmarshal([]byte(manifest), &v); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"runAsNonRoot":true`, `"allowPrivilegeEscalation":false`, `"drop":["ALL"]`, `"automountServiceAccountToken":false`,
		`"imagePullPolicy":"IfNotPresent"`, `"image":"docker.io/library/busybox:1.28.4"`, `"tolerations":[{"operator":"Exists"}]`} {
		if !strings.Contains(manifest, want) {
			t.Errorf("no %s in %s", want, manifest)
		}
	}
	for _, never := range []string{"privileged", "hostNetwork", "hostPath", "hostPID"} {
		if strings.Contains(manifest, never) {
			t.Errorf("%s in %s", never, manifest)
		}
	}
}

func TestACheckBelongsOnAMaster(t *testing.T) {
	s := whole(t)
	_, err := s.Session("20.0.0.103").Check(t.Context(), installer.CheckRequest{Timeout: time.Minute})
	var usage *installer.UsageError
	if !errors.As(err, &usage) || usage.Hint != "on master01 (20.0.0.100): /var/lib/offgrid/install check" {
		t.Errorf("%v", err)
	}
}

func TestAMastersEndTriesTheClusterOnlyOnceAllNodesAreReady(t *testing.T) {
	s := sitetest.NewBalanced(t)
	order := balancedTable()
	var last installer.Outcome
	for _, w := range order {
		o, err := install(t.Context(), s, w)
		if err != nil {
			t.Fatal(err)
		}
		if w.role == "master" {
			last = o
		}
	}
	want := "ok     the whole cluster: not tried yet: not Ready: node01 (20.0.0.103), node02 (20.0.0.104); when all nodes are Ready, run: /var/lib/offgrid/install check\n"
	if got := lines(last.Health); !strings.HasSuffix(got, want) || !last.Healthy() {
		t.Errorf("before:\n%s", got)
	}
	converge(t, s, order)
	after, err := install(t.Context(), s, what{"master", "20.0.0.101"})
	if err != nil {
		t.Fatal(err)
	}
	if got := lines(after.Health); !strings.Contains(got, "ok     pod to pod: 2 ways between 2 nodes\n") || !after.Healthy() {
		t.Errorf("after:\n%s", got)
	}
	s.Hosts["20.0.0.101"].Put(t, "/run/hosttest/active/kube-apiserver.service", "")
	all, err := s.Session("20.0.0.100").Check(t.Context(), installer.CheckRequest{Timeout: time.Minute})
	if got := lines(all); err != nil || !strings.Contains(got, "FAILED all masters: master01 v1.20.15 answer; not there: master02: ") {
		t.Errorf("a master that is planned and gone is no fault of a check: %v\n%s", err, got)
	}
}

func TestABalancersHealthAndANodesSayWhatTheySee(t *testing.T) {
	s := whole(t)
	for w, wants := range map[what][]string{
		{"lb", "20.0.0.113"}: {"ok     API server behind this balancer: it answers 401\n", "ok     masters: master01, master02 answer\n",
			"ok     API server at 20.0.0.110: it answers 401\n", "ok     one holder of 20.0.0.110: not known"},
		{"lb", "20.0.0.112"}: {"ok     one holder of 20.0.0.110: this host\n"},
		{"node", "20.0.0.103"}: {"ok     service kubernetes at 10.0.0.1: it answers 401\n",
			"ok     names in the cluster (DNS) at 10.0.0.2: kubernetes.default.svc.cluster.local is 10.0.0.1\n", "ok     node 20.0.0.103: registered with v1.20.15, Ready\n"},
	} {
		o, err := install(t.Context(), s, w)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if got := lines(o.Health); !strings.Contains(got, want) {
				t.Errorf("%s on %s does not say %q:\n%s", w.role, w.ip, want, got)
			}
		}
	}
}
