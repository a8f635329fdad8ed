package builder_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"offgrid/builder"
	"offgrid/builder/catalogue"
	"offgrid/builder/cluster"
	"offgrid/builder/upstreamtest"
	"offgrid/bundle"
)

func TestTheLockNamesEverythingThatTheRolesNeed(t *testing.T) {
	s := newSite(t)
	l, err := s.lock(t)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range l.Entries {
		line := strings.ReplaceAll(fmt.Sprintf("%s %s %s %s", e.ID, e.Kind, e.Version, e.Vouched), s.up.URL, "UP")
		for _, m := range e.Members {
			line += " " + m.Name + "=" + m.Contains
		}
		got = append(got, line)
	}
	fp := s.cat.Keys[0].Fingerprint
	want := []string{
		"crictl file v1 sha256 in the catalogue",
		"etcd archive v3.4.26 sha256 in UP/etcd/v3.4.26/SHA256SUMS etcd=3.4.26",
		"image/k8s.gcr.io/pause:3.2 image 3.2 the tag " + s.cat.Images[0].Source + " at the time of the lock",
		"kubernetes-server archive v1.20.15 sha512 in the catalogue kubelet=v1.20.15",
		"rpm/docker-ce rpm 3:20.10.24-3.el7 primary index of docker at UP/docker/7/repodata/repomd.xml; header and payload signed by " + fp,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n %s\nwant\n %s", strings.Join(got, "\n "), strings.Join(want, "\n "))
	}
	if m := l.Entries[3].Members[0]; m.SHA256 != bundle.DigestOf(program("kubelet", "v1.20.15")) || m.Size != 64<<10 {
		t.Errorf("kubelet: %+v", m)
	}
	if got := l.Date.Format("2006-01-02T15:04:05.999Z07:00"); got != "2026-03-01T12:00:00Z" {
		t.Errorf("date %s", got)
	}
}

func TestALockIsReadAsItWasWritten(t *testing.T) {
	s := newSite(t)
	l, err := s.lock(t)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "bundle.lock")
	if err := builder.WriteLock(name, l); err != nil {
		t.Fatal(err)
	}
	back, err := builder.ReadLock(name)
	if err != nil || !reflect.DeepEqual(back, l) {
		t.Fatalf("got %+v, %v\nwant %+v", back, err, l)
	}
	first, _ := l.Bytes()
	second, err := back.Bytes()
	onDisk, _ := os.ReadFile(name)
	if err != nil || !bytes.Equal(first, second) || !bytes.Equal(first, onDisk) {
		t.Errorf("%v; bytes differ:\n%s\n%s", err, first, second)
	}
	// The same upstream at the same time gives the same lock.
	again, err := s.lock(t)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := again.Bytes(); !bytes.Equal(b, first) {
		t.Errorf("second lock:\n%s\nfirst:\n%s", b, first)
	}
}

func TestABuildAfterTheLockFetchesAndEncodesNothing(t *testing.T) {
	s := newSite(t)
	l, err := s.lock(t)
	if err != nil {
		t.Fatal(err)
	}
	s.events = nil
	asked := len(s.up.Requests(""))
	m, err := s.materialise(t, l)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.up.Requests("")); n != asked || s.started("encode") != nil || s.started("fetch") != nil {
		t.Errorf("%d requests, fetched %q, encoded %q", n-asked, s.started("fetch"), s.started("encode"))
	}
	var names []string
	for _, a := range m.Artifacts {
		names = append(names, a.Kind+" "+a.Name)
		if err := s.store.Verify(t.Context(), a.Blob.Stored); err != nil {
			t.Error(err)
		}
	}
	if want := []string{"program crictl", "package docker-ce-20.10.24-3.el7.x86_64.rpm", "program etcd", "program kubelet"}; !slices.Equal(names, want) {
		t.Errorf("artifacts %q, want %q", names, want)
	}
	if p := m.Packages["docker-ce"]; p.Epoch != 3 || p.Artifact != "docker-ce-20.10.24-3.el7.x86_64.rpm" {
		t.Errorf("package %+v", p)
	}
	if i := m.Images["k8s.gcr.io/pause:3.2"]; i.Index == nil || len(i.Layers) != 1 || !s.store.Has(i.Layers[0].SHA256) {
		t.Errorf("image %+v", i)
	}
}

