package rpmrepo_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/dsa" //nolint:staticcheck // ELRepo's key is one
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ulikunitz/xz"

	"offgrid/builder/internal/fetch"
	"offgrid/builder/internal/rpmrepo"
	"offgrid/builder/internal/store"
	"offgrid/builder/upstreamtest"
	"offgrid/bundle"
)

// signer is a key pair with its key file.
type signer struct {
	private *packet.PrivateKey
	raw     any
	file    []byte
}

func newSigner(t testing.TB, kind string) *signer {
	t.Helper()
	born := time.Unix(1400000000, 0)
	s := &signer{}
	switch kind {
	case "rsa":
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		s.raw, s.private = k, packet.NewRSAPrivateKey(born, k)
	case "dsa":
		var k dsa.PrivateKey
		if err := dsa.GenerateParameters(&k.Parameters, rand.Reader, dsa.L1024N160); err != nil {
			t.Fatal(err)
		}
		if err := dsa.GenerateKey(&k, rand.Reader); err != nil {
			t.Fatal(err)
		}
		s.raw, s.private = &k, packet.NewDSAPrivateKey(born, &k)
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, "PGP PUBLIC KEY BLOCK", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.private.PublicKey.Serialize(w); err != nil {
		t.Fatal(err)
	}
	w.Close()
	s.file = b.Bytes()
	return s
}

func (s *signer) fingerprint() string { return fmt.Sprintf("%X", s.private.Fingerprint) }

func (s *signer) key(t testing.TB) *rpmrepo.Key {
	t.Helper()
	k, err := rpmrepo.ParseKey(s.file, s.fingerprint(), true)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// v4 signs with a version 4 packet and the given hash.
func (s *signer) v4(h crypto.Hash) func([]byte) []byte {
	return func(content []byte) []byte {
		sig := &packet.Signature{Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: s.private.PubKeyAlgo, Hash: h,
			CreationTime: time.Unix(1500000000, 0), IssuerKeyId: &s.private.KeyId}
		sum := h.New()
		sum.Write(content)
		if err := sig.Sign(sum, s.private, nil); err != nil {
			panic(err)
		}
		var b bytes.Buffer
		if err := sig.Serialize(&b); err != nil {
			panic(err)
		}
		return b.Bytes()
	}
}

// v3 signs as CentOS does: a version 3 packet, RSA and SHA-256, in the old packet form.
func (s *signer) v3(content []byte) []byte {
	when := binary.BigEndian.AppendUint32([]byte{0}, 1500000000)
	sum := sha256.Sum256(append(bytes.Clone(content), when...))
	sig, err := rsa.SignPKCS1v15(rand.Reader, s.raw.(*rsa.PrivateKey), crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	body := append([]byte{3, 5}, when...)
	body = binary.BigEndian.AppendUint64(body, s.private.KeyId)
	body = append(body, 1, 8, sum[0], sum[1])
	n := new(big.Int).SetBytes(sig)
	body = binary.BigEndian.AppendUint16(body, uint16(n.BitLen()))
	body = append(body, n.Bytes()...)
	return append(binary.BigEndian.AppendUint16([]byte{0x89}, uint16(len(body))), body...)
}

// v4SHA1 signs with DSA and SHA-1, which the library makes no more.
func (s *signer) v4SHA1(content []byte) []byte {
	hashed := binary.BigEndian.AppendUint32([]byte{5, 2}, 1500000000) // one subpacket: when
	body := append([]byte{4, 0, 17, 2, 0, byte(len(hashed))}, hashed...)
	sum := sha1.New()
	sum.Write(content)
	sum.Write(body)
	sum.Write([]byte{4, 0xff, 0, 0, 0, byte(len(body))})
	r, v, err := dsa.Sign(rand.Reader, s.raw.(*dsa.PrivateKey), sum.Sum(nil))
	if err != nil {
		panic(err)
	}
	body = append(body, 0, 0, 0, 0) // nothing unhashed; the 16 bits are a hint only
	for _, n := range []*big.Int{r, v} {
		body = binary.BigEndian.AppendUint16(body, uint16(n.BitLen()))
		body = append(body, n.Bytes()...)
	}
	return append(binary.BigEndian.AppendUint16([]byte{0x89}, uint16(len(body))), body...)
}

func (s *signer) armored(content []byte) []byte {
	var b bytes.Buffer
	w, err := armor.Encode(&b, "PGP SIGNATURE", nil)
	if err != nil {
		panic(err)
	}
	w.Write(s.v4(crypto.SHA256)(content))
	w.Close()
	return b.Bytes()
}

func dockerCE() upstreamtest.RPM {
	return upstreamtest.RPM{Name: "docker-ce", Epoch: 3, Version: "20.10.24", Release: "3.el7", Arch: "x86_64", Payload: []byte("payload of docker-ce")}
}

func listed(r upstreamtest.RPM) rpmrepo.Package {
	data := r.Bytes()
	return rpmrepo.Package{Name: r.Name, Epoch: r.Epoch, Version: r.Version, Release: r.Release, Arch: r.Arch,
		Path: "Packages/" + r.FileName(), SHA256: bundle.DigestOf(data), Size: int64(len(data))}
}

func check(t *testing.T, data []byte, p rpmrepo.Package, k *rpmrepo.Key) (string, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "p.rpm")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return rpmrepo.CheckPackage(t.Context(), f, p, k, true)
}

func TestEverySignatureThatVendorsUseIsUnderstood(t *testing.T) {
	r, d := newSigner(t, "rsa"), newSigner(t, "dsa")
	for _, c := range []struct {
		summary string
		by      *signer
		edit    func(*upstreamtest.RPM)
		covers  string
	}{
		{"CentOS 7: V3 RSA/SHA256, header and all", r, func(p *upstreamtest.RPM) {
			p.SignHeader, p.HeaderTag, p.SignAll, p.AllTag, p.NoPayloadDigest = r.v3, 268, r.v3, 1002, true
		}, "header and payload"},
		{"Docker: V4 RSA/SHA512, all", r, func(p *upstreamtest.RPM) {
			p.SignAll, p.AllTag, p.NoPayloadDigest = r.v4(crypto.SHA512), 1002, true
		}, "header and payload"},
		{"ELRepo: V4 DSA/SHA256, all", d, func(p *upstreamtest.RPM) {
			p.SignAll, p.AllTag, p.NoPayloadDigest = d.v4(crypto.SHA256), 1005, true
		}, "header and payload"},
		{"ELRepo before 2022: V4 DSA/SHA1, all", d, func(p *upstreamtest.RPM) {
			p.SignAll, p.AllTag, p.NoPayloadDigest = d.v4SHA1, 1005, true
		}, "header and payload"},
		{"today's rpm: V4 RSA/SHA256, header with payload digest", r, func(p *upstreamtest.RPM) {
			p.SignHeader, p.HeaderTag = r.v4(crypto.SHA256), 268
		}, "header and payload"},
		{"V4 DSA over the header alone", d, func(p *upstreamtest.RPM) {
			p.SignHeader, p.HeaderTag, p.NoPayloadDigest = d.v4(crypto.SHA256), 267, true
		}, "header"},
	} {
		p := dockerCE()
		c.edit(&p)
		covers, err := check(t, p.Bytes(), listed(p), c.by.key(t))
		if err != nil || covers != c.covers {
			t.Errorf("%s: covers %q, %v, want %q", c.summary, covers, err, c.covers)
		}
	}
}

func TestEveryFlippedByteOfASignedPackageIsFound(t *testing.T) {
	s := newSigner(t, "rsa")
	p := dockerCE()
	p.SignHeader, p.HeaderTag, p.SignAll, p.AllTag, p.NoPayloadDigest = s.v3, 268, s.v3, 1002, true
	data := p.Bytes()
	head := bytes.LastIndex(data, []byte{0x8e, 0xad, 0xe8, 0x01})
	for i := head; i < len(data); i++ {
		bad := bytes.Clone(data)
		bad[i] ^= 1
		if _, err := check(t, bad, listed(p), s.key(t)); err == nil {
			t.Errorf("byte %d of %d flipped: no error", i, len(data))
		}
	}
}

func TestAPackageThatAnotherKeySignedOrNoneIsRefused(t *testing.T) {
	s, other := newSigner(t, "rsa"), newSigner(t, "rsa")
	p := dockerCE()
	_, err := check(t, p.Bytes(), listed(p), s.key(t))
	if want := "package docker-ce-3:20.10.24-3.el7.x86_64: the package is not signed"; err == nil || err.Error() != want {
		t.Errorf("unsigned:\n got %v\nwant %s", err, want)
	}
	p.SignAll, p.AllTag = other.v4(crypto.SHA256), 1002
	_, err = check(t, p.Bytes(), listed(p), s.key(t))
	want := fmt.Sprintf("package docker-ce-3:20.10.24-3.el7.x86_64: its signature is not by %s: it is made by the key with ID %s", s.fingerprint(), other.fingerprint()[24:])
	if err == nil || err.Error() != want {
		t.Errorf("other key:\n got %v\nwant %s", err, want)
	}
	renamed := listed(p)
	renamed.Version = "20.10.25"
	_, err = check(t, p.Bytes(), renamed, nil)
	if want := `package docker-ce-3:20.10.25-3.el7.x86_64: the file says that it is "docker-ce-3:20.10.24-3.el7.x86_64"`; err == nil || err.Error() != want {
		t.Errorf("renamed:\n got %v\nwant %s", err, want)
	}
}

func TestAPayloadThatNobodySignsIsRefused(t *testing.T) {
	s := newSigner(t, "rsa")
	p := dockerCE()
	p.SignHeader, p.HeaderTag, p.NoPayloadDigest = s.v4(crypto.SHA256), 268, true
	name := filepath.Join(t.TempDir(), "p.rpm")
	if err := os.WriteFile(name, p.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := rpmrepo.CheckPackage(t.Context(), f, listed(p), s.key(t), false); !errors.Is(err, rpmrepo.ErrHeaderOnly) {
		t.Errorf("of a repository whose index is not signed: got %v", err)
	}
	if covers, err := rpmrepo.CheckPackage(t.Context(), f, listed(p), s.key(t), true); covers != "header" || err != nil {
		t.Errorf("of a repository whose index is signed: got %q, %v", covers, err)
	}
}

func TestAKeyFileMustHoldThePinnedKey(t *testing.T) {
	s, other := newSigner(t, "rsa"), newSigner(t, "dsa")
	_, err := rpmrepo.ParseKey(other.file, s.fingerprint(), false)
	if want := "the key file holds the key " + other.fingerprint() + ", want " + s.fingerprint(); err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	both := append(append(bytes.Clone(other.file), '\n'), s.file...)
	if k, err := rpmrepo.ParseKey(both, s.fingerprint(), false); err != nil || k.Fingerprint != s.fingerprint() {
		t.Errorf("second of two: %v", err)
	}
	if _, err := rpmrepo.ParseKey(other.file, other.fingerprint(), false); err == nil || !strings.Contains(err.Error(), "is weak") {
		t.Errorf("a DSA key: got %v", err)
	}
	if _, err := rpmrepo.ParseKey([]byte("<html>"), s.fingerprint(), false); err == nil {
		t.Error("a web page: want an error")
	}
}

func newClient(t *testing.T) *fetch.Client {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return fetch.New(fetch.Options{Store: s, Pause: func(int) time.Duration { return 0 }})
}

func toXZ(b []byte) []byte {
	var out bytes.Buffer
	w, err := xz.NewWriter(&out)
	if err != nil {
		panic(err)
	}
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func toZstd(b []byte) []byte {
	var out bytes.Buffer
	b = append(b, "<!-- "+strings.Repeat(" ", 8192)+" -->"...) // small content is not compressed
	if _, err := bundle.Encode(context.Background(), bytes.NewReader(b), &out, 1); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func TestEveryFormOfIndexIsRead(t *testing.T) {
	p := dockerCE()
	other := p
	other.Version = "20.10.17"
	for _, c := range []struct {
		suffix   string
		compress func([]byte) []byte
	}{
		{".gz", nil}, {".xz", toXZ}, {".zst", toZstd}, {"", func(b []byte) []byte { return b }},
	} {
		u := upstreamtest.New(t)
		base := u.Repo("/centos/7", upstreamtest.Repo{RPMs: []upstreamtest.RPM{other, p}, Compress: c.compress, Suffix: c.suffix})
		got, err := rpmrepo.Load(t.Context(), newClient(t), rpmrepo.Source{ID: "docker", BaseURL: base + "/", Arches: []string{"x86_64"}})
		if err != nil {
			t.Fatalf("%s: %v", c.suffix, err)
		}
		if want := listed(p); len(got.Packages) != 2 || !reflect.DeepEqual(got.Packages[1].Package, want) {
			t.Errorf("%s: got %+v\nwant %+v", c.suffix, got.Packages, want)
		}
		if want := "primary index of docker at " + base + "/repodata/repomd.xml"; got.Vouched != want {
			t.Errorf("vouched %q, want %q", got.Vouched, want)
		}
	}
}

func TestARepositorysFaultsAreNamed(t *testing.T) {
	s, other := newSigner(t, "rsa"), newSigner(t, "rsa")
	for _, c := range []struct {
		summary string
		edit    func(u *upstreamtest.Upstream, base string)
		sign    func([]byte) []byte
		signed  bool
		err     string
	}{
		{"signed and right", nil, s.armored, true, ""},
		{"no repository", func(u *upstreamtest.Upstream, _ string) { u.Remove("/r/repodata/repomd.xml") }, nil, false,
			"repository docker: fetching repomd.xml of docker from BASE/repodata/repomd.xml: the server answers 404 Not Found"},
		{"signature missing", nil, nil, true,
			"repository docker: fetching repomd.xml.asc of docker from BASE/repodata/repomd.xml.asc: the server answers 404 Not Found: its index is not signed; say signedMetadata: false in the catalogue and rely on the signatures of the packages, or use a mirror that has the signature"},
		{"signature by another", nil, other.armored, true,
			"repository docker: BASE/repodata/repomd.xml: signature by " + s.fingerprint() + ": it is made by the key with ID " + other.fingerprint()[24:]},
		{"signed index changed", func(u *upstreamtest.Upstream, _ string) {
			u.Break("/r/repodata/repomd.xml", upstreamtest.Fault{Flip: true})
		}, s.armored, true,
			"repository docker: BASE/repodata/repomd.xml: signature by " + s.fingerprint() + ": it does not fit the content"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			u := upstreamtest.New(t)
			base := u.Repo("/r", upstreamtest.Repo{RPMs: []upstreamtest.RPM{dockerCE()}, Sign: c.sign})
			if c.edit != nil {
				c.edit(u, base)
			}
			_, err := rpmrepo.Load(t.Context(), newClient(t), rpmrepo.Source{ID: "docker", BaseURL: base, Key: s.key(t), Signed: c.signed})
			want := strings.ReplaceAll(c.err, "BASE", base)
			if c.err == "" && err != nil || c.err != "" && (err == nil || err.Error() != want) {
				t.Errorf("error:\n got %v\nwant %s", err, want)
			}
		})
	}
}

func TestAnIndexThatChangedIsRefused(t *testing.T) {
	u := upstreamtest.New(t)
	base := u.Repo("/r", upstreamtest.Repo{RPMs: []upstreamtest.RPM{dockerCE()}})
	c := newClient(t)
	src := rpmrepo.Source{ID: "docker", BaseURL: base}
	if _, err := rpmrepo.Load(t.Context(), c, src); err != nil {
		t.Fatal(err)
	}
	primary := ""
	for _, r := range u.Requests("") {
		if strings.Contains(r.Path, "primary") {
			primary = r.Path
		}
	}
	u.Break(primary, upstreamtest.Fault{Flip: true})
	_, err := rpmrepo.Load(t.Context(), newClient(t), src)
	if prefix := "repository docker: fetching index of docker from " + u.URL + primary + ": wrong bytes: sha256 is "; err == nil || !strings.HasPrefix(err.Error(), prefix) {
		t.Errorf("got %v\nwant %s...", err, prefix)
	}
}

func TestHostileIndexesAreRefused(t *testing.T) {
	const sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	repomd := func(kind, href string) string {
		return `<repomd><data type="primary"><checksum type="` + kind + `">` + sum + `</checksum><location href="` + href + `"/></data></repomd>`
	}
	for in, want := range map[string]string{
		repomd("sha1", "repodata/p.xml.gz"):      `reading repomd.xml: primary: its checksum is "sha1", only sha256 is accepted`,
		repomd("sha256", "../../p.xml.gz"):       `reading repomd.xml: primary: its place "../../p.xml.gz" is not a plain path inside the repository`,
		repomd("sha256", "http://a.example/p"):   `reading repomd.xml: primary: its place "http://a.example/p" is not a plain path inside the repository`,
		repomd("sha256", "/p.xml.gz"):            `reading repomd.xml: primary: its place "/p.xml.gz" is not a plain path inside the repository`,
		"<repomd></repomd>":                      `reading repomd.xml: it names no primary index`,
		"<html></html>":                          `reading repomd.xml: expected element type <repomd> but have <html>`,
		repomd("sha256", "p.xml.gz") + "<more/>": `reading repomd.xml: there is more after its end`,
	} {
		if _, err := rpmrepo.ParseRepomd([]byte(in)); err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", in, err, want)
		}
	}
}

func FuzzParseRepomd(f *testing.F) {
	f.Add([]byte(`<repomd><data type="primary"><checksum type="sha256">x</checksum><location href="p"/></data></repomd>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		i, err := rpmrepo.ParseRepomd(data)
		for _, path := range []string{i.Primary.Path, i.Filelists.Path} {
			if err == nil && (i.Primary.Path == "" || strings.HasPrefix(path, "/") || strings.HasPrefix(path, "../")) {
				t.Errorf("path %q", path)
			}
		}
	})
}

func FuzzCheckPackage(f *testing.F) {
	s := newSigner(f, "rsa")
	k := s.key(f)
	p := dockerCE()
	p.SignAll, p.AllTag = s.v3, 1002
	f.Add(p.Bytes())
	p.SignAll, p.SignHeader, p.HeaderTag = nil, s.v4(crypto.SHA256), 268
	f.Add(p.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) { check(t, data, listed(dockerCE()), k) })
}
