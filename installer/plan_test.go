package installer_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"offgrid/installer"
	"offgrid/installer/sitetest"
)

// describe is a role's plan on a fresh host, a line per step.
func describe(t *testing.T, s *sitetest.Site, w what) (string, installer.PlanDocument) {
	t.Helper()
	session := s.Session(w.ip)
	job, err := session.Prepare(t.Context(), installer.Request{Roles: []string{w.role}, IP: w.ip, Bundle: s.Bundle(w.role)})
	if err != nil {
		t.Fatal(err)
	}
	defer job.Close()
	doc, err := job.Roles[0].Plan.Describe(t.Context(), s.Hosts[w.ip])
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, phase := range doc.Phases {
		fmt.Fprintf(&b, "%s\n", phase.Name)
		for _, step := range phase.Steps {
			fmt.Fprintf(&b, "  %-9s %s | %s %s\n", step.State, step.ID, step.Verb, step.Object)
		}
	}
	return b.String(), doc
}

// Goldens are written anew with OFFGRID_GOLDEN=write; look at the difference before committing it.
func TestThePlanOfEveryRole(t *testing.T) {
	s, balanced := sitetest.New(t), sitetest.NewBalanced(t)
	for _, w := range []what{{"etcd", "20.0.0.103"}, {"master", "20.0.0.100"}, {"node", "20.0.0.103"}, {"lb", "20.0.0.112"}} {
		site := s
		if w.role == "lb" {
			site = balanced
		}
		got, _ := describe(t, site, w)
		name := filepath.Join("testdata", "plan", w.role+".golden")
		if os.Getenv("OFFGRID_GOLDEN") == "write" {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs from %s; it is now:\n%s", w.role, name, got)
		}
	}
}

func TestAPlanChangesNothing(t *testing.T) {
	s := sitetest.New(t)
	for _, w := range theWholeTable() {
		describe(t, s, w)
		if n := s.Hosts[w.ip].Changes(); n != 0 {
			t.Errorf("planning %s on %s made %d changes", w.role, w.ip, n)
		}
		if _, err := s.Hosts[w.ip].Lstat(installer.StateDir); err == nil {
			t.Errorf("planning %s made %s", w.role, installer.StateDir)
		}
	}
}

func TestThePlanOfTheSameBundleOnTheSameHostHasTheSameID(t *testing.T) {
	s := sitetest.New(t)
	_, first := describe(t, s, what{"etcd", "20.0.0.103"})
	_, second := describe(t, s, what{"etcd", "20.0.0.103"})
	_, other := describe(t, s, what{"etcd", "20.0.0.104"})
	if first.ID != second.ID || first.ID == other.ID {
		t.Errorf("%s, %s, %s", first.ID, second.ID, other.ID)
	}
}

func TestSecretsComeOnlyFromThePackOfThisHost(t *testing.T) {
	s := sitetest.New(t)
	for _, w := range theWholeTable() {
		if _, err := install(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
	}
	for ip, h := range s.Hosts {
		for name, entry := range h.Tree(t) {
			if strings.HasSuffix(name, "-key.pem") && !strings.Contains(entry, "0600") {
				t.Errorf("%s: %s is %s", ip, name, entry)
			}
		}
	}
}