func TestABuildOnAnotherMachineGetsTheSame(t *testing.T) {
	s := newSite(t)
	l, err := s.lock(t)
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.materialise(t, l)
	if err != nil {
		t.Fatal(err)
	}
	empty, err := builder.OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	s.store.Close()
	s.store = empty
	s.up.Remove(etcdSum) // only the lock decides now
	s.up.Remove("/docker/7/repodata/repomd.xml")
	s.events = nil
	second, err := s.materialise(t, l)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(first, second) {
		t.Errorf("got %+v\nwant %+v", second, first)
	}
	encoded := s.started("encode")
	slices.Sort(encoded)
	if want := []string{"crictl", "etcd", "kubelet"}; !slices.Equal(encoded, want) {
		t.Errorf("encoded %q, want %q", encoded, want)
	}
}

func TestEachFaultOfUpstreamNamesTheArtifactAndTheAddress(t *testing.T) {
	for _, c := range []struct {
		summary string
		spoil   func(s *site)
		err     string
	}{
		{"archive missing", func(s *site) { s.up.Remove(kubeTar) },
			"locking: fetching kubernetes-server v1.20.15 from UP" + kubeTar + ": the server answers 404 Not Found"},
		{"archive changed", func(s *site) { s.up.Break(kubeTar, upstreamtest.Fault{Flip: true}) },
			"locking: fetching kubernetes-server v1.20.15 from UP" + kubeTar + ": wrong bytes: sha512 is "},
		{"archive not the one in the list", func(s *site) { s.up.Break(etcdTar, upstreamtest.Fault{Flip: true}) },
			"locking: fetching etcd v3.4.26 from UP" + etcdTar + ": wrong bytes: sha256 is "},
		{"list missing", func(s *site) { s.up.Remove(etcdSum) },
			"locking: fetching the checksums of etcd v3.4.26 from UP" + etcdSum + ": the server answers 404 Not Found"},
		{"list of others", func(s *site) { s.up.Sums(etcdSum, kubeTar) },
			`locking: the checksums of etcd v3.4.26 at UP` + etcdSum + `: it does not name "etcd-v3.4.26-linux-amd64.tar.gz"`},
		{"another version inside", func(s *site) {
			s.up.File(etcdTar, tarball(map[string][]byte{"etcd-v3.4.26-linux-amd64/etcd": program("etcd", "3.4.25")}, "etcd-v3.4.26-linux-amd64/etcd"))
			s.up.Sums(etcdSum, etcdTar)
		}, `locking: etcd v3.4.26 from UP` + etcdTar + `: member "etcd-v3.4.26-linux-amd64/etcd" of the archive: "3.4.26" is nowhere in etcd: it is not the version that it is said to be`},
		{"member missing", func(s *site) {
			s.up.File(etcdTar, tarball(map[string][]byte{"etcd": nil}, "etcd"))
			s.up.Sums(etcdSum, etcdTar)
		}, `locking: etcd v3.4.26 from UP` + etcdTar + `: the archive has no "etcd-v3.4.26-linux-amd64/etcd"`},
		{"package missing", func(s *site) { s.up.Remove(rpmPath) },
			"locking: fetching docker-ce-3:20.10.24-3.el7.x86_64 from UP" + rpmPath + ": the server answers 404 Not Found"},
		{"package changed", func(s *site) { s.up.Break(rpmPath, upstreamtest.Fault{Flip: true}) },
			"locking: fetching docker-ce-3:20.10.24-3.el7.x86_64 from UP" + rpmPath + ": wrong bytes: sha256 is "},
		{"package cut short", func(s *site) { s.up.Break(rpmPath, upstreamtest.Fault{Short: 100}) },
			"locking: fetching docker-ce-3:20.10.24-3.el7.x86_64 from UP" + rpmPath + ": "},
		{"package signed by another", func(s *site) {
			sign, _, _ := newKey()
			p := elRPM("docker-ce 3:20.10.24-3.el7")
			p.SignAll = sign
			s.up.Repo("/docker/7", upstreamtest.Repo{RPMs: []upstreamtest.RPM{p}})
		}, "locking: package docker-ce-3:20.10.24-3.el7.x86_64: its signature is not by "},
		{"package swapped for another that the key signed, in the index too", func(s *site) {
			p := elRPM("docker-ce 3:20.10.24-3.el7")
			p.SignAll = func([]byte) []byte { return nil }
			other := elRPM("docker-ce 3:20.10.9-3.el7").Bytes()
			s.up.Repo("/docker/7", upstreamtest.Repo{RPMs: []upstreamtest.RPM{p}, File: func(upstreamtest.RPM) []byte { return other }})
		}, `locking: package docker-ce-3:20.10.24-3.el7.x86_64: the file says that it is "docker-ce-3:20.10.9-3.el7.x86_64" (`},
		{"another key", func(s *site) {
			_, _, file := newKey()
			s.up.File("/docker/gpg", file)
		}, "locking: key docker from UP/docker/gpg: the key file holds the key "},
		{"image gone", func(s *site) { s.up.Remove("/v2/pause/manifests/3.2") },
			"locking: resolving image k8s.gcr.io/pause:3.2: fetching image k8s.gcr.io/pause:3.2 from UP/v2/pause/manifests/3.2: the server answers 404 Not Found"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			s := newSite(t)
			c.spoil(s)
			_, err := s.lock(t)
			if want := strings.ReplaceAll(c.err, "UP", s.up.URL); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("error:\n got %v\nwant %s", err, want)
			}
		})
	}
}

