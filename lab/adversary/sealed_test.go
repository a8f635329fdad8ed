package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// sealedSite is a site with sealed packs, built once for all tests: each pack costs a second and 256 MiB.
type sealedSite struct {
	dir        string
	passphrase string
	keys       map[string]string // host: path of its private SSH key; node02 has none in the cluster file
}

var (
	sealedOnce sync.Once
	sealed     sealedSite
)

const passphrase = "correct horse battery staple"

// theSealedSite needs ssh-keygen, which is with every ssh.
func theSealedSite(t *testing.T) sealedSite {
	t.Helper()
	need(t, "ssh-keygen")
	sealedOnce.Do(func() {
		programDir, err := programs()
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(programDir, "sealed") // it lives as long as the programs
		sealed = sealedSite{dir: dir, passphrase: filepath.Join(programDir, "passphrase"), keys: map[string]string{}}
		write(t, sealed.passphrase, []byte(passphrase+"\n"))
		hosts := func(cluster string) string { return cluster }
		for _, host := range []string{"master01", "node01", "node02"} {
			path := filepath.Join(programDir, host)
			if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path).CombinedOutput(); err != nil {
				t.Fatalf("ssh-keygen: %v: %s", err, out)
			}
			public, err := os.ReadFile(path + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			sealed.keys[host] = path
			before, line := hosts, fmt.Sprintf("{name: %s, sshHostKey: %q,", host, strings.TrimSpace(string(public)))
			if host != "node02" {
				hosts = func(cluster string) string { return strings.Replace(before(cluster), "{name: "+host+",", line, 1) }
			}
		}
		buildIn(t, dir, hosts, "--passphrase-file", sealed.passphrase)
	})
	if sealed.dir == "" {
		t.Fatal("the sealed site could not be built; see the test that tried")
	}
	return sealed
}

// need skips the test when a program of Debian's is missing; where judges are required that is a failure.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("OFFGRID_JUDGE") == "required" {
		t.Fatalf("%s is wanted: apt-get install it", program)
	}
	t.Skipf("%s is not installed", program)
}

func TestNoSecretIsInWhatIsCarried(t *testing.T) {
	s := theSealedSite(t)
	lines, found := do[finding](t, "secrets", filepath.Join(s.dir, "pki"), filepath.Join(s.dir, "dist"))
	if found {
		t.Errorf("secrets are in dist/: %+v", lines)
	}
	sum := lines[len(lines)-1]
	if sum.Secrets < 20 || sum.Files < 5 || sum.Bytes < 100_000 {
		t.Errorf("%d secrets were looked for in %d files and %d bytes: that is not all", sum.Secrets, sum.Files, sum.Bytes)
	}
	t.Logf("%d secrets, %d files, %d bytes with what was unpacked", sum.Secrets, sum.Files, sum.Bytes)
	data, err := os.ReadFile(s.passphrase)
	if err != nil {
		t.Fatal(err)
	}
	pki := t.TempDir()
	for i := range 4 { // the passphrase, and fillers: so few secrets are no site's
		write(t, filepath.Join(pki, fmt.Sprint(i)), append(bytes.TrimSpace(data), bytes.Repeat([]byte{'!'}, i)...))
	}
	for _, where := range []string{"dist", "pki"} {
		if lines, found := do[finding](t, "secrets", pki, filepath.Join(s.dir, where)); found {
			t.Errorf("the passphrase is in %s: %+v", where, lines)
		}
	}
}

