package hostpack

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"offgrid/bundle"
	"offgrid/bundle/seal"
)

const quick = 2 // work factor

func pass(t *testing.T, text string) seal.Passphrase {
	t.Helper()
	p, err := seal.ParsePassphrase(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// hostKey makes the key pair of a host from a seed.
func hostKey(t *testing.T, seed byte) (*seal.HostKey, []byte) {
	t.Helper()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	public, err := seal.ParseHostKey(strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))))
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	return &public, pem.EncodeToMemory(block)
}

func TestASealedPackOpensInItsWaysOnlyAndShowsNothing(t *testing.T) {
	public, private := hostKey(t, 1)
	_, others := hostKey(t, 2)
	in, err := Seal(testPack(), Ways{Passphrase: pass(t, "the right words"), SSHHostKey: public, WorkFactor: quick})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range [][]byte{in.Pack, in.Passphrase, in.SSHHostKey} {
		if bytes.Contains(part, []byte("0123456789abcdef")) || bytes.Contains(part, []byte("master01")) {
			t.Errorf("it shows: %.80q", part)
		}
	}
	x, err := load(t, in)
	if err != nil {
		t.Fatal(err)
	}
	if !x.Sealed || x.WorkFactor != quick || x.HostKey != seal.HostKeyEd25519 || x.Memory() != 4096 {
		t.Errorf("%v, %d, %q, %d bytes", x.Sealed, x.WorkFactor, x.HostKey, x.Memory())
	}
	if p, err := x.OpenWithPassphrase(pass(t, "the right words")); err != nil || p.Token == nil || p.Token.Secret != "0123456789abcdef" {
		t.Errorf("with the passphrase: %v", err)
	}
	if p, err := x.OpenWithHostKey(private); err != nil || p.Host != "master01" {
		t.Errorf("with the SSH key: %v", err)
	}
	if _, err := x.OpenWithPassphrase(pass(t, "the wrong words")); !errors.Is(err, seal.ErrWrongKey) || !strings.Contains(err.Error(), "master01") {
		t.Errorf("with another passphrase: %v", err)
	}
	if _, err := x.OpenWithHostKey(others); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("with another SSH key: %v", err)
	}
	var unreadable *seal.HostKeyError
	if _, err := x.OpenWithHostKey([]byte("no key")); !errors.As(err, &unreadable) {
		t.Errorf("with no SSH key: %v", err)
	}
	if _, err := x.Open(); err == nil {
		t.Error("it opens with nothing")
	}
}

func TestAPackForThePassphraseAloneOpensWithNoSSHKey(t *testing.T) {
	in, err := Seal(testPack(), Ways{Passphrase: pass(t, "the right words"), WorkFactor: quick})
	if err != nil || in.SSHHostKey != nil {
		t.Fatalf("%q, %v", in.SSHHostKey, err)
	}
	x, err := load(t, in)
	if err != nil {
		t.Fatal(err)
	}
	_, private := hostKey(t, 1)
	if _, err := x.OpenWithHostKey(private); !errors.Is(err, seal.ErrWrongKey) || x.HostKey != "" {
		t.Errorf("type %q, error %v", x.HostKey, err)
	}
	public, _ := hostKey(t, 1)
	join := &Pack{Cluster: clusterID, Role: bundle.RoleNode, Host: bundle.JoinPack}
	if _, err := Seal(join, Ways{Passphrase: pass(t, "the right words"), SSHHostKey: public, WorkFactor: quick}); err == nil {
		t.Error("the pack for any host was sealed for one of them")
	}
}

