package manifests_test

import (
	"bytes"
	"encoding/hex"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"offgrid/builder/catalogue"
	"offgrid/manifests"
)

// load reads the built-in catalogue as a build does: what the loader does not accept is a failure of every test here.
func load(t *testing.T) *catalogue.Catalogue {
	t.Helper()
	data, err := manifests.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalogue.Load(manifests.CatalogueName, data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryAddressIsHTTPS(t *testing.T) {
	c := load(t)
	check := func(what, address string) {
		t.Helper()
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			t.Errorf("%s: %q is not a plain https address", what, address)
		}
	}
	for _, m := range c.Mirrors {
		for _, r := range m.Rules {
			check("mirror set "+m.Name, r.From)
			check("mirror set "+m.Name, r.To)
			if strings.HasSuffix(r.From, "/") != strings.HasSuffix(r.To, "/") {
				t.Errorf("mirror set %s: %q and %q do not end alike", m.Name, r.From, r.To)
			}
		}
	}
	for _, k := range c.Keys {
		check("key "+k.ID, k.URL)
	}
	for _, r := range c.Repositories {
		check("repository "+r.ID, r.BaseURL)
	}
	for _, d := range c.Downloads {
		for _, r := range d.Releases {
			check(d.ID+" "+r.Version, r.URL)
			if r.Sums != nil {
				check(d.ID+" "+r.Version, r.Sums.URL)
			}
		}
	}
}

func TestEveryEntryHasAWayToBeVerified(t *testing.T) {
	c := load(t)
	for _, k := range c.Keys {
		if !regexp.MustCompile(`^[0-9A-F]{40}$`).MatchString(k.Fingerprint) {
			t.Errorf("key %s: fingerprint %q is not 40 upper-case hex digits", k.ID, k.Fingerprint)
		}
	}
	keys := ids(t, "key", c.Keys, func(k catalogue.Key) string { return k.ID })
	for _, r := range c.Repositories {
		if !keys[r.Key] {
			t.Errorf("repository %s: there is no key %q", r.ID, r.Key)
		}
	}
	for _, d := range c.Downloads {
		for _, r := range d.Releases {
			verifiable(t, d.ID+" "+r.Version, r)
		}
	}
	for _, i := range c.Images {
		if strings.HasPrefix(i.Ref, "docker.io/calico/") && i.Digest == "" {
			continue // not found anywhere: the lock pins the tag
		}
		if !regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(i.Digest) {
			t.Errorf("image %s: digest %q is not a sha256", i.Ref, i.Digest)
		}
	}
}

// verifiable says whether exactly one of a release's three ways to be verified is there and well formed.
func verifiable(t *testing.T, what string, r catalogue.Release) {
	t.Helper()
	ways := 0
	for digest, size := range map[string]int{r.SHA256: 32, r.SHA512: 64} {
		if digest == "" {
			continue
		}
		ways++
		if raw, err := hex.DecodeString(digest); err != nil || len(raw) != size || strings.ToLower(digest) != digest {
			t.Errorf("%s: digest %q is not %d bytes of lower-case hex", what, digest, size)
		}
	}
	if r.Sums != nil {
		ways++
		if r.Sums.Algorithm != "sha256" && r.Sums.Algorithm != "sha512" {
			t.Errorf("%s: the algorithm of its sums is %q", what, r.Sums.Algorithm)
		}
	}
	if ways != 1 {
		t.Errorf("%s has %d of sha256, sha512 and sums; want one", what, ways)
	}
}

// ids collects names and complains of doubles.
func ids[T any](t *testing.T, what string, list []T, id func(T) string) map[string]bool {
	t.Helper()
	seen := map[string]bool{}
	for _, e := range list {
		if name := id(e); name == "" || seen[name] {
			t.Errorf("%s %q is empty or there twice", what, name)
		}
		seen[id(e)] = true
	}
	return seen
}

func TestNoNameIsThereTwice(t *testing.T) {
	c := load(t)
	ids(t, "mirror set", c.Mirrors, func(m catalogue.MirrorSet) string { return m.Name })
	ids(t, "key", c.Keys, func(k catalogue.Key) string { return k.ID })
	ids(t, "repository", c.Repositories, func(r catalogue.Repository) string { return r.ID })
	ids(t, "download", c.Downloads, func(d catalogue.Download) string { return d.ID })
	ids(t, "package set", c.PackageSets, func(p catalogue.PackageSet) string { return p.ID })
	ids(t, "image", c.Images, func(i catalogue.Image) string { return i.Ref })
	ids(t, "role", c.Roles, func(r catalogue.Role) string { return r.Name })
	var members []string
	for _, d := range c.Downloads {
		ids(t, d.ID, d.Releases, func(r catalogue.Release) string { return r.Version })
		for _, m := range d.Members {
			members = append(members, m.Name)
		}
	}
	ids(t, "member", members, func(s string) string { return s })
	for _, s := range c.PackageSets {
		ids(t, "package set "+s.ID, versions(s), func(v string) string { return v })
		for _, r := range s.Releases {
			ids(t, s.ID+" "+r.Version, r.Packages, func(p catalogue.Package) string { return p.Name })
		}
	}
}

// versions are the releases of a set; a set with one release may leave its version out.
func versions(s catalogue.PackageSet) []string {
	if s.Component == "" && len(s.Releases) == 1 {
		return []string{s.ID}
	}
	var list []string
	for _, r := range s.Releases {
		list = append(list, r.Version)
	}
	return list
}

func TestDefaultsAreReleases(t *testing.T) {
	c := load(t)
	want := map[string]string{"kubernetes": "v1.20.15", "etcd": "v3.4.26", "cni": "v0.8.7", "docker": "20.10.24", "kernel": "5.4.278-1.el7.elrepo"}
	got := map[string]string{}
	for _, d := range c.Downloads {
		got[d.Component] = d.Default
		if !slices.ContainsFunc(d.Releases, func(r catalogue.Release) bool { return r.Version == d.Default }) {
			t.Errorf("download %s: its default %q is not one of its releases", d.ID, d.Default)
		}
	}
	for _, s := range c.PackageSets {
		if s.Component == "" {
			continue
		}
		got[s.Component] = s.Default
		if !slices.Contains(versions(s), s.Default) {
			t.Errorf("package set %s: its default %q is not one of its releases", s.ID, s.Default)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("defaults are %v, want %v", got, want)
	}
}

func TestMembersArePlainPathsAndArchivesHaveSome(t *testing.T) {
	for _, d := range load(t).Downloads {
		if d.Kind != "archive" && d.Kind != "file" {
			t.Errorf("download %s: kind is %q", d.ID, d.Kind)
		}
		if (d.Kind == "archive") != (len(d.Members) > 0) {
			t.Errorf("download %s is of kind %s and has %d members", d.ID, d.Kind, len(d.Members))
		}
		for _, m := range d.Members {
			if m.Path == "" || strings.HasPrefix(m.Path, "/") || strings.HasPrefix(m.Path, "./") || strings.Contains(m.Path, "..") {
				t.Errorf("download %s: path of %s is %q", d.ID, m.Name, m.Path)
			}
		}
	}
}

func TestPackagesAreCompleteAndFromKnownRepositories(t *testing.T) {
	c := load(t)
	repositories := ids(t, "repository", c.Repositories, func(r catalogue.Repository) string { return r.ID })
	evr := regexp.MustCompile(`^([0-9]+:)?[0-9][^-: ]*-[0-9][^-: ]*$`)
	for _, s := range c.PackageSets {
		for _, r := range s.Releases {
			for _, p := range r.Packages {
				if p.EVR != "" && (!evr.MatchString(p.EVR) || !strings.Contains(p.EVR, "el7")) {
					t.Errorf("%s %s: %s has EVR %q", s.ID, r.Version, p.Name, p.EVR)
				}
				if s.Component != "" && p.EVR == "" {
					t.Errorf("%s %s: %s has no version, although a component chooses it", s.ID, r.Version, p.Name)
				}
				if !repositories[p.Repository] {
					t.Errorf("%s %s: %s comes from the unknown repository %q", s.ID, r.Version, p.Name, p.Repository)
				}
			}
			if !slices.IsSortedFunc(r.Packages, func(a, b catalogue.Package) int { return strings.Compare(a.Name, b.Name) }) {
				t.Errorf("%s %s: packages are not sorted by name", s.ID, r.Version)
			}
		}
	}
}

func TestRolesNameWhatExistsAndNoPackageTwice(t *testing.T) {
	c := load(t)
	artifacts := map[string]bool{}
	for _, d := range c.Downloads {
		if d.Kind == "file" {
			artifacts[d.ID] = true
		}
		for _, m := range d.Members {
			artifacts[m.Name] = true
		}
	}
	images := ids(t, "image", c.Images, func(i catalogue.Image) string { return i.Ref })
	for _, r := range c.Roles {
		for _, p := range r.Programs {
			if !artifacts[p.Artifact] {
				t.Errorf("role %s: there is no artifact %q", r.Name, p.Artifact)
			}
		}
		for _, i := range r.Images {
			if !images[i] {
				t.Errorf("role %s: there is no image %q", r.Name, i)
			}
		}
		owner := map[string]string{}
		for _, name := range r.PackageSets {
			i := slices.IndexFunc(c.PackageSets, func(s catalogue.PackageSet) bool { return s.ID == name })
			if i < 0 {
				t.Errorf("role %s: there is no package set %q", r.Name, name)
				continue
			}
			for _, choice := range c.PackageSets[i].Releases {
				for _, p := range choice.Packages {
					if o, ok := owner[p.Name]; ok && o != name {
						t.Errorf("role %s: package %s is in the sets %s and %s", r.Name, p.Name, o, name)
					}
					owner[p.Name] = name
				}
			}
		}
	}
}

func TestProgramsStandWhereTheTutorialHasThem(t *testing.T) {
	want := map[string][]string{
		"etcd": {"/opt/etcd/bin/etcd", "/opt/etcd/bin/etcdctl"},
		"master": {
			"/opt/kubernetes/bin/kube-apiserver", "/opt/kubernetes/bin/kube-controller-manager",
			"/opt/kubernetes/bin/kube-scheduler", "/opt/kubernetes/bin/kubectl",
		},
		"node": {
			"/opt/cni/bin/bandwidth", "/opt/cni/bin/bridge", "/opt/cni/bin/flannel", "/opt/cni/bin/host-local",
			"/opt/cni/bin/loopback", "/opt/cni/bin/portmap", "/opt/cni/bin/tuning",
			"/opt/kubernetes/bin/kube-proxy", "/opt/kubernetes/bin/kubelet",
		},
		"lb": nil,
	}
	got := map[string][]string{}
	for _, r := range load(t).Roles {
		got[r.Name] = nil
		for _, p := range r.Programs {
			got[r.Name] = append(got[r.Name], p.Path)
			if name := strings.TrimPrefix(p.Artifact, "cni-"); !strings.HasSuffix(p.Path, "/"+name) {
				t.Errorf("role %s: artifact %s would stand at %s", r.Name, p.Artifact, p.Path)
			}
		}
	}
	for role, paths := range want {
		if !slices.Equal(got[role], paths) {
			t.Errorf("role %s places\n%v, want\n%v", role, got[role], paths)
		}
	}
	if len(got) != len(want) {
		t.Errorf("roles are %v, want etcd, lb, master and node", slices.Sorted(maps.Keys(got)))
	}
}

func TestNothingOfAMachineStandsInTheCatalogue(t *testing.T) {
	data, err := manifests.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"localhost", "127.0.0.1", "file://", "/tmp/", "/home/", "http://"} {
		if bytes.Contains(data, []byte(word)) {
			t.Errorf("the catalogue holds %q", word)
		}
	}
}