// pack returns what a bundle holds for a host: the sealed pack, the key for the passphrase, the key for the SSH key.
func pack(t *testing.T, bundle, host string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	list, err := members(data)
	if err != nil {
		t.Fatal(err)
	}
	byDigest := map[string][]byte{}
	for _, m := range list {
		byDigest["sha256:"+strings.TrimPrefix(m.name, blobs)] = m.content()
	}
	var index document
	var parts [][]byte
	for _, m := range list {
		if m.name == "index.json" {
			if err := json.Unmarshal(m.content(), &index); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, d := range index.Manifests {
		if d.Annotations[refName] != "host-"+host {
			continue
		}
		var manifest document
		if err := json.Unmarshal(byDigest[d.Digest], &manifest); err != nil {
			t.Fatal(err)
		}
		for _, l := range manifest.Layers {
			parts = append(parts, byDigest[l.Digest])
		}
	}
	return parts
}

// age opens a file with a key file, as Debian's program does it.
func age(t *testing.T, data []byte, identity string) (string, error) {
	cmd := exec.CommandContext(t.Context(), "age", "-d", "-i", identity)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	return string(out), err
}

func TestAPackOpensWithItsKeysAndNoOther(t *testing.T) {
	s := theSealedSite(t)
	need(t, "age")
	fresh := map[string]string{} // host: file with the key of its pack
	for _, host := range []string{"master01", "node01", "node02"} {
		parts := pack(t, filepath.Join(s.dir, "dist", "etcd.bundle"), host)
		if host == "node02" {
			if len(parts) != 2 {
				t.Errorf("%s, whose SSH key nobody told: %d parts, want the pack and the key for the passphrase", host, len(parts))
			}
			continue
		}
		if len(parts) != 3 {
			t.Fatalf("%s: %d parts, want the pack and two keys", host, len(parts))
		}
		for other, key := range s.keys {
			text, err := age(t, parts[2], key)
			if (err == nil) != (other == host) {
				t.Errorf("the key of %s for the SSH key of %s: %v", host, other, err)
			}
			if err == nil {
				fresh[host] = filepath.Join(t.TempDir(), host)
				write(t, fresh[host], []byte(text))
			}
			for i, part := range parts[:2] {
				if _, err := age(t, part, key); err == nil {
					t.Errorf("part %d of %s opens with the SSH key of %s at once", i+1, host, other)
				}
			}
		}
	}
	for host := range fresh {
		parts := pack(t, filepath.Join(s.dir, "dist", "etcd.bundle"), host)
		for other, key := range fresh {
			text, err := age(t, parts[0], key)
			if (err == nil) != (other == host) {
				t.Errorf("the pack of %s with the key of %s: %v", host, other, err)
			}
			if err == nil && !strings.Contains(text, `"host":"`+host+`"`) {
				t.Errorf("what is in the pack of %s does not say so", host)
			}
		}
	}
}

// agePassphrase opens a file with a passphrase: age asks for it on a terminal only, and script gives it one.
func agePassphrase(t *testing.T, data []byte, words string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "in"), data)
	cmd := exec.CommandContext(t.Context(), "script", "-qec", "age -d -o out in", "/dev/null")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(words+"\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "out"))
	return string(text), err
}

func TestAPackOpensWithThePassphraseAndNoOther(t *testing.T) {
	s := theSealedSite(t)
	need(t, "age")
	need(t, "script")
	parts := pack(t, filepath.Join(s.dir, "dist", "node.bundle"), "node01")
	text, err := agePassphrase(t, parts[1], passphrase)
	if err != nil || !strings.HasPrefix(text, "AGE-SECRET-KEY-1") {
		t.Fatalf("the key for the passphrase: %v", err)
	}
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, []byte(text))
	if text, err := age(t, parts[0], path); err != nil || !strings.Contains(text, `"host":"node01"`) {
		t.Errorf("the pack with that key: %v", err)
	}
	if other := pack(t, filepath.Join(s.dir, "dist", "etcd.bundle"), "node01"); len(other) > 0 {
		if _, err := age(t, other[0], path); err == nil {
			t.Error("the pack of another role opens with that key")
		}
	}
	for _, wrong := range []string{passphrase + " ", strings.ToUpper(passphrase)} {
		if _, err := agePassphrase(t, parts[1], wrong); err == nil {
			t.Errorf("the key opens with %q", wrong)
		}
	}
}
