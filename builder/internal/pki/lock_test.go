package pki

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"offgrid/bundle/seal"
)

const quick = 2 // work factor

func words(t *testing.T, text string) seal.Passphrase {
	t.Helper()
	p, err := seal.ParsePassphrase(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func diff(a, b map[string]string) string {
	var out []string
	for name, text := range a {
		if b[name] != text {
			out = append(out, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			out = append(out, "+"+name)
		}
	}
	return strings.Join(out, " ")
}

func TestALockedDirectoryShowsNoPrivateKeyAndComesBackAsItWas(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	mustEnsure(t, dir, table)
	if _, err := renewAt(t, dir, table, now(), func(r *RenewRequest) { r.Hosts = []string{"node01"} }); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	n, err := Lock(dir, words(t, "the right words"), quick, now())
	if err != nil || n == 0 {
		t.Fatalf("%d files, %v", n, err)
	}
	certificates := 0
	for name, text := range tree(t, dir) {
		if strings.Contains(text, "PRIVATE") || strings.HasSuffix(name, siteFile) {
			t.Errorf("%s can still be read", name)
		}
		if strings.Contains(text, "BEGIN CERTIFICATE") {
			certificates++
		}
	}
	if certificates == 0 {
		t.Error("no certificate is left to show")
	}
	var locked *LockedError
	if _, err := ensure(t, dir, table, now()); !errors.As(err, &locked) {
		t.Errorf("Ensure: %v", err)
	}
	if _, err := renewAt(t, dir, table, now(), nil); !errors.As(err, &locked) {
		t.Errorf("Renew: %v", err)
	}
	var refused *LockError
	for _, text := range []string{"the wrong words"} {
		if _, err := Unlock(dir, words(t, text)); !errors.As(err, &refused) || strings.Contains(err.Error(), text) {
			t.Errorf("Unlock: %v", err)
		}
		if _, err := Lock(dir, words(t, text), quick, now()); !errors.As(err, &refused) {
			t.Errorf("Lock: %v", err)
		}
	}
	if _, err := Unlock(dir, words(t, "the right words")); err != nil {
		t.Fatal(err)
	}
	if d := diff(before, tree(t, dir)); d != "" {
		t.Errorf("other files than before: %s", d)
	}
	if _, err := Unlock(dir, words(t, "the right words")); !errors.As(err, &refused) {
		t.Errorf("Unlock again: %v", err)
	}
	if set := mustEnsure(t, dir, table); len(set.Made) > 0 {
		t.Errorf("something was made anew: %q", set.Made)
	}
}

// TestALockThatWasCutOffLosesNothing has the states in between: the locked file is there, and some keys are too.
func TestALockThatWasCutOffLosesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	mustEnsure(t, dir, table)
	before := tree(t, dir)
	p := words(t, "the right words")
	files, err := privateFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		work func() error
	}{
		{"unlock", func() error { _, err := Unlock(dir, p); return err }},
		{"lock", func() error { _, err := Lock(dir, p, quick, now()); return err }},
	} {
		if err := writeLocked(dir, files, p, quick); err != nil {
			t.Fatal(err)
		}
		for _, name := range files[:len(files)/2] {
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		var locked *LockedError
		if _, err := ensure(t, dir, table, now()); !errors.As(err, &locked) {
			t.Errorf("%s: Ensure before it: %v", step.name, err)
		}
		if err := step.work(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if step.name == "lock" {
			if left, err := privateFiles(dir); err != nil || len(left) > 0 {
				t.Errorf("still there: %q, %v", left, err)
			}
			if _, err := Unlock(dir, p); err != nil {
				t.Fatal(err)
			}
		}
		if d := diff(before, tree(t, dir)); d != "" {
			t.Errorf("%s: other files than before: %s", step.name, d)
		}
	}
}

func TestADamagedLockedFileLeavesEverythingAsItIs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	mustEnsure(t, dir, table)
	p := words(t, "the right words")
	if _, err := Lock(dir, p, quick, now()); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, lockedFile)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-100] ^= 1
	for what, data := range map[string][]byte{"cut": whole[:len(whole)-1], "flipped at its end": flipped, "empty": {}, "half": whole[:len(whole)/2]} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		before := tree(t, dir)
		if _, err := Unlock(dir, p); err == nil {
			t.Errorf("%s: no error", what)
		}
		if d := diff(before, tree(t, dir)); d != "" {
			t.Errorf("%s: it was changed: %s", what, d)
		}
	}
}

func TestAFileIsPublicOnlyWhenNothingElseIsInIt(t *testing.T) {
	const cert, pub = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
	const key = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"
	for text, want := range map[string]bool{cert: true, pub: true, cert + cert: true, key: false, cert + key: false, "": false, "secret\n" + cert: false, cert + "secret": false, "{}": false} {
		if got := isPublic([]byte(text)); got != want {
			t.Errorf("%.40q: %v", text, got)
		}
	}
}
