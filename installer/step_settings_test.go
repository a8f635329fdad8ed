package installer_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"offgrid/bundle/progress"
	"offgrid/installer"
	"offgrid/installer/sitetest"
)

// proxied is what the kernel of a host with two processors says before and after kube-proxy has run, and after an uninstall.
func proxied() map[string][3]string {
	return map[string][3]string{
		"/proc/sys/net/ipv4/conf/all/route_localnet":                   {"0", "1", "0"},
		"/proc/sys/net/netfilter/nf_conntrack_max":                     {"65536", "131072", "65536"},
		"/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established": {"432000", "86400", "432000"},
		"/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait":  {"60", "7200", "7200"}, // 7200: the operator, since
		"/sys/module/nf_conntrack/parameters/hashsize":                 {"16384", "32768", "16384"},
		"/proc/sys/net/ipv4/vs/conntrack":                              {"", "1", "1"},  // came with its module later
		"/proc/sys/net/ipv4/vs/expire_nodest_conn":                     {"0", "", ""},   // went with its module
		"/proc/sys/net/ipv4/vs/conn_reuse_mode":                        {"0", "0", "0"}, // was so before
	}
}

func TestWhatKubeProxyDidToTheKernelIsTakenBack(t *testing.T) {
	s := sitetest.New(t)
	w := what{"node", "20.0.0.104"}
	h := s.Hosts[w.ip]
	set := func(moment int) {
		for name, values := range proxied() {
			must(t, h.Remove(name))
			if values[moment] != "" {
				h.Put(t, name, values[moment]+"\n")
			}
		}
	}
	set(0)
	if _, err := install(t.Context(), s, w); err != nil {
		t.Fatal(err)
	}
	set(1)
	session, said := s.Session(w.ip), ""
	session.Report = func(e progress.Event) {
		if e.Kind == progress.Note {
			said += e.Text + "\n"
		}
	}
	if _, err := session.Uninstall(t.Context(), installer.UninstallRequest{PurgeData: true}); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(proxied())) {
		if got := strings.TrimSpace(h.Get(name)); got != proxied()[name][2] {
			t.Errorf("%s is %q, want %q", name, got, proxied()[name][2])
		}
	}
	if want := `nf_conntrack_tcp_timeout_close_wait was set to "7200" since and stays so`; !strings.Contains(said, want) {
		t.Errorf("said %q", said)
	}
}
