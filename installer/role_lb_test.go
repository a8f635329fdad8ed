package installer_test

import (
	"strings"
	"testing"

	"offgrid/installer"
	"offgrid/installer/hosttest"
	"offgrid/installer/sitetest"
)

// balancedTable is every run of the tutorial's whole table.
func balancedTable() []what {
	return append(theWholeTable(), what{"lb", "20.0.0.112"}, what{"lb", "20.0.0.113"})
}

func TestABalancerWaitsForAMasterAndSaysSo(t *testing.T) {
	s := sitetest.NewBalanced(t)
	o, err := install(t.Context(), s, what{"lb", "20.0.0.112"})
	if err != nil {
		t.Fatal(err)
	}
	want := "waiting for a master: behind this balancer none answers yet of master01 (20.0.0.100), master02 (20.0.0.101)"
	if o.Done || len(o.Waiting) != 1 || o.Waiting[0].Why != want {
		t.Errorf("got %+v, want it to wait: %s", o, want)
	}
}

func TestABalancersSettingsNameTheInterfaceThatHasItsAddress(t *testing.T) {
	s := sitetest.NewBalanced(t)
	w := what{"lb", "20.0.0.113"}
	h := s.Hosts[w.ip]
	if _, err := install(t.Context(), s, w); err != nil {
		t.Fatal(err)
	}
	const settings = "/etc/keepalived/keepalived.conf"
	want := "vrrp_instance api {\n  interface eth0\n  unicast_src_ip 20.0.0.113\n  virtual_ipaddress { 20.0.0.110/24 dev eth0 }\n}\n"
	if got := h.Get(settings); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	h.Script("ip -o -4 addr", hosttest.Says("7: ens192    inet 20.0.0.113/24 brd 20.0.0.255 scope global ens192\n"))
	ran := len(h.Ran)
	if _, err := s.Session(w.ip).Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := h.Get(settings); !strings.Contains(got, "interface ens192\n") || strings.Contains(got, "eth0") {
		t.Errorf("after the interface got another name: %q", got)
	}
	restarted := false
	for _, line := range h.Ran[ran:] {
		restarted = restarted || strings.HasPrefix(line, "systemctl") && strings.Contains(line, "restart") && strings.HasSuffix(line, "keepalived.service")
	}
	if !restarted {
		t.Errorf("keepalived was not restarted: %q", h.Ran[ran:])
	}
	h.Script("ip -o -4 addr", hosttest.Says("7: ens192    inet 20.0.0.9/24 brd 20.0.0.255 scope global ens192\n"))
	_, err := s.Session(w.ip).Resume(t.Context())
	if want := "no interface of this host has the address 20.0.0.113"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("without its address: %v, want %q in it", err, want)
	}
}

func TestAFaultInNginxsSettingsEndsNothingThatWorks(t *testing.T) {
	s := sitetest.NewBalanced(t)
	w := what{"lb", "20.0.0.112"}
	h := s.Hosts[w.ip]
	h.Script("nginx -t", hosttest.Fails(1, "nginx: [emerg] unknown directive \"stream\" in /etc/nginx/nginx.conf:1\n"))
	_, err := install(t.Context(), s, w)
	if want := `unknown directive "stream"`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q in it", err, want)
	}
	for _, line := range h.Ran {
		if strings.Contains(line, "start nginx.service") {
			t.Errorf("nginx was touched: %s", line)
		}
	}
}

func TestUninstallOfABalancerPutsItsPackagesSettingsBackAndRemovesThem(t *testing.T) {
	s := sitetest.NewBalanced(t)
	w := what{"lb", "20.0.0.112"}
	h := s.Hosts[w.ip]
	before := h.Tree(t)
	if _, err := install(t.Context(), s, w); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Session(w.ip).Uninstall(t.Context(), installer.UninstallRequest{}); err != nil {
		t.Fatal(err)
	}
	if d := hosttest.Diff(before, h.Tree(t, "/.autorelabel")); d != "" {
		t.Error(d)
	}
}

func TestBalancersMastersAndNodesMayBeInstalledInAnyOrder(t *testing.T) {
	s := sitetest.NewBalanced(t)
	all := balancedTable()
	n := len(all)
	orders := map[string][]what{
		"as planned":      all,
		"balancers first": append(append([]what{}, all[n-2:]...), all[:n-2]...),
		"second first":    {all[8], all[4], all[6], all[1], all[2], all[5], all[7], all[3], all[0]},
		"backwards":       nil,
	}
	for i := range all {
		orders["backwards"] = append(orders["backwards"], all[n-1-i])
	}
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			s.Reset(t)
			for _, w := range order {
				if _, err := install(t.Context(), s, w); err != nil {
					t.Fatalf("%s on %s: %v", w.role, w.ip, err)
				}
			}
			converge(t, s, order)
		})
	}
}

// The operator's kubeconfig on a master names the balancers' address: a master must not need them for its own work.
func TestAMasterIsDoneBeforeAnyBalancerIsThere(t *testing.T) {
	s := sitetest.NewBalanced(t)
	for _, w := range []what{{"etcd", "20.0.0.100"}, {"etcd", "20.0.0.104"}, {"master", "20.0.0.101"}} {
		o, err := install(t.Context(), s, w)
		if err != nil {
			t.Fatal(err)
		}
		if w.role == "master" && !o.Done {
			t.Errorf("%+v", o.Waiting)
		}
	}
	for _, name := range []string{"cluster-jobs", "flannel", "coredns"} {
		if s.Object(name+".yaml") != "applied" || s.Object("offgrid-"+name) == "" {
			t.Errorf("%s was not applied, or has no mark", name)
		}
	}
}

func TestANodeWaitsForTheBalancersAddressByName(t *testing.T) {
	s := sitetest.NewBalanced(t)
	for _, w := range theWholeTable() {
		if _, err := install(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.Session("20.0.0.104").Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := "waiting for the API server https://20.0.0.110:6443 (of the load balancers lb01 (20.0.0.112), lb02 (20.0.0.113))"
	if got := all[len(all)-1].Waiting; !strings.Contains(got, want) {
		t.Errorf("waits %q, want %q in it", got, want)
	}
}
