package installer

import (
	"context"
	"strings"
	"testing"

	"offgrid/bundle"
	"offgrid/installer/hosttest"
)

func TestANodeThatIsNotReadySaysWhatItWaitsFor(t *testing.T) {
	const (
		noNetwork = `{"status":{"conditions":[{"type":"Ready","status":"False","message":"network plugin is not ready: cni config uninitialized"}]}}`
		ready     = `{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`
		sick      = `{"status":{"conditions":[{"type":"Ready","status":"False","message":"PLEG is not healthy"}]}}`
	)
	pod := func(reason, message string) string {
		return `{"items":[{"metadata":{"name":"kube-flannel-x"},"status":{"initContainerStatuses":[{"image":"quay.io/coreos/flannel:v0.15.1",` +
			`"state":{"waiting":{"reason":"` + reason + `","message":"` + message + `"}}}]}}]}`
	}
	for _, c := range []struct {
		name, node, pods string
		state            State
		why              string
	}{
		{"it is Ready", ready, "", Satisfied, "Ready"},
		{"no master has applied the network", noNetwork, `{"items":[]}`, Pending, "waiting for the pod network on this node: no master has applied it yet"},
		{"an image is missing", noNetwork, pod("ErrImagePull", "no route to host"), Pending,
			"pod kube-flannel-x lacks the image quay.io/coreos/flannel:v0.15.1 on its node; there: /var/lib/offgrid/install images"},
		{"it crashes", noNetwork, pod("CrashLoopBackOff", "back-off 10s"), Pending, "pod kube-flannel-x: CrashLoopBackOff back-off 10s"},
		{"it starts", noNetwork, pod("PodInitializing", ""), Pending, "its pods are starting"},
		{"it is not Ready for another reason", sick, "", Pending, "kubelet says: PLEG is not healthy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := hosttest.New(t)
			h.Put(t, kubeletPair, "a pair")
			index := pfIndex(bundle.RoleNode)
			index.Cluster.Policy.CNI = "flannel"
			p := &planner{index: index, in: PlanInput{Bundle: &bundle.Bundle{}, Host: pfHosts()[2], Probe: func(_ context.Context, q Probe) (Answer, error) {
				if strings.HasSuffix(q.URL, "/pods?fieldSelector=spec.nodeName=20.0.0.103") {
					return Answer{Status: 200, Body: []byte(c.pods)}, nil
				}
				return Answer{Status: 200, Body: []byte(c.node)}, nil
			}}}
			got, err := p.nodeReady()(t.Context(), h)
			if err != nil || got.State != c.state || !strings.Contains(got.Why, c.why) {
				t.Errorf("%+v %v, want %s: %q", got, err, stateName(c.state), c.why)
			}
		})
	}
}

func TestWhatANewerBundleHasAppliedIsLeftAlone(t *testing.T) {
	s := &ApplyStep{Name: "coredns", Serial: 5}
	want := bundle.DigestOf([]byte("ours"))
	other := bundle.DigestOf([]byte("theirs")).String()
	for mark, state := range map[string]State{
		"": Needed, " ": Needed, want.String() + " 9": Satisfied, want.String(): Satisfied,
		other + " 4": Needed, other + " 5": Needed, other + " 6": Satisfied, other: Needed, other + " x": Needed,
	} {
		if got := s.judge(mark, want); got.State != state {
			t.Errorf("%q: %s (%s), want %s", mark, stateName(got.State), got.Why, stateName(state))
		}
	}
}
