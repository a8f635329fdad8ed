package installer

import (
	"strings"
	"testing"

	"offgrid/bundle"
	"offgrid/bundle/hostpack"
)

// server is one that answers with a version, or not at all.
func server(name, ip, version string) answered {
	a := answered{host: bundle.Host{Name: name, IP: ip}, version: version}
	if version == "" {
		a.why = "no answer in time"
	}
	return a
}

// upgradeOf is a role of the host master01 (20.0.0.100) between two versions.
func upgradeOf(role, from, to string) *RoleJob {
	return &RoleJob{
		Bundle: &bundle.Bundle{Path: role + ".bundle"},
		Input:  RoleInput{Index: &bundle.RoleIndex{Role: role}, Pack: &hostpack.Pack{}},
		Plan: &Plan{Role: role, Host: bundle.Host{Name: "master01", IP: "20.0.0.100"},
			Upgrade: &Upgrade{From: Edition{Version: from, Serial: 1}, To: Edition{Version: to, Serial: 2}}},
	}
}

// skewCase is an upgrade, what the cluster answers, and the finding.
type skewCase struct {
	id                  string // "" when there is nothing to say
	role, from, to      string
	apis, members, kube []answered
	change              func(r *RoleJob)
}

func skewCases() []skewCase {
	all := func(versions ...string) []answered {
		var found []answered
		for i, v := range versions {
			found = append(found, server([]string{"master01", "node01", "node02"}[i], []string{"20.0.0.100", "20.0.0.103", "20.0.0.104"}[i], v))
		}
		return found
	}
	foreign := func(r *RoleJob) {
		r.Input.Pack.Files = []hostpack.File{{Path: "/opt/kubernetes/cfg/kube-scheduler.kubeconfig", Data: []byte("server: https://20.0.0.110:6443\n")}}
	}
	const was, next = "v1.20.13", "v1.20.15"
	return []skewCase{
		{id: "", role: "master", from: was, to: next, apis: all(was, was)},
		{id: "", role: "master", from: was, to: "v1.21.3", apis: all(was, was), kube: all(was)},
		{id: "minor-skipped", role: "master", from: was, to: "v1.22.1", apis: all("v1.21.0")},
		{id: "minor-skipped", role: "node", from: was, to: "v2.0.0", apis: all("v2.0.0")},
		{id: "minor-lowered", role: "node", from: "v1.21.0", to: next, apis: all(next)},
		{id: "upgrade-version", role: "node", from: was, to: "latest", apis: all(next)},
		{id: "kubelet-newer", role: "master", from: next, to: "v1.20.14", apis: all(next), kube: all("v1.20.14", next)},
		{id: "masters-apart", role: "master", from: was, to: next, apis: all(was, "v1.18.4")},
		{id: "companions-newer", role: "master", from: was, to: "v1.21.0", apis: all(was, was), change: foreign},
		{id: "", role: "master", from: was, to: next, apis: all(was, was), change: foreign},
		{id: "masters-cold", role: "master", from: was, to: next, apis: all("", "")},
		{id: "master-alone", role: "master", from: was, to: next, apis: all(was, "")},
		{id: "", role: "node", from: was, to: next, apis: all(next, "v1.20.16")},
		{id: "masters-first", role: "node", from: was, to: next, apis: all(next, "v1.20.14")},
		{id: "master-unknown", role: "node", from: was, to: next, apis: all(next, "")},
		{id: "masters-cold", role: "node", from: was, to: next, apis: all("", "")},
		{id: "", role: "etcd", from: "v3.4.13", to: "v3.4.26", members: all("v3.4.13", "v3.4.13", "v3.4.26")},
		{id: "", role: "etcd", from: "v3.4.26", to: "v3.4.25", members: all("v3.4.26", "v3.4.26", "v3.4.26")},
		{id: "etcd-minor", role: "etcd", from: "v3.4.13", to: "v3.5.0", members: all("v3.4.13", "v3.4.13", "v3.4.13")},
		{id: "etcd-minor", role: "etcd", from: "v3.4.13", to: "v3.3.27", members: all("v3.4.13", "v3.4.13", "v3.4.13")},
		{id: "etcd-member-down", role: "etcd", from: "v3.4.13", to: "v3.4.26", members: all("v3.4.13", "", "v3.4.13")},
		{id: "", role: "etcd", from: "v3.4.13", to: "v3.4.26", members: all("", "v3.4.13", "v3.4.13")},
		{id: "etcd-cold", role: "etcd", from: "v3.4.13", to: "v3.4.26", members: all("", "", "")},
		{id: "etcd-alone", role: "etcd", from: "v3.4.13", to: "v3.4.26", members: all("v3.4.13")},
		{id: "etcd-member-away", role: "etcd", from: "v3.4.13", to: "v3.4.26",
			members: append(all("v3.4.13", "", "v3.4.13"), server("a", "20.0.0.8", "v3.4.13"), server("b", "20.0.0.9", "v3.4.13"))},
		{id: "", role: "lb"},
	}
}