func TestAnUnsignedPackageIsNamedWithBothWaysToAcceptIt(t *testing.T) {
	s := newSite(t)
	plain := upstreamtest.RPM{Name: "docker-ce", Epoch: 3, Version: "20.10.24", Release: "3.el7", Arch: "x86_64", Payload: []byte("payload")}
	s.up.Repo("/docker/7", upstreamtest.Repo{RPMs: []upstreamtest.RPM{plain}})
	_, err := s.lock(t)
	want := "locking: package docker-ce-3:20.10.24-3.el7.x86_64: the package is not signed (" + s.up.URL + rpmPath + "): use a build of it that the key " +
		s.cat.Keys[0].Fingerprint + " has signed, or give its sha256 in the catalogue"
	if err == nil || err.Error() != want {
		t.Errorf("error:\n got %v\nwant %s", err, want)
	}
	s.cat.PackageSets[0].Releases[0].Packages[0].SHA256 = bundle.DigestOf(plain.Bytes()).Hex()
	l, err := s.lock(t)
	if err != nil {
		t.Fatal(err)
	}
	if e := l.Entries[4]; e.Vouched != "sha256 in the catalogue" {
		t.Errorf("entry %+v", e)
	}
	s.cat.PackageSets[0].Releases[0].Packages[0].SHA256 = strings.Repeat("0", 64)
	if _, err := s.lock(t); err == nil || !strings.Contains(err.Error(), "the catalogue pins sha256 0000") {
		t.Errorf("got %v", err)
	}
}

func TestAStaleLockSaysWhatChanged(t *testing.T) {
	c := &cluster.File{Hosts: []cluster.Host{{Roles: []string{"etcd"}}}}
	request, err := builder.RequestDigest(c)
	if err != nil {
		t.Fatal(err)
	}
	l := &builder.Lock{Catalogue: bundle.DigestOf([]byte("one")), Request: request, Baseline: bundle.DigestOf(nil)}
	if err := l.Check(c, []byte("one"), nil); err != nil {
		t.Error(err)
	}
	other := &cluster.File{Hosts: []cluster.Host{{Roles: []string{"etcd", "node"}}}}
	for _, x := range []struct {
		c         *cluster.File
		cat, want string
	}{
		{c, "two", `bundle.lock is stale: the catalogue has changed since it was made; run "bundle lock" and review what changes`},
		{other, "one", `bundle.lock is stale: the versions, roles, kernel, pod network or extra images in cluster.yaml have changed since it was made; run "bundle lock" and review what changes`},
		{other, "two", `bundle.lock is stale: the catalogue has changed, and the versions, roles, kernel, pod network or extra images in cluster.yaml have changed since it was made; run "bundle lock" and review what changes`},
	} {
		var stale *builder.StaleError
		if err := l.Check(x.c, []byte(x.cat), nil); !errors.As(err, &stale) || err.Error() != x.want {
			t.Errorf("error:\n got %v\nwant %s", err, x.want)
		}
	}
	// More hosts of the same roles change nothing.
	more := &cluster.File{Hosts: []cluster.Host{{Roles: []string{"etcd"}}, {Roles: []string{"etcd"}}}}
	if err := l.Check(more, []byte("one"), nil); err != nil {
		t.Error(err)
	}
}

func TestAVersionThatTheCatalogueLacksIsNamed(t *testing.T) {
	s := newSite(t)
	s.cluster.Versions = cluster.Versions{Kubernetes: "v1.20.14", Docker: "19.03.15"}
	s.cluster.Hosts = append(s.cluster.Hosts, cluster.Host{Name: "lb01", Roles: []string{"lb"}})
	_, err := s.lock(t)
	want := `locking: choosing from catalogue "test": it has nothing for the role "lb"
choosing kubernetes-server: versions.kubernetes is "v1.20.14", the catalogue "test" has v1.20.15
choosing package set docker: versions.docker is "19.03.15", the catalogue "test" has 20.10.24`
	if err == nil || err.Error() != want {
		t.Errorf("error:\n got %v\nwant %s", err, want)
	}
}

