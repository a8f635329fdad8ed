package sitetest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"offgrid/bundle"
	"offgrid/bundle/hostpack"
	"offgrid/bundle/seal"
	"offgrid/installer"
)

// Words is the passphrase of the site's host packs.
const Words = "abandon-ability-able-about-above-absent"

// workFactor makes scrypt cheap.
const workFactor = 1

// keyed are the hosts whose packs open with their SSH keys, too.
func keyed(name string) bool { return name == "node02" || name == "lb02" }

// seal seals a pack once: the same pack has the same bytes in every bundle of the site, as a build sees to.
func (s *Site) seal(t testing.TB, p *hostpack.Pack) bundle.PackInput {
	t.Helper()
	plain, err := hostpack.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if in, ok := s.sealed[string(plain)]; ok {
		return in
	}
	words, err := seal.ParsePassphrase(Words)
	if err != nil {
		t.Fatal(err)
	}
	ways := hostpack.Ways{Passphrase: words, WorkFactor: workFactor}
	if keyed(p.Host) {
		key, err := seal.ParseHostKey(HostKey(t, p.Host))
		if err != nil {
			t.Fatal(err)
		}
		ways.SSHHostKey = &key
	}
	in, err := hostpack.Seal(p, ways)
	if err != nil {
		t.Fatal(err)
	}
	s.sealed[string(plain)] = in
	return in
}

// hostKey is the private SSH key of a host.
func hostKey(name string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(name + strings.Repeat("-", ed25519.SeedSize))[:ed25519.SeedSize])
}

// HostKey is the public SSH key of a host, as cluster.yaml has it.
func HostKey(t testing.TB, name string) string {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(hostKey(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// privateHostKey is the private SSH key of a host in a form that sshd reads, always the same text.
func privateHostKey(t testing.TB, name string) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(hostKey(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// Passphrase is an operator who knows the passphrase.
func Passphrase(context.Context, installer.Asked) (seal.Passphrase, error) {
	return seal.ParsePassphrase(Words)
}