func TestWhatAnUpgradeMeetsIsJudgedByTheVersionsThatRun(t *testing.T) {
	refuses := map[string]bool{"minor-skipped": true, "minor-lowered": true, "upgrade-version": true, "kubelet-newer": true, "masters-apart": true,
		"companions-newer": true, "masters-first": true, "etcd-minor": true, "etcd-member-down": true}
	for _, c := range skewCases() {
		r := upgradeOf(c.role, c.from, c.to)
		if c.change != nil {
			c.change(r)
		}
		var ids []string
		for _, f := range judgeUpgrade(r, running{apis: c.apis, members: c.members, kubelets: c.kube}) {
			ids = append(ids, f.ID)
			if (f.Severity == Refuse) != refuses[f.ID] || f.Class != ClassHost {
				t.Errorf("%s is a %s of class %s", f.ID, f.Severity, f.Class)
			}
			if f.What == "" || f.Where == "" || f.Why == "" || f.Fix == "" {
				t.Errorf("%s says too little: %+v", f.ID, f)
			}
		}
		if got := strings.Join(ids, " "); got != c.id {
			t.Errorf("%s from %s to %s: findings %q, want %q", c.role, c.from, c.to, got, c.id)
		}
	}
}

func TestARunThatMeetsAnUpgradeAtWorkIsJudgedByIt(t *testing.T) {
	for want, change := range map[string]func(r *RoleJob){
		"put-back-unfinished": func(r *RoleJob) {
			r.Plan.Upgrade.begun = &upgradeRecord{State: upgradeBack, Why: "the health check failed"}
		},
		"upgrade-unfinished": func(r *RoleJob) {
			r.Plan.Bundle = bundle.DigestOf([]byte("third"))
			r.Plan.Upgrade.begun, r.Plan.Upgrade.PutBack = &upgradeRecord{State: upgradeBegun}, true
		},
	} {
		r := upgradeOf("node", "v1.20.13", "v1.20.15")
		change(r)
		found, judge := unfinished(r)
		if len(found) != 1 || found[0].ID != want || found[0].Class != ClassUsage || found[0].Fix == "" || judge {
			t.Errorf("got %+v, want %s", found, want)
		}
	}
	if found := retried(upgradeOf("node", "v1.20.13", "v1.20.15"), "the health check failed"); len(found) != 1 || found[0].ID != "upgrade-given-up" || found[0].Severity != Warn {
		t.Errorf("got %+v", found)
	}
}

func TestVersionsAreReadStrictlyAndComparedAsNumbers(t *testing.T) {
	for text, want := range map[string]release{"v1.20.15": {1, 20, 15}, "3.4.9": {3, 4, 9}, "v1.20.15-rc.1": {1, 20, 15}, "v1.20.15+build": {1, 20, 15}} {
		if got, ok := parseVersion(text); !ok || got != want {
			t.Errorf("%s is %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "v1.20", "v1.20.x", "v1.20.15.1", "v1.-2.3"} {
		if got, ok := parseVersion(text); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
	if !(release{1, 20, 9}).before(release{1, 20, 15}) || (release{1, 21, 0}).before(release{1, 20, 15}) {
		t.Error("9 comes before 15")
	}
}
