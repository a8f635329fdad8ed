package installer_test

import (
	"errors"
	"strings"
	"testing"

	"offgrid/bundle"
	"offgrid/bundle/signature"
	"offgrid/installer"
	"offgrid/installer/hosttest"
	"offgrid/installer/sitetest"
)

// stranger is a session on a host that trusts another key than the site's.
func stranger(t *testing.T, s *sitetest.Site, ip string) *installer.Session {
	t.Helper()
	other, err := signature.Generate()
	if err != nil {
		t.Fatal(err)
	}
	session := s.Session(ip)
	session.Trust.Keys = []signature.PublicKey{other.Public()}
	return session
}

func TestWhatNobodyTrustedHasSignedIsRefusedAndTheHostUntouched(t *testing.T) {
	s := sitetest.New(t)
	w := what{"etcd", "20.0.0.104"}
	before := s.Hosts[w.ip].Tree(t)
	request := installer.Request{Roles: []string{w.role}, IP: w.ip, Bundle: s.Bundle(w.role)}
	session := stranger(t, s, w.ip)
	_, err := session.Prepare(t.Context(), request)
	var untrusted *bundle.UntrustedError
	if !errors.As(err, &untrusted) || untrusted.KeyID != s.Key.Public().ID() || untrusted.Keys != 1 {
		t.Errorf("got %v", err)
	}
	if d := hosttest.Diff(before, s.Hosts[w.ip].Tree(t)); d != "" {
		t.Errorf("the host was changed:\n%s", d)
	}
	session.Trust.Unsigned = true
	job, err := session.Prepare(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	defer job.Close()
	if f := job.Findings; len(f) != 1 || f[0].ID != "unsigned-bundle" || f[0].Severity != installer.Warn || !strings.Contains(f[0].Fix, job.Roles[0].Bundle.RootDigest.Fingerprint()) {
		t.Errorf("let in: %+v", f)
	}
	if _, err := session.Install(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	// What was let in once is let in when it goes on, with any installer and without a word.
	for _, later := range []*installer.Session{stranger(t, s, w.ip), s.Session(w.ip)} {
		st, err := later.Status(t.Context())
		if err != nil || len(st) != 1 {
			t.Errorf("status: %+v, %v", st, err)
		}
	}
}

func TestWhatWasCarriedAnswersToTheKeyThatWasTrustedThen(t *testing.T) {
	s := sitetest.New(t)
	w := what{"etcd", "20.0.0.104"}
	if _, err := install(t.Context(), s, w); err != nil {
		t.Fatal(err)
	}
	h := s.Hosts[w.ip]
	for _, later := range []*installer.Session{s.Session(w.ip), stranger(t, s, w.ip)} { // the key was changed since
		st, err := later.Status(t.Context())
		if err != nil || st[0].Signer != s.Key.Public().String() {
			t.Errorf("status: %+v, %v", st, err)
		}
	}
	dir := installer.RoleDir(w.role)
	signed, err := h.ReadDir(dir + "/signatures/sha256")
	if err != nil || len(signed) != 1 {
		t.Fatalf("signatures %q, %v", signed, err)
	}
	name := dir + "/signatures/sha256/" + signed[0]
	text := h.Get(name)
	h.Put(t, name, strings.Replace(text, "role=etcd", "role=node", 1))
	var damage *bundle.DamageError
	if _, err := s.Session(w.ip).Status(t.Context()); !errors.As(err, &damage) {
		t.Errorf("changed: %v", err)
	}
	if err := h.Remove(name); err != nil {
		t.Fatal(err)
	}
	var untrusted *bundle.UntrustedError
	if _, err := s.Session(w.ip).Resume(t.Context()); !errors.As(err, &untrusted) {
		t.Errorf("removed: %v", err)
	}
	h.Put(t, name, text)
	if _, err := s.Session(w.ip).Verify(t.Context()); err != nil {
		t.Errorf("put back: %v", err)
	}
}

func TestAnOlderBundleOfTheClusterIsRefusedForEveryRole(t *testing.T) {
	s := sitetest.New(t)
	ip := "20.0.0.104"
	s.Bring(t, sitetest.Versions{Kube: "v1.20.15", Etcd: "v3.4.26", Serial: 2})
	if _, err := install(t.Context(), s, what{"etcd", ip}); err != nil {
		t.Fatal(err)
	}
	s.Bring(t, sitetest.First())
	for _, role := range []string{"etcd", "node"} { // the node is not installed yet
		job := prepared(t, s, what{role, ip})
		if got := findings(job); !strings.Contains(got, "older-bundle") {
			t.Errorf("%s: findings %q", role, got)
		}
		if class, refused := installer.Refused(job.Findings); !refused || class != installer.ClassUsage {
			t.Errorf("%s: refused %v, class %v", role, refused, class)
		}
		job.Close()
		session := s.Session(ip)
		session.AllowOlder = true
		allowed, err := session.Prepare(t.Context(), installer.Request{Roles: []string{role}, IP: ip, Bundle: s.Bundle(role)})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range allowed.Findings {
			if f.ID == "older-bundle" && f.Severity != installer.Warn {
				t.Errorf("%s, allowed: %+v", role, f)
			}
		}
		allowed.Close()
	}
}
