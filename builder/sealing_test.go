//go:build !windows

package builder_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"offgrid/builder"
	"offgrid/bundle"
	"offgrid/bundle/hostpack"
	"offgrid/bundle/seal"
)

const testWords = "the words of the site"

// given is what an operator types; "" nothing.
func given(text string) builder.Passphrases {
	return builder.Passphrases{WorkFactor: 2, Ask: func(context.Context, bool, func(seal.Passphrase) error) (seal.Passphrase, error) {
		if text == "" {
			return seal.Passphrase{}, nil
		}
		return seal.ParsePassphrase(text)
	}}
}

func siteWords() builder.Passphrases { return given(testWords) }

// openPack opens a host's pack with the words of the tests' sites.
func openPack(t *testing.T, b *bundle.Bundle, host string) (*hostpack.Pack, error) {
	t.Helper()
	return openWith(t, b, host, testWords)
}

func openWith(t *testing.T, b *bundle.Bundle, host, text string) (*hostpack.Pack, error) {
	t.Helper()
	x, err := hostpack.Load(t.Context(), b, host)
	if err != nil {
		return nil, err
	}
	p, err := seal.ParsePassphrase(text)
	if err != nil {
		t.Fatal(err)
	}
	return x.OpenWithPassphrase(p)
}

func (s *buildSite) buildWith(how builder.Passphrases) (*builder.BuildResult, error) {
	site, err := builder.OpenSite(s.opts)
	if err != nil {
		return nil, err
	}
	defer site.Close()
	return site.Build(context.Background(), builder.BuildOptions{Passphrases: how})
}

func mustBuild(t *testing.T, s *buildSite, how builder.Passphrases) *builder.BuildResult {
	t.Helper()
	r, err := s.buildWith(how)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAPassphraseIsMadeOnceAndShownBeforeAnythingIsSealedWithIt(t *testing.T) {
	s := newBuildSite(t)
	how := given("")
	made := ""
	how.Made = func(p seal.Passphrase) {
		made = p.Reveal()
		if _, err := os.Stat(filepath.Join(s.dir, "pki", "sealed", "passphrase.age")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("something was sealed before: %v", err)
		}
	}
	r := mustBuild(t, s, how)
	if strings.Count(made, "-") != 5 || r.Sealed == 0 || r.Packs != "sealed" {
		t.Fatalf("%q was made, result %+v", made, r)
	}
	if _, err := openWith(t, s.open(t, "node"), "node01", made); err != nil {
		t.Error(err)
	}
	before := s.dist(t)
	how.Made = func(p seal.Passphrase) { t.Errorf("another one was made: %q", p.Reveal()) }
	if err := os.RemoveAll(filepath.Join(s.dir, "dist")); err != nil {
		t.Fatal(err)
	}
	if r := mustBuild(t, s, how); r.Sealed != 0 {
		t.Errorf("%d packs were sealed again", r.Sealed)
	}
	for name, digest := range s.dist(t) {
		if before[name] != digest {
			t.Errorf("%s has other bytes than before", name)
		}
	}
	err := filepath.WalkDir(s.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if bytes.Contains(data, []byte(made)) {
			t.Errorf("%s holds the passphrase", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWhatHasChangedIsSealedWithTheSamePassphraseOnly(t *testing.T) {
	s := newBuildSite(t)
	first := mustBuild(t, s, siteWords())
	s.edit(t, "ip: 20.0.0.103", "ip: 20.0.0.103, sshHostKey: "+hostKeyLine(t, 7))
	var none *builder.NoPassphraseError
	if _, err := s.buildWith(given("")); !errors.As(err, &none) || none.Packs != 2 {
		t.Errorf("with none: %v, want it for the two packs of node01", err)
	}
	var wrong *builder.WrongPassphraseError
	if _, err := s.buildWith(given("other words than these")); !errors.As(err, &wrong) || strings.Contains(err.Error(), "other words") {
		t.Errorf("with another: %v", err)
	}
	if r := mustBuild(t, s, siteWords()); r.Sealed != 2 || first.Sealed <= 2 {
		t.Errorf("%d packs were sealed at first and %d now, want 2", first.Sealed, r.Sealed)
	}
	x, err := hostpack.Load(t.Context(), s.open(t, "node"), "node01")
	if err != nil || x.HostKey != seal.HostKeyEd25519 {
		t.Fatalf("key %q, %v", x.HostKey, err)
	}
	if _, err := x.OpenWithHostKey(privateKey(t, 7)); err != nil {
		t.Error(err)
	}
	if _, err := x.OpenWithHostKey(privateKey(t, 8)); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("another host's key: %v", err)
	}
}

func TestANewPassphraseSealsEverythingAnew(t *testing.T) {
	s := newBuildSite(t)
	first := mustBuild(t, s, siteWords())
	how := given("quite another passphrase")
	how.New = true
	if r := mustBuild(t, s, how); r.Sealed != first.Sealed {
		t.Errorf("%d of %d were sealed", r.Sealed, first.Sealed)
	}
	b := s.open(t, "node")
	if _, err := openPack(t, b, "node01"); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("the old one: %v", err)
	}
	if _, err := openWith(t, b, "node01", "quite another passphrase"); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, "pki", "sealed"))
	if err != nil || len(entries) != first.Sealed+1 {
		t.Errorf("%d entries are kept, want %d: %v", len(entries), first.Sealed+1, err)
	}
}

// TestNoSecretIsOutsideThePKI looks for every secret of pki/ in what a build writes, in the forms that a secret takes.
func TestNoSecretIsOutsideThePKI(t *testing.T) {
	s := newBuildSite(t)
	mustBuild(t, s, siteWords())
	var secrets [][]byte
	add := func(data []byte) {
		secrets = append(secrets, data, []byte(base64.StdEncoding.EncodeToString(data)), []byte(hex.EncodeToString(data)))
	}
	err := filepath.WalkDir(filepath.Join(s.dir, "pki"), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(name, "sealed") {
			return err
		}
		data, err := os.ReadFile(name)
		if block, _ := pem.Decode(data); block != nil && strings.Contains(block.Type, "PRIVATE") {
			add(block.Bytes)
			add(bytes.TrimSpace(data))
			add(bytes.Split(data, []byte("\n"))[2])
		}
		if filepath.Base(name) == "site.json" {
			for _, field := range []string{"tokenSecret", "encryptionKey"} {
				_, rest, _ := strings.Cut(string(data), `"`+field+`": "`)
				value, _, _ := strings.Cut(rest, `"`)
				add([]byte(value))
			}
		}
		return err
	})
	if err != nil || len(secrets) < 100 {
		t.Fatalf("%d forms, %v", len(secrets), err)
	}
	for _, dir := range []string{filepath.Join(s.dir, "dist"), filepath.Join(s.dir, "pki", "sealed"), s.opts.Store} {
		files := 0
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			files++
			data, err := os.ReadFile(name)
			for _, secret := range secrets {
				if bytes.Contains(data, secret) {
					t.Errorf("%s holds %.20q...", name, secret)
				}
			}
			return err
		})
		if err != nil || files == 0 {
			t.Errorf("%s: %d files, %v", dir, files, err)
		}
	}
}

