//go:build !windows

package builder_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"offgrid/builder"
	"offgrid/builder/upstreamtest"
	"offgrid/bundle"
)

// tinyKey is the key of every tiny upstream.
var tinyKey = sync.OnceValue(upstreamtest.NewKey)

// buildSite is a tiny site on disk.
type buildSite struct {
	dir  string
	opts builder.SiteOptions
	up   *upstreamtest.Upstream
}

func newBuildSite(t *testing.T) *buildSite {
	t.Helper()
	up := upstreamtest.New(t)
	tiny := upstreamtest.Tiny(up, tinyKey())
	dir := t.TempDir()
	s := &buildSite{dir: filepath.Join(dir, "site"), up: up}
	s.opts = builder.SiteOptions{
		Dir: s.dir, CatalogueName: "tiny", Catalogue: []byte(tiny.Catalogue), Store: filepath.Join(dir, "store"),
		Installer: filepath.Join(dir, "install"), Now: time.Now,
	}
	write(t, s.opts.Installer, string(tiny.Installer))
	if _, err := builder.InitSite(s.dir, []byte(tiny.Cluster)); err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *buildSite) build() (*builder.BuildResult, error) {
	site, err := builder.OpenSite(s.opts)
	if err != nil {
		return nil, err
	}
	defer site.Close()
	return site.Build(context.Background(), builder.BuildOptions{Passphrases: siteWords()})
}

// dist returns the files of dist/, the stamp included, with their digests.
func (s *buildSite) dist(t *testing.T) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.dir, "dist"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		d, err := builder.FileDigest(filepath.Join(s.dir, "dist", e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = d.Short()
	}
	return files
}

// firstDifference names the first member in which two bundles differ, and the bytes there.
func firstDifference(t *testing.T, a, b string) string {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	const block = 512
	member, end := "the first member", 0
	for at := 0; at < len(x) && at < len(y); at += block {
		was, is := x[at:min(at+block, len(x))], y[at:min(at+block, len(y))]
		if at == end && len(was) == block && bytes.HasPrefix(was[257:], []byte("ustar")) {
			name, _, _ := bytes.Cut(was[:100], []byte{0})
			size, err := strconv.ParseInt(string(was[124:135]), 8, 64)
			if err != nil {
				t.Fatal(err)
			}
			member, end = string(name), at+block+(int(size)+block-1)/block*block
		}
		if !bytes.Equal(was, is) {
			return fmt.Sprintf("%s, byte %d:\n%q\n%q", member, at, was, is)
		}
	}
	return "nowhere but in length"
}

// TestTheSameInputGivesTheSameBytes builds in other surroundings: the test runs itself with another working directory,
// time zone, umask and number of processors, and with a store of its own.
func TestTheSameInputGivesTheSameBytes(t *testing.T) {
	if again := os.Getenv("OFFGRID_TEST_BUILD"); again != "" {
		buildAgain(t, again)
		return
	}
	s := newBuildSite(t)
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	want := s.dist(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for i, env := range [][]string{
		{"TZ=Asia/Shanghai", "GOMAXPROCS=1", "LC_ALL=C", "UMASK=077"},
		{"TZ=America/Caracas", "GOMAXPROCS=7", "LC_ALL=de_DE.UTF-8", "UMASK=000"},
	} {
		first := filepath.Join(t.TempDir(), "first")
		if err := os.Rename(filepath.Join(s.dir, "dist"), first); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, "-test.run", "^TestTheSameInputGivesTheSameBytes$")
		cmd.Dir = t.TempDir()
		cmd.Env = append(append(os.Environ(), env...), "OFFGRID_TEST_BUILD="+s.dir, "OFFGRID_TEST_UPSTREAM="+string(s.opts.Catalogue),
			"OFFGRID_TEST_STORE="+filepath.Join(t.TempDir(), fmt.Sprint("store", i)), "OFFGRID_TEST_INSTALLER="+s.opts.Installer)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", env, err, out)
		}
		got := s.dist(t)
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("%v: %s differs at %s", env, name, firstDifference(t, filepath.Join(first, name), filepath.Join(s.dir, "dist", name)))
			}
		}
		if len(got) != len(want) {
			t.Errorf("%v: dist/ holds %v, want %v", env, got, want)
		}
	}
}