func TestChecksumListsAreRead(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	for _, c := range []struct{ list, want, err string }{
		{sum + "  etcd.tar.gz\n", sum, ""},
		{"# made by us\n" + sum + " *./release/etcd.tar.gz\n", sum, ""},
		{strings.ToUpper(sum) + "\n", sum, ""},
		{sum + "  other\n", "", `it does not name "etcd.tar.gz"`},
		{sum + "  etcd.tar.gz\n" + strings.Repeat("cd", 32) + "  etcd.tar.gz\n", "", `it names "etcd.tar.gz" twice, with different digests`},
		{"abc  etcd.tar.gz", "", `what it says about "etcd.tar.gz" is no digest of 64 hex digits`},
		{"<html>\n", "", `what it says about "etcd.tar.gz" is no digest of 64 hex digits`},
		{"", "", `it does not name "etcd.tar.gz"`},
	} {
		got, err := builder.ParseSums([]byte(c.list), "etcd.tar.gz", 64)
		if got != c.want || c.err == "" && err != nil || c.err != "" && (err == nil || err.Error() != c.err) {
			t.Errorf("%q: got %q, %v; want %q, %s", c.list, got, err, c.want, c.err)
		}
	}
}

func TestATextIsFoundAcrossTheSeamsOfReads(t *testing.T) {
	body := []byte("....v1.20.15....")
	for size := 1; size <= len(body); size++ {
		for text, want := range map[string]bool{"v1.20.15": true, "v1.20.16": false, "": true, ".": true, string(body): true} {
			if got := builder.Search(body, text, size); got != want {
				t.Errorf("%q in reads of %d: %v", text, size, got)
			}
		}
	}
}

func TestALocksFaultsAreNamedWithTheirLines(t *testing.T) {
	good := `schema: 2
date: 2026-03-01T12:00:00Z
catalogue: sha256:` + strings.Repeat("1", 64) + `
request: sha256:` + strings.Repeat("2", 64) + `
baseline: sha256:` + strings.Repeat("4", 64) + `
entries:
  - id: a
    kind: file
    version: v1
    url: https://a.example/a
    size: 1
    sha256: sha256:` + strings.Repeat("3", 64) + `
    vouched: sha256 in the catalogue
`
	if _, err := builder.ParseLock("bundle.lock", []byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{"schema: 2", "schema: 7", "bundle.lock:1:1: schema: is 7, this program reads 2"},
		{"kind: file", "kind: disk", `bundle.lock:7:5: entries[0]: kind "disk": want archive, file, rpm or image`},
		{"kind: file", "kind: rpm", `bundle.lock:7:5: entries[0]: an entry of kind rpm has a package and nothing of another kind`},
		{"size: 1", "size: 0", `bundle.lock:7:5: entries[0]: size and sha256 must be there`},
		{"https://", "ftp://", `bundle.lock:7:5: entries[0]: url "ftp://a.example/a": want https://...`},
		{"vouched:", "vouchsafed:", `bundle.lock:13:5: entries[0].vouchsafed: unknown key`},
	} {
		_, err := builder.ParseLock("bundle.lock", []byte(strings.Replace(good, c.old, c.new, 1)))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s:\n got %v\nwant %s", c.new, err, c.want)
		}
	}
}

func TestSelectFillsInTheVersion(t *testing.T) {
	s := newSite(t)
	sel, err := builder.Select(s.cluster, s.cat)
	if err != nil {
		t.Fatal(err)
	}
	want := []catalogue.Member{{Name: "etcd", Path: "etcd-v3.4.26-linux-amd64/etcd", Contains: "3.4.26"}}
	if got := sel.Downloads[1].Members; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if want := map[string]string{"etcd": "v3.4.26", "kubernetes": "v1.20.15", "docker": "20.10.24", "crictl": "v1"}; !reflect.DeepEqual(sel.Versions, want) {
		t.Errorf("versions %v, want %v", sel.Versions, want)
	}
}

func FuzzParseSums(f *testing.F) {
	f.Add([]byte(strings.Repeat("ab", 32) + "  x\n"))
	f.Fuzz(func(t *testing.T, list []byte) {
		if sum, err := builder.ParseSums(list, "x", 64); err == nil && len(sum) != 64 {
			t.Errorf("digest %q", sum)
		}
	})
}

func FuzzParseLock(f *testing.F) {
	f.Add([]byte("schema: 2\nentries: []\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := builder.ParseLock("bundle.lock", data)
		if err != nil {
			return
		}
		out, err := l.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		back, err := builder.ParseLock("bundle.lock", out)
		if err != nil || !reflect.DeepEqual(back, l) {
			t.Errorf("written and read again: %v\n%s", err, out)
		}
	})
}
