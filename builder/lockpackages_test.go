package builder_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"offgrid/builder"
	"offgrid/builder/catalogue"
	"offgrid/builder/upstreamtest"
	"offgrid/bundle"
	"offgrid/bundle/progress"
)

// elRPM makes a package that the vendor has signed: "NAME EVR", then dependencies as "requires X, Y" and so on.
func elRPM(text string) upstreamtest.RPM {
	head, rest, _ := strings.Cut(text, ";")
	f := strings.Fields(head)
	p := upstreamtest.RPM{Name: f[0], Arch: "x86_64", Payload: []byte(text), SignAll: vendorKey().sign, AllTag: 1002}
	evr := f[1]
	if epoch, after, ok := strings.Cut(evr, ":"); ok {
		fmt.Sscan(epoch, &p.Epoch)
		evr = after
	}
	p.Version, p.Release, _ = strings.Cut(evr, "-")
	for _, part := range strings.Split(rest, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), " ")
		list := strings.Split(value, ", ")
		switch key {
		case "provides":
			p.Provides = list
		case "requires":
			p.Requires = list
		case "conflicts":
			p.Conflicts = list
		case "obsoletes":
			p.Obsoletes = list
		case "files":
			for _, file := range list {
				path, sum, _ := strings.Cut(file, "=")
				p.Files = append(p.Files, upstreamtest.RPMFile{Path: path, Digest: sum})
			}
		}
	}
	return p
}

// os gives the site a second repository, from which dependencies come, and a baseline.
func (s *site) os(baseline string, packages ...string) {
	var list []upstreamtest.RPM
	for _, p := range packages {
		list = append(list, elRPM(p))
	}
	base := s.up.Repo("/os", upstreamtest.Repo{RPMs: list})
	if len(s.cat.Repositories) == 1 {
		s.cat.Repositories = append(s.cat.Repositories, catalogue.Repository{ID: "os", BaseURL: base, Key: "docker", Dependencies: true})
	}
	if baseline != "" {
		s.baseline = []byte(`{"format":1,"os":"centos-7.9.2009","packages":[` + baseline + `]}`)
	}
}

// docker puts other packages into docker's repository.
func (s *site) docker(packages ...string) {
	var list []upstreamtest.RPM
	for _, p := range packages {
		list = append(list, elRPM(p))
	}
	s.up.Repo("/docker/7", upstreamtest.Repo{RPMs: list})
}

// packagesOf writes the packages of a lock with their reasons.
func packagesOf(l *builder.Lock) []string {
	var got []string
	for _, e := range l.Entries {
		if p := e.Package; p != nil {
			line := fmt.Sprintf("%s-%s %s for %s", p.Name, e.Version, p.Repository, strings.Join(p.Roles, "+"))
			switch {
			case p.Sets != nil:
				line += ": wanted by " + strings.Join(p.Sets, "+")
			case p.NeededBy != "":
				line += ": " + p.NeededBy + " needs " + p.Needs
			}
			if p.Replaces != nil {
				line += " in place of " + strings.Join(p.Replaces, "+")
			}
			got = append(got, line)
		}
	}
	return got
}

const bashLine = `{"name":"bash","epoch":0,"version":"4.2.46","release":"34.el7","arch":"x86_64"}`

