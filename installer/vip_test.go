package installer

import (
	"strings"
	"testing"

	"offgrid/bundle"
	"offgrid/installer/hosttest"
)

func TestTheHolderOfTheBalancersAddressIsNamed(t *testing.T) {
	const (
		lb01  = "52:54:00:aa:00:12"
		lb02  = "52:54:00:aa:00:13"
		other = "52:54:00:aa:00:99"
	)
	answers := func(ip string, hardware ...string) hosttest.Script {
		if len(hardware) == 0 {
			return hosttest.Fails(1, "")
		}
		var text strings.Builder
		for _, h := range hardware {
			text.WriteString("Unicast reply from " + ip + " [" + strings.ToUpper(h) + "]  0.640ms\n")
		}
		return hosttest.Says(text.String())
	}
	for name, c := range map[string]struct {
		own     string // address of the host that asks
		here    bool   // it has the shared address itself
		network string // length of its prefix
		vip     []string
		text    string
		ok      bool
	}{
		"a master sees lb02":                  {own: "20.0.0.100", network: "/24", vip: []string{lb02}, text: "lb02 (20.0.0.113)", ok: true},
		"a master sees two":                   {own: "20.0.0.100", network: "/24", vip: []string{lb01, lb02}, text: "lb01 (20.0.0.112) and lb02 (20.0.0.113) both hold it"},
		"a master sees a stranger":            {own: "20.0.0.100", network: "/24", vip: []string{other}, text: "a host with the hardware address " + other},
		"a master sees nobody":                {own: "20.0.0.100", network: "/24", text: "nobody answers for it in the network of eth0"},
		"a master in another network":         {own: "20.0.0.100", network: "/32", text: "not known: this host is in another network", ok: true},
		"the balancer that holds it":          {own: "20.0.0.112", here: true, network: "/24", text: "this host", ok: true},
		"a balancer that is not the only one": {own: "20.0.0.112", here: true, network: "/24", vip: []string{lb02}, text: "this host and lb02 (20.0.0.113) both hold 20.0.0.110"},
	} {
		t.Run(name, func(t *testing.T) {
			h := hosttest.New(t)
			text := "2: eth0    inet " + c.own + c.network + " scope global eth0\n"
			option := "-b"
			if c.here {
				text, option = text+"2: eth0    inet 20.0.0.110/24 scope global secondary eth0\n", "-D"
			}
			h.Script("ip -o -4 addr", hosttest.Says(text))
			h.Script("arping "+option+" -c 2 -w 2 -I eth0 20.0.0.110", answers("20.0.0.110", c.vip...))
			h.Script("arping -b -c 2 -w 2 -I eth0 20.0.0.112", answers("20.0.0.112", lb01))
			h.Script("arping -b -c 2 -w 2 -I eth0 20.0.0.113", answers("20.0.0.113", lb02))
			got, ok := holderOf(t.Context(), h, pfIndex(bundle.RoleMaster), c.own)
			if ok != c.ok || !strings.HasPrefix(got, c.text) {
				t.Errorf("%v %q, want %v %q", ok, got, c.ok, c.text)
			}
		})
	}
}

func TestAnApplyThatMetAnotherMastersIsRepeated(t *testing.T) {
	h := hosttest.New(t)
	h.Put(t, "/opt/rbac.yaml", "objects")
	tries := 0
	h.Script("/opt/kubectl", func(_ string, argv []string) (string, error) {
		if tries++; tries < 3 {
			return "", hosttest.Exit(argv, 1, "", `Error from server (AlreadyExists): clusterroles.rbac.authorization.k8s.io "flannel" already exists`)
		}
		return "", nil
	})
	s := &ApplyStep{Name: "flannel", Manifest: "/opt/rbac.yaml", Kubectl: "/opt/kubectl", Kubeconfig: "/opt/config"}
	if err := s.apply(t.Context(), h, nil, s.Manifest); err != nil || tries != 3 {
		t.Errorf("%d tries: %v", tries, err)
	}
	h.Script("/opt/kubectl", hosttest.Fails(1, `error: unable to recognize "/opt/rbac.yaml": no matches for kind "X"`))
	if err := s.apply(t.Context(), h, nil, s.Manifest); err == nil {
		t.Error("a manifest that is wrong was applied")
	}
}