// TestAPartThatWasWrittenWrongIsDamageWithItsName has right digests everywhere: only opening can tell.
func TestAPartThatWasWrittenWrongIsDamageWithItsName(t *testing.T) {
	public, private := hostKey(t, 1)
	words := pass(t, "the right words")
	seals := func() bundle.PackInput {
		in, err := Seal(testPack(), Ways{Passphrase: words, SSHHostKey: public, WorkFactor: quick})
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	in, other := seals(), seals()
	flip := func(data []byte, at int) []byte {
		data = bytes.Clone(data)
		data[at] ^= 1
		return data
	}
	key, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		in   bundle.PackInput
		want string // "" means that it is no damage: the key does not fit
	}{
		{"a cut pack", bundle.PackInput{Pack: in.Pack[:len(in.Pack)-1], Passphrase: in.Passphrase, SSHHostKey: in.SSHHostKey}, "host pack of master01 is damaged"},
		{"a flipped byte of the pack", bundle.PackInput{Pack: flip(in.Pack, len(in.Pack)-1), Passphrase: in.Passphrase, SSHHostKey: in.SSHHostKey}, "host pack of master01 is damaged"},
		{"an empty pack", bundle.PackInput{Pack: []byte{}, Passphrase: in.Passphrase, SSHHostKey: in.SSHHostKey}, "host pack of master01 is damaged"},
		{"the pack of another key", bundle.PackInput{Pack: other.Pack, Passphrase: in.Passphrase, SSHHostKey: in.SSHHostKey}, "host pack of master01 is damaged"},
		{"a cut key file", bundle.PackInput{Pack: in.Pack, Passphrase: in.Passphrase[:40], SSHHostKey: in.SSHHostKey}, "key for the passphrase is damaged"},
		{"an empty SSH file", bundle.PackInput{Pack: in.Pack, Passphrase: in.Passphrase, SSHHostKey: []byte{}}, "key for the SSH host key is damaged"},
		{"a passphrase's file in the place of the SSH key's", bundle.PackInput{Pack: in.Pack, Passphrase: in.Passphrase, SSHHostKey: other.Passphrase}, "key for the SSH host key is damaged"},
		{"a huge work factor", bundle.PackInput{Pack: in.Pack, Passphrase: bytes.Replace(in.Passphrase, []byte(" 2\n"), []byte(" 29\n"), 1), SSHHostKey: in.SSHHostKey}, "key for the passphrase is damaged"},
		{"a pack that anybody made", bundle.PackInput{Pack: mustEncrypt(t, key, "{}\n"), Passphrase: in.Passphrase, SSHHostKey: in.SSHHostKey}, "host pack of master01 is damaged"},
	} {
		t.Run(test.name, func(t *testing.T) {
			x, err := load(t, test.in)
			var with []error
			if err != nil {
				with = append(with, err)
			} else {
				_, byWords := x.OpenWithPassphrase(words)
				_, byKey := x.OpenWithHostKey(private)
				with = append(with, byWords, byKey)
			}
			for _, err := range with {
				var damage *bundle.DamageError
				if !errors.As(err, &damage) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want damage and %q in it", err, test.want)
				}
			}
		})
	}
}

func mustEncrypt(t *testing.T, key *seal.Key, text string) []byte {
	t.Helper()
	data, err := key.Encrypt([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestNoErrorOfOpeningShowsASecret(t *testing.T) {
	words := pass(t, "TOPSECRET words")
	key, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	file, err := key.ForPassphrase(words, quick)
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{
		"TOPSECRET", `"TOPSECRET"`, `{"format":TOPSECRET}`,
		`{"format":1,"cluster":"x","role":"master","host":"master01","ip":"TOPSECRE","files":[{"path":"/x","data":"TOPSECRET!"}]}` + "\n",
	} {
		x, err := load(t, bundle.PackInput{Pack: mustEncrypt(t, key, content), Passphrase: file})
		if err == nil {
			_, err = x.OpenWithPassphrase(words)
		}
		if err == nil || strings.Contains(err.Error(), "TOPSECRET") {
			t.Errorf("error %v", err)
		}
	}
	x, err := load(t, bundle.PackInput{Pack: mustEncrypt(t, key, "{}"), Passphrase: file})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.OpenWithPassphrase(pass(t, "TOPSECRET or not")); err == nil || strings.Contains(err.Error(), "TOPSECRET") {
		t.Errorf("error %v", err)
	}
}

// FuzzLoad opens what only looks like a sealed pack.
func FuzzLoad(f *testing.F) {
	key, err := seal.NewKey()
	if err != nil {
		f.Fatal(err)
	}
	pack, err := key.Encrypt([]byte("{}\n"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pack, []byte("age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 2\n"), []byte(""))
	f.Fuzz(func(t *testing.T, pack, passphrase, hostKey []byte) {
		if len(pack) > 1<<16 || len(passphrase) == 0 || len(passphrase) > bundle.MaxKeyFile || len(hostKey) > bundle.MaxKeyFile {
			return
		}
		x, err := load(t, bundle.PackInput{Pack: pack, Passphrase: passphrase, SSHHostKey: hostKey})
		if err == nil && x.WorkFactor <= quick {
			if _, err := x.OpenWithPassphrase(pass(t, "the right words")); err == nil {
				t.Error("it was opened")
			}
		}
	})
}