func TestTheLockHoldsWhatTheWantedPackagesNeedAndTheHostsLack(t *testing.T) {
	s := newSite(t)
	s.docker("docker-ce 3:20.10.24-3.el7; requires docker-ce-cli, container-selinux >= 2:2.74, bash, /bin/sh",
		"docker-ce 3:26.1.4-1.el7", "docker-ce-cli 1:20.10.24-3.el7; requires docker-ce")
	s.os(bashLine+`,{"name":"policycoreutils","epoch":0,"version":"2.5","release":"33.el7","arch":"x86_64"}`,
		"bash 4.2.46-34.el7; files /bin/sh=00", "policycoreutils 2.5-33.el7", "policycoreutils 2.5-34.el7",
		"container-selinux 2:2.119-1.el7; requires policycoreutils-python", "policycoreutils-python 2.5-34.el7; requires policycoreutils = 2.5-34.el7")
	l, err := s.lock(t)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"container-selinux-2:2.119-1.el7 os for node: docker-ce needs container-selinux >= 2:2.74",
		"docker-ce-3:20.10.24-3.el7 docker for node: wanted by docker",
		"docker-ce-cli-1:20.10.24-3.el7 docker for node: docker-ce needs docker-ce-cli",
		"policycoreutils-2.5-34.el7 os for etcd+node: policycoreutils-python needs policycoreutils = 2.5-34.el7 in place of policycoreutils-2.5-33.el7.x86_64",
		"policycoreutils-python-2.5-34.el7 os for node: container-selinux needs policycoreutils-python",
	}
	if got := packagesOf(l); !slices.Equal(got, want) {
		t.Errorf("got\n %s\nwant\n %s", strings.Join(got, "\n "), strings.Join(want, "\n "))
	}
	if key := l.Entries[len(l.Entries)-1].Package.Key; key != s.cat.Keys[0].Fingerprint {
		t.Errorf("key %q", key)
	}
	var warned []string
	for _, e := range s.events {
		if e.Kind == progress.Warn {
			warned = append(warned, e.Item+": "+e.Text)
		}
	}
	if want := "[policycoreutils-2.5-34.el7.x86_64: it takes the place of policycoreutils-2.5-33.el7.x86_64, which the hosts have]"; fmt.Sprint(warned) != want {
		t.Errorf("warned %s", warned)
	}
	// A host that has them already gets less, and the old lock does not fit it.
	before := s.baseline
	s.os(bashLine+`,{"name":"policycoreutils-python","epoch":0,"version":"2.5","release":"34.el7","arch":"x86_64"}`,
		"bash 4.2.46-34.el7; files /bin/sh=00", "container-selinux 2:2.119-1.el7; requires policycoreutils-python")
	other, err := s.lock(t)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(packagesOf(other)); got != 3 {
		t.Errorf("%d packages: %q", got, packagesOf(other))
	}
	if err := l.Check(s.cluster, []byte("the catalogue"), before); err != nil {
		t.Error(err)
	}
	want2 := `bundle.lock is stale: the baseline, what the hosts have already, has changed since it was made; run "bundle lock" and review what changes`
	if err := l.Check(s.cluster, []byte("the catalogue"), s.baseline); err == nil || err.Error() != want2 {
		t.Errorf("got %v\nwant %s", err, want2)
	}
}

func TestListsOfFilesAreFetchedOnlyWhenAnAnswerNeedsThem(t *testing.T) {
	filelists := func(s *site) (n int) {
		for _, r := range s.up.Requests("") {
			if strings.Contains(r.Path, "filelists") {
				n++
			}
		}
		return n
	}
	s := newSite(t)
	s.docker("docker-ce 3:20.10.24-3.el7; requires /usr/bin/x")
	s.os("", "x 1-1; files /usr/bin/x=00", "y 1-1; requires /opt/nowhere")
	if _, err := s.lock(t); err != nil || filelists(s) != 0 {
		t.Errorf("%v, %d lists of files", err, filelists(s))
	}
	s = newSite(t)
	s.docker("docker-ce 3:20.10.24-3.el7; requires /usr/libexec/x")
	s.os("", "x 1-1; files /usr/libexec/x=00")
	l, err := s.lock(t)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(packagesOf(l)); filelists(s) != 2 || !strings.Contains(got, "x-1-1 os for node: docker-ce needs /usr/libexec/x") {
		t.Errorf("%d lists of files, %s", filelists(s), got)
	}
}

