package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"offgrid/builder/upstreamtest"
	"offgrid/bundle"
	"offgrid/installer"
	"offgrid/installer/hosttest"
	"offgrid/installer/sitetest"
)

// programs is the directory with bundle and install, built as they are shipped.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "adversary")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", dir+"/", "offgrid/cmd/bundle", "offgrid/cmd/install")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return dir, fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
})

var key = sync.OnceValue(upstreamtest.NewKey)

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := programs(); dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// program runs one of ours, or one that a path names, and returns its exit code and what it said.
func program(t *testing.T, name string, args ...string) (int, string) {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+t.TempDir(), "NO_COLOR=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), string(out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, string(out)
}

// build makes a small site with plain packs and returns its directory.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	buildIn(t, dir, func(cluster string) string { return cluster + "security:\n  packs: plain\n" })
	return dir
}

// buildIn makes a small site in a directory, of a cluster file that change has changed.
func buildIn(t *testing.T, dir string, change func(cluster string) string, flags ...string) {
	t.Helper()
	tiny := upstreamtest.Tiny(upstreamtest.New(t), key())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"catalogue.yaml": tiny.Catalogue, "cluster.yaml": change(tiny.Cluster)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	programDir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"build", "-d", dir, "--catalogue", filepath.Join(dir, "catalogue.yaml"), "--installer", filepath.Join(programDir, "install")}
	if code, out := program(t, "bundle", append(args, flags...)...); code != 0 {
		t.Fatalf("bundle build: exit code %d\n%s", code, out)
	}
}

