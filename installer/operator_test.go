package installer_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"offgrid/bundle"
	"offgrid/installer"
	"offgrid/installer/sitetest"
)

func TestAProgramThatWasChangedNeedsTheMedium(t *testing.T) {
	s := sitetest.New(t)
	w := what{"etcd", "20.0.0.103"}
	if _, err := install(t.Context(), s, w); err != nil {
		t.Fatal(err)
	}
	s.Hosts[w.ip].Put(t, "/opt/etcd/bin/etcd", "rotten")
	s.Hosts[w.ip].Put(t, "/opt/etcd/cfg/etcd", "ETCD_NAME=nobody\n")
	v, err := s.Session(w.ip).Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	medium := map[string]bool{}
	for _, d := range v.Differences {
		medium[d.Step] = d.Medium
	}
	if !medium["file:/opt/etcd/bin/etcd"] || medium["file:/opt/etcd/cfg/etcd"] || len(medium) < 2 {
		t.Errorf("what needs the medium: %v", medium)
	}
}

func TestACarriedBlobThatRottedIsCarriedAgain(t *testing.T) {
	s := sitetest.New(t)
	w := what{"node", "20.0.0.103"}
	if _, err := install(t.Context(), s, w); err != nil {
		t.Fatal(err)
	}
	h := s.Hosts[w.ip]
	b, err := bundle.Open(s.Bundle("node"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, blob := range b.CarriedBlobs() {
		name := filepath.Join(h.Root, installer.RoleDir("node"), blob.Path())
		was, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		rotten := append([]byte{}, was...)
		rotten[len(rotten)/2] ^= 1
		if err := os.WriteFile(name, rotten, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := install(t.Context(), s, w); err != nil {
			t.Fatalf("%s: %v", blob.Name, err)
		}
		if now, err := os.ReadFile(name); err != nil || string(now) != string(was) {
			t.Errorf("%s is still damaged: %v", blob.Name, err)
		}
	}
}

func TestACarryThatWasCutOffSaysThatTheMediumIsNeeded(t *testing.T) {
	s := sitetest.New(t)
	h := s.Hosts["20.0.0.103"]
	h.Crash(8, false)
	h.Survives(func() { _, _ = install(t.Context(), s, what{"etcd", "20.0.0.103"}) })
	h.Revive()
	_, err := s.Session("20.0.0.103").Resume(t.Context())
	var usage *installer.UsageError
	if !errors.As(err, &usage) || !strings.Contains(usage.What, "the installation of etcd was cut off before everything was carried") ||
		!strings.HasPrefix(usage.Hint, "./install --role etcd ") {
		t.Errorf("got %v", err)
	}
}

func TestAMemberWhoseDataIsGoneIsNamedAndNotWaitedFor(t *testing.T) {
	s := sitetest.New(t)
	for _, ip := range []string{"20.0.0.100", "20.0.0.104"} {
		if _, err := install(t.Context(), s, what{"etcd", ip}); err != nil {
			t.Fatal(err)
		}
	}
	session := s.Session("20.0.0.103")
	s.Hosts["20.0.0.103"].Put(t, "/var/lib/etcd/default.etcd/member/snap/db", "made before etcd gave up")
	s.Hosts["20.0.0.103"].Put(t, "/var/lib/etcd/default.etcd.cluster", sitetest.Cluster+"\n")
	session.Probe = s.Forgotten("20.0.0.103", s.Probe)
	job, err := session.Prepare(t.Context(), installer.Request{Roles: []string{"etcd"}, IP: "20.0.0.103", Bundle: s.Bundle("etcd")})
	if err != nil {
		t.Fatal(err)
	}
	defer job.Close()
	_, err = session.Install(t.Context(), job)
	var conflict *installer.ConflictError
	if !errors.As(err, &conflict) || !strings.Contains(conflict.Why, "the cluster knows the member etcd02 of this host from before") {
		t.Errorf("got %v", err)
	}
}