func TestWhatCannotBeInstalledIsExplained(t *testing.T) {
	tools := `{"name":"kernel-tools","epoch":0,"version":"3.10.0","release":"1160.el7","arch":"x86_64"}`
	for _, c := range []struct {
		name             string
		docker, os, want string
	}{
		{"nobody has it", "docker-ce 3:20.10.24-3.el7; requires libcgroup", "x 1-1",
			`locking: choosing packages for hosts that are centos-7.9.2009: no set of packages fits:
  docker-ce = 3:20.10.24-3.el7 (x86_64) of docker is wanted by package set docker
    docker-ce-3:20.10.24-3.el7.x86_64 of docker needs libcgroup
      no package provides libcgroup: is a repository missing in the catalogue?`},
		{"only in conflict with the baseline", "docker-ce 3:20.10.24-3.el7; requires cpupower", "kernel-lt-tools 5.4.278-1.el7; provides cpupower; conflicts kernel-tools < 5.4",
			"kernel-lt-tools-5.4.278-1.el7.x86_64 of os conflicts with kernel-tools-3.10.0-1160.el7.x86_64 (installed) (kernel-tools < 5.4)"},
		{"another version", "docker-ce 3:20.10.17-3.el7", "x 1-1", "docker-ce-3:20.10.17-3.el7.x86_64 of docker does not fit: it is docker-ce = 3:20.10.17-3.el7"},
		{"files of one name", "docker-ce 3:20.10.24-3.el7; requires x; files /usr/bin/runc=01, /usr/bin", "x 1-1; files /usr/bin/runc=02, /usr/bin",
			"locking: checking packages together: rpm would refuse them, because they hold different files of one name: /usr/bin/runc is in docker-ce-3:20.10.24-3.el7.x86_64 and x-1-1.x86_64"},
		{"too new for rpm", "docker-ce 3:20.10.24-3.el7; requires rpmlib(PayloadIsZstd) <= 5.4.18-1", "x 1-1", "rpm 4.11 of CentOS 7 cannot install it, it lacks rpmlib(PayloadIsZstd): choose a build of it for el7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.docker(c.docker)
			s.os(tools, c.os)
			_, err := s.lock(t)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
			var packages *builder.PackagesError
			if errors.As(err, &packages) && (!builder.Refused(err) || !strings.Contains(fmt.Sprint(builder.Hints(err)), "./install baseline")) {
				t.Errorf("hints %q", builder.Hints(err))
			}
		})
	}
}

func TestDocker25IsRefusedWhoeverNamesIt(t *testing.T) {
	s := newSite(t)
	s.docker("docker-ce 3:26.1.4-1.el7")
	s.cat.PackageSets[0].Releases[0].Packages[0].EVR = ""
	_, err := s.lock(t)
	if want := "docker 26.1.4 does not work with Kubernetes v1.20"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestABuildAfterARepositoryChangedTakesWhatWasLockedOrNothing(t *testing.T) {
	s := newSite(t)
	l, err := s.lock(t)
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
	swapped := elRPM("docker-ce 3:20.10.24-3.el7") // signed by the right key, and not what was locked
	swapped.Payload = []byte("PAYLOAD")
	s.up.File(rpmPath, swapped.Bytes())
	_, err = s.materialise(t, l)
	if err == nil || !strings.Contains(err.Error(), "fetching rpm/docker-ce 3:20.10.24-3.el7 from "+s.up.URL+rpmPath+": wrong bytes: sha256 is ") {
		t.Errorf("got %v", err)
	}
}

func TestWhyFollowsTheReasons(t *testing.T) {
	s := newSite(t)
	s.docker("docker-ce 3:20.10.24-3.el7; requires container-selinux", "docker-ce-cli 1:20.10.24-3.el7")
	s.os(bashLine, "container-selinux 2:2.119-1.el7; requires policycoreutils-python", "policycoreutils-python 2.5-34.el7")
	l, err := s.lock(t)
	if err != nil {
		t.Fatal(err)
	}
	base, err := bundle.ParseBaseline(s.baseline)
	if err != nil {
		t.Fatal(err)
	}
	w, err := l.WhyFor("policycoreutils-python", base)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"policycoreutils-python is needed by container-selinux: policycoreutils-python", "container-selinux is needed by docker-ce: container-selinux", "docker-ce is wanted by package set docker"}
	if !slices.Equal(w.Chain, want) || w.Package != "policycoreutils-python-2.5-34.el7.x86_64" || w.Source != "os" {
		t.Errorf("got %+v\nwant %q", w, want)
	}
	if w, err := l.WhyFor("bash", base); err != nil || !w.Baseline {
		t.Errorf("of the baseline: %+v, %v", w, err)
	}
	if _, err := l.WhyFor("selinux", base); err == nil || err.Error() != `explaining package "selinux": it is neither in bundle.lock nor in the baseline; bundle.lock has container-selinux` {
		t.Errorf("got %v", err)
	}
}

func (s *site) now() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 999, time.UTC) }