func buildAgain(t *testing.T, dir string) {
	var umask int
	if _, err := fmt.Sscanf(os.Getenv("UMASK"), "%o", &umask); err != nil {
		t.Fatal(err)
	}
	syscall.Umask(umask)
	s := &buildSite{dir: dir, opts: builder.SiteOptions{
		Dir: dir, CatalogueName: "another name", Catalogue: []byte(os.Getenv("OFFGRID_TEST_UPSTREAM")), Store: os.Getenv("OFFGRID_TEST_STORE"),
		Installer: os.Getenv("OFFGRID_TEST_INSTALLER"), Now: func() time.Time { return time.Now().Add(100 * time.Hour) }, Parallel: 1,
	}}
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dist", "pki"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: mode %v, %v; want 0700 whatever the umask", name, info.Mode().Perm(), err)
		}
	}
	for name, mode := range map[string]os.FileMode{"node.bundle": 0o600, "install": 0o700, "SHA256SUMS": 0o600} {
		info, err := os.Stat(filepath.Join(dir, "dist", name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: mode %v, %v; want %v whatever the umask", name, info.Mode().Perm(), err, mode)
		}
	}
}

func TestABuiltBundleOpensAndVerifies(t *testing.T) {
	s := newBuildSite(t)
	result, err := s.build()
	if err != nil {
		t.Fatal(err)
	}
	var roles []string
	for _, built := range result.Bundles {
		roles = append(roles, built.Role)
		b, err := bundle.Open(built.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if b.RootDigest != built.Root || b.Size != built.Size || b.Role.Role != built.Role {
			t.Errorf("%s: opened as %s, %d bytes, role %s; the build said %s, %d", built.Path, b.RootDigest.Short(), b.Size, b.Role.Role, built.Root.Short(), built.Size)
		}
		if faults := append(b.Verify(t.Context(), nil), b.VerifyContent(t.Context(), nil)...); len(faults) > 0 {
			t.Errorf("%s: %v", built.Path, faults)
		}
		if got, want := strings.Join(b.PackHosts(), " "), strings.Join(built.Hosts, " "); got != want {
			t.Errorf("%s: packs of %q, want %q", built.Path, got, want)
		}
		checkIndex(t, b)
	}
	if got := strings.Join(roles, " "); got != "etcd master node" {
		t.Errorf("roles %q, want etcd master node", got)
	}
}

// checkIndex insists that everything that a role index names is there: the parent of each file as well.
func checkIndex(t *testing.T, b *bundle.Bundle) {
	t.Helper()
	dirs := map[string]bool{}
	for _, d := range b.Role.Dirs {
		dirs[d.Path] = true
	}
	for _, f := range b.Role.Files {
		if _, ok := b.Artifact(f.Artifact); !ok {
			t.Errorf("role %s: %s comes from artifact %q, which is not there", b.Role.Role, f.Path, f.Artifact)
		}
		if parent := filepath.Dir(f.Path); strings.HasPrefix(parent, "/opt/") && !dirs[parent] {
			t.Errorf("role %s: %s stands in a directory that the role does not make", b.Role.Role, f.Path)
		}
	}
	if b.Role.Cluster.Serial == 0 || b.Role.Cluster.Lock.IsZero() || b.Role.Cluster.NotBefore.IsZero() {
		t.Errorf("role %s: serial, lock or floor is missing: %+v", b.Role.Role, b.Role.Cluster)
	}
}

// The node bundle is what is carried around most: it must be worth nothing to a thief of another host or of the cluster.
func TestANodeBundleHoldsNoCAKeyAndNoOtherHostsKey(t *testing.T) {
	s := newBuildSite(t)
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(filepath.Join(s.dir, "dist", "node.bundle"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	pack, err := openPack(t, b, "node01")
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(s.dir, "pki", "hosts", "node01")
	keys := 0
	err = filepath.WalkDir(filepath.Join(s.dir, "pki"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(data, []byte("PRIVATE KEY")) || strings.HasPrefix(path, own) {
			return err
		}
		keys++
		for _, f := range pack.Files {
			if bytes.Contains(f.Data, bytes.TrimSpace(data)) {
				t.Errorf("%s holds the key %s", f.Path, path)
			}
		}
		return nil
	})
	if err != nil || keys < 10 {
		t.Errorf("%d keys compared, %v; want all of the other hosts'", keys, err)
	}
	raw, err := os.ReadFile(b.Path)
	if err != nil || bytes.Count(raw, []byte("PRIVATE KEY")) > 0 {
		t.Errorf("a private key stands in the clear outside of the packs: %v", err)
	}
}

func TestAKilledBuildLeavesNothingThatLooksWhole(t *testing.T) {
	s := newBuildSite(t)
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	want := s.dist(t)
	// What a kill -9 in the middle leaves: a temporary file, and neither sums nor stamp.
	write(t, filepath.Join(s.dir, "dist", ".node.bundle.new-123"), "half a bundle")
	write(t, filepath.Join(s.dir, ".bundle.lock.new-123"), "half a lock")
	for _, name := range []string{"SHA256SUMS", ".stamp", "node.bundle"} {
		if err := os.Remove(filepath.Join(s.dir, "dist", name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	got := s.dist(t)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("dist/ holds %v, want %v", got, want)
	}
	if _, err := os.Stat(filepath.Join(s.dir, ".bundle.lock.new-123")); err == nil {
		t.Error("half a lock is still there")
	}
}

func TestAFailedBuildTakesAwayTheSums(t *testing.T) {
	s := newBuildSite(t)
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	dist := filepath.Join(s.dir, "dist")
	if err := os.Remove(filepath.Join(dist, "node.bundle")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dist, "node.bundle"), 0o700); err != nil { // cannot be replaced by a file
		t.Fatal(err)
	}
	if _, err := s.build(); err == nil || !strings.Contains(err.Error(), filepath.Join("dist", "node.bundle")) {
		t.Errorf("got %v, want an error that names dist/node.bundle", err)
	}
	if _, err := os.Stat(filepath.Join(dist, "SHA256SUMS")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("SHA256SUMS is there after a failed build: %v", err)
	}
}

func TestTheBundleOfARoleThatIsNoMoreGoesAway(t *testing.T) {
	s := newBuildSite(t)
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "cluster.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.dir, "cluster.yaml"), strings.Replace(string(text), "[node, etcd]", "[etcd]", 1))
	write(t, filepath.Join(s.dir, "dist", "notes.txt"), "mine")
	if err := os.Remove(filepath.Join(s.dir, "bundle.lock")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	got := s.dist(t)
	if got["node.bundle"] != "" || got["etcd.bundle"] == "" || got["notes.txt"] == "" {
		t.Errorf("dist/ holds %v; want no node.bundle, and the user's own file", got)
	}
}

func TestADamagedCopyInTheStoreIsThrownAwayAndNamed(t *testing.T) {
	s := newBuildSite(t)
	if _, err := s.build(); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(filepath.Join(s.dir, "dist", "node.bundle"))
	if err != nil {
		t.Fatal(err)
	}
	art, _ := b.Artifact("kubelet")
	b.Close()
	hex := art.Blob.Stored.Hex()
	path := filepath.Join(s.opts.Store, "blobs", "sha256", hex[:2], hex)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[0] ^= 1
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, path, string(data))
	if err := os.RemoveAll(filepath.Join(s.dir, "dist")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.build(); err == nil || !strings.Contains(err.Error(), "kubelet") {
		t.Errorf("got %v, want an error that names kubelet", err)
	}
	if _, err := s.build(); err != nil {
		t.Errorf("the next build: %v", err)
	}
}

func TestAFullDiskIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.bundle")
	err := builder.WriteFile(path, 0o600, func(w io.Writer) error {
		return &os.PathError{Op: "write", Path: path + ".new", Err: syscall.ENOSPC}
	})
	if !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(err.Error(), fmt.Sprintf("writing %q: ", path)) {
		t.Errorf("got %v", err)
	}
	left, _ := os.ReadDir(filepath.Dir(path))
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTheInstallerMustFitTheHosts(t *testing.T) {
	s := newBuildSite(t)
	good, err := os.ReadFile(s.opts.Installer)
	if err != nil {
		t.Fatal(err)
	}
	arm := bytes.Clone(good)
	arm[18] = 183
	for content, want := range map[string]string{
		"#!/bin/sh\n": "not a Linux program",
		string(arm):   "built for AARCH64, the hosts are amd64",
	} {
		write(t, s.opts.Installer, content)
		_, err := s.build()
		var bad *builder.InstallerError
		if !errors.As(err, &bad) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestTwoCommandsOnOneSiteAreRefused(t *testing.T) {
	s := newBuildSite(t)
	first, err := builder.OpenSite(s.opts)
	if err != nil {
		t.Fatal(err)
	}
	var busy *builder.BusyError
	if _, err := builder.OpenSite(s.opts); !errors.As(err, &busy) {
		t.Errorf("second: %v, want *BusyError", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := builder.OpenSite(s.opts)
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	again.Close()
}