// do runs the adversary and returns the lines that it wrote.
func do[T any](t *testing.T, args ...string) (lines []T, found bool) {
	t.Helper()
	var out bytes.Buffer
	found, err := run(args, &out)
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(&out); dec.More(); {
		var line T
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines, found
}

func TestEveryDamageIsRefusedWithItsName(t *testing.T) {
	ours, theirs := theSealedSite(t).dir, build(t)
	install := filepath.Join(ours, "dist", "install") // it trusts our key, and nobody else's
	for _, role := range []string{"etcd", "node"} {
		bundle := filepath.Join("dist", role+".bundle")
		damaged, _ := do[wrong](t, "damage", filepath.Join(ours, bundle), t.TempDir(), filepath.Join(theirs, bundle))
		if len(damaged) < 300 {
			t.Errorf("%s: only %d kinds of damage", role, len(damaged))
		}
		said := verifyAll(t, damaged)
		for i, w := range damaged {
			if w.Part == "unsigned" {
				isNotTrusted(t, w, install, role)
				continue
			}
			faults := strings.Join(said[w.File], "\n")
			if !strings.Contains(faults, w.File) || w.Part == "content" && !strings.Contains(faults, w.Name) {
				t.Errorf("%s: bundle verify does not name %q and the file: %q", w.What, w.Name, faults)
			}
			if i%every() == 0 {
				endsAsDamaged(t, w, "bundle", "verify", w.File)
			}
			// A plan reads only what it needs; see TestADamagedBundleLeavesTheHostAsItWas for the rest.
			if i%every() == 1 && w.Part != "content" && w.Part != "padding" {
				endsAsDamaged(t, w, install, "plan", "--ip", "20.0.0.103", "--role", role, "--bundle", w.File)
			}
		}
	}
}

// every is of how many damaged copies one is handed to a process of its own: starting so many takes its time.
func every() int {
	if os.Getenv("OFFGRID_DAMAGE") == "all" {
		return 2
	}
	return 20
}

// verifyAll has all copies verified by one process and returns what it found in each.
func verifyAll(t *testing.T, damaged []wrong) map[string][]string {
	args := []string{"verify", "--json"}
	for _, w := range damaged {
		args = append(args, w.File)
	}
	code, out := program(t, "bundle", args...)
	if code != 4 {
		t.Errorf("bundle verify of %d damaged files ends with %d", len(damaged), code)
	}
	said := map[string][]string{}
	for line := range strings.Lines(out) {
		var results []struct {
			File   string
			Faults []string
		}
		if json.Unmarshal([]byte(line), &results) != nil {
			continue // progress, errors
		}
		for _, r := range results {
			said[r.File] = append(said[r.File], r.Faults...)
		}
	}
	return said
}

// isNotTrusted hands a bundle without its signature to the programs: it is whole, and nobody is to install it by mistake.
func isNotTrusted(t *testing.T, w wrong, install, role string) {
	t.Helper()
	if code, said := program(t, "bundle", "verify", w.File); code != 0 || !strings.Contains(said, "signed by nobody") {
		t.Errorf("%s: bundle verify ends with %d\n%s", w.What, code, said)
	}
	if code, said := program(t, install, "plan", "--ip", "20.0.0.103", "--role", role, "--bundle", w.File); code != 2 || !strings.Contains(said, "--allow-unsigned") {
		t.Errorf("%s: install plan ends with %d\n%s", w.What, code, said)
	}
}

// endsAsDamaged runs one of ours, which must refuse the copy. One that does not look like a bundle any more is refused as
// something else.
func endsAsDamaged(t *testing.T, w wrong, name string, args ...string) {
	t.Helper()
	code, said := program(t, name, args...)
	if code != 4 && (code != 2 || !strings.Contains(said, "not an offgrid bundle")) || !strings.Contains(said, w.File) {
		t.Errorf("%s: %s %s ends with %d\n%s", w.What, name, args[0], code, said)
	}
}

func TestADamagedBundleLeavesTheHostAsItWas(t *testing.T) {
	s, other := sitetest.New(t), sitetest.New(t)
	other.Bring(t, sitetest.Versions{Kube: "v1.20.16", Etcd: "v3.4.27", Serial: 1800000000})
	damaged, _ := do[wrong](t, "damage", s.Bundle(bundle.RoleEtcd), t.TempDir(), other.Bundle(bundle.RoleEtcd))
	host := s.Hosts["20.0.0.103"]
	before := host.Tree(t)
	for i, w := range damaged {
		if i%every() > every()/10 {
			continue
		}
		if err := install(t, s, w.File); err == nil {
			t.Errorf("%s: it was installed", w.What)
		} else if w.Part == "content" && !strings.Contains(err.Error(), w.Name) {
			t.Errorf("%s: the error does not name %q: %v", w.What, w.Name, err)
		}
		os.Remove(w.File)
	}
	if d := hosttest.Diff(before, host.Tree(t)); d != "" {
		t.Errorf("the host was changed:\n%s", d)
	}
	if err := install(t, s, s.Bundle(bundle.RoleEtcd)); err != nil {
		t.Errorf("the good bundle is not installed: %v", err)
	}
}

// install is ./install --role etcd --yes.
func install(t *testing.T, s *sitetest.Site, path string) error {
	session := s.Session("20.0.0.103")
	job, err := session.Prepare(t.Context(), installer.Request{Roles: []string{bundle.RoleEtcd}, IP: "20.0.0.103", Bundle: path})
	if err != nil {
		return err
	}
	defer job.Close()
	if _, refused := installer.Refused(job.Findings); refused {
		return fmt.Errorf("refused: %+v", job.Findings)
	}
	if faults := job.VerifyBundles(t.Context(), nil); len(faults) > 0 {
		return errors.Join(faults...)
	}
	_, err = session.Install(t.Context(), job)
	return err
}

// finding is a line of secrets: a hit, or the sum at the end.
type finding struct {
	hit
	Secrets, Files, Bytes, Found int
}

func TestPlainPacksShowTheirSecretsSoTheSearchCanFail(t *testing.T) {
	dir := build(t)
	lines, found := do[finding](t, "secrets", filepath.Join(dir, "pki"), filepath.Join(dir, "dist"))
	if !found {
		t.Fatalf("nothing was found in plain packs: %+v", lines)
	}
	var all []string
	for _, l := range lines {
		all = append(all, l.Secret)
	}
	for _, want := range []string{"tokenSecret", "encryptionKey", "etcd-peer", "private number 1", "line 3 of its text"} {
		if !slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("%q was not found; what was: %q", want, all)
		}
	}
}

func TestASecretIsFoundInEveryForm(t *testing.T) {
	const secret = "0123456789abcdef-this-is-secret"
	pki, dir := t.TempDir(), t.TempDir()
	for i := range 4 {
		write(t, filepath.Join(pki, fmt.Sprint("secret", i)), []byte(secret+fmt.Sprint(i)))
	}
	forms := forms(secret + "0")
	for name, content := range forms {
		sub := filepath.Join(dir, name)
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(sub, "file"), content)
		if _, found := do[finding](t, "secrets", pki, sub); !found {
			t.Errorf("%s: the secret was not found", name)
		}
	}
	write(t, filepath.Join(dir, "base64 after 0", "file"), []byte("nothing of interest, MDEyMzQ1Njc4OWFi"))
	if lines, found := do[finding](t, "secrets", pki, filepath.Join(dir, "base64 after 0")); found {
		t.Errorf("a secret was found where none is: %+v", lines)
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheAdversaryKnowsNothingOfOurCode(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(string(out)); len(got) != 1 || got[0] != "offgrid/lab/adversary" {
		t.Errorf("it is made of %q, want the standard library only", got)
	}
}