func TestPlainPacksNeedTheSetting(t *testing.T) {
	s := newBuildSite(t)
	s.edit(t, "hosts:\n", "security: {packs: plain}\nhosts:\n")
	r := mustBuild(t, s, given(""))
	p, ok := s.open(t, "node").Pack("node01")
	if r.Packs != "plain" || r.Sealed != 0 || !ok || p.Sealed {
		t.Errorf("result %+v, pack %+v", r, p)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "pki", "sealed")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was sealed: %v", err)
	}
}

func TestALockedPKIIsNotBuiltFrom(t *testing.T) {
	s := newBuildSite(t)
	mustBuild(t, s, siteWords())
	p, err := seal.ParsePassphrase("of the pki alone")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := builder.LockPKI(s.opts, p, 2); err != nil || n == 0 || !builder.PKILocked(s.dir) {
		t.Fatalf("%d locked, %v", n, err)
	}
	if _, err := s.build(); !builder.Refused(err) || len(builder.Hints(err)) != 1 || !strings.Contains(builder.Hints(err)[0], "bundle pki unlock") {
		t.Errorf("build: %v", err)
	}
	if all, err := builder.Certificates(s.dir, s.opts.Now()); err != nil || len(all) == 0 {
		t.Errorf("%d certificates can be seen, %v", len(all), err)
	}
	if _, err := builder.UnlockPKI(s.opts, p); err != nil {
		t.Fatal(err)
	}
	if r := mustBuild(t, s, given("")); !r.Unchanged {
		t.Error("a build after it changes something")
	}
}

// privateKey is the SSH host key that a seed gives.
func privateKey(t *testing.T, seed byte) []byte {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)), "")
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

func hostKeyLine(t *testing.T, seed byte) string {
	t.Helper()
	signer, err := ssh.ParsePrivateKey(privateKey(t, seed))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}
