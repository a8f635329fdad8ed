package installer_test

import (
	"strings"
	"testing"
	"time"

	"offgrid/installer"
	"offgrid/installer/hosttest"
	"offgrid/installer/sitetest"
)

func TestAPackageThatAnotherRoleNeedsStaysAndGoesWithThatOne(t *testing.T) {
	s := sitetest.New(t)
	h := s.Hosts["20.0.0.103"]
	before := h.Tree(t)
	for _, w := range []what{{"node", "20.0.0.103"}, {"etcd", "20.0.0.103"}} {
		if _, err := install(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
	}
	h.Ran = nil
	if _, err := s.Session("20.0.0.103").Uninstall(t.Context(), installer.UninstallRequest{Role: "node"}); err != nil {
		t.Fatal(err)
	}
	for _, line := range h.Ran {
		if strings.HasPrefix(line, "rpm -e") && strings.Contains(line, "chrony") || strings.HasPrefix(line, "rpm -U") {
			t.Errorf("etcd needs chrony, and %q was run", line)
		}
	}
	if _, err := s.Session("20.0.0.103").Uninstall(t.Context(), installer.UninstallRequest{Role: "etcd"}); err != nil {
		t.Fatal(err)
	}
	if d := hosttest.Diff(before, h.Tree(t, "/.autorelabel")); d != "" {
		t.Error(d)
	}
}

func TestAnUninstallWaitsForNobody(t *testing.T) {
	s := sitetest.New(t)
	for _, w := range []what{{"etcd", "20.0.0.103"}, {"node", "20.0.0.103"}} {
		if _, err := install(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
	}
	session := s.Session("20.0.0.103")
	session.Patience = time.Hour // the masters never come
	begin := time.Now()
	if _, err := session.Uninstall(t.Context(), installer.UninstallRequest{Role: "etcd"}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("it took %s", took)
	}
	if s.Hosts["20.0.0.103"].Get("/etc/systemd/system/offgrid-converge.timer") == "" {
		t.Error("the node that still waits does not go on by itself")
	}
}
