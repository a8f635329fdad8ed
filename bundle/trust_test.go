package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"offgrid/bundle/signature"
)

func newKey(t testing.TB) signature.SecretKey {
	t.Helper()
	k, err := signature.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// signed writes the sample signed with the key.
func (s *sample) signed(t testing.TB, k signature.SecretKey) []byte {
	t.Helper()
	s.in.Sign = k.Sign
	defer func() { s.in.Sign = nil }()
	return s.write(t)
}

func trusting(keys ...signature.SecretKey) *Trust {
	t := &Trust{}
	for _, k := range keys {
		t.Keys = append(t.Keys, k.Public())
	}
	return t
}

func TestASignedBundleOpensForThoseWhoTrustItsKey(t *testing.T) {
	k, other := newKey(t), newKey(t)
	data := newSample(t).signed(t, k)
	b, err := openWith(data, trusting(other, k))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.Signer == nil || *b.Signer != k.Public() || b.SignerID != k.Public().ID() || !b.VerifySignature(k.Public()) || b.VerifySignature(other.Public()) {
		t.Errorf("signed by %v, ID %s", b.Signer, b.SignerID)
	}
	want := "offgrid bundle cluster=0123456789abcdef0123456789abcdef role=node serial=1700000000"
	if b.Signature.Comment != want {
		t.Errorf("trusted comment %q, want %q", b.Signature.Comment, want)
	}
	nobody := mustOpen(t, data) // where nobody is asked
	if nobody.Signer != nil || nobody.SignerID != k.Public().ID() {
		t.Errorf("signed by %v, ID %s", nobody.Signer, nobody.SignerID)
	}
	renewal := newSample(t)
	renewal.in.Renewal = true
	r, err := openWith(renewal.signed(t, k), trusting(k))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if !bytes.Equal(r.Signature.Bytes(), b.Signature.Bytes()) {
		t.Error("the renewal of the same root has another signature")
	}
}

// badSite is another site's bundle: one byte of its cluster's name is different.
func badSite(t testing.TB) *sample {
	t.Helper()
	s := newSample(t)
	s.in.Role.Cluster.Name = "dem0"
	return s
}

func TestWhoIsNotTrustedIsNotParsed(t *testing.T) {
	k, other := newKey(t), newKey(t)
	unsigned, signed := newSample(t).write(t), newSample(t).signed(t, k)
	for _, test := range []struct {
		name  string
		data  []byte
		trust *Trust
		want  string
	}{
		{"unsigned", unsigned, trusting(k), "it is not signed; the fingerprint"},
		{"unknown key", signed, trusting(other), "it is signed by the key " + k.Public().ID() + ", which this program does not trust"},
		{"nobody is trusted", signed, trusting(), "it is signed by the key " + k.Public().ID() + ", and this program trusts no key"},
		{"unsigned and nobody is trusted", unsigned, trusting(), "it is not signed, and this program trusts no key"},
		// What is not trusted is not parsed: a root that is no root is refused in the same words.
		{"an unsigned root of rubbish", withRoot(t, []byte("rubbish\n")), trusting(k), "it is not signed"},
	} {
		_, err := openWith(test.data, test.trust)
		var untrusted *UntrustedError
		if !errors.As(err, &untrusted) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), untrusted.Root.Fingerprint()) {
			t.Errorf("%s: %v", test.name, err)
		}
		test.trust.Unsigned = true
		b, err := openWith(test.data, test.trust)
		if err == nil && b.Signer != nil {
			t.Errorf("%s, let in: it has a trusted signer", test.name)
		}
		if (err == nil) == strings.Contains(test.name, "rubbish") {
			t.Errorf("%s, let in: %v", test.name, err)
		}
	}
}

// withRoot is a file whose third member is the text, under an index.json that is of our format.
func withRoot(t testing.TB, root []byte) []byte {
	t.Helper()
	idx, err := MarshalCanonical(topIndex(descriptorOf(MediaTypeIndex, root), &Index{}, false))
	if err != nil {
		t.Fatal(err)
	}
	blob := func(content string) []byte { return rawMember(blobPath(DigestOf([]byte(content))), content) }
	return slices.Concat(rawMember(layoutName, ociLayout), rawMember(indexName, string(idx)), blob(string(root)), blob("a"), blob("b"), make([]byte, tarEnd))
}

func TestEveryFlippedByteOfASignedBundleIsDamage(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(2000))
	k := newKey(t)
	data := newSample(t).signed(t, k)
	step := 7
	if raceEnabled {
		step = 211
	}
	// From the signature's header to the role manifest's every byte is looked at, elsewhere one of a few.
	first, last := bytes.Index(data, []byte(signatureDir)), bytes.Index(data, []byte(blobDir))+2*tarBlock
	var places []int
	for i := range data {
		if i%step == 0 || i >= first && i < last && !raceEnabled {
			places = append(places, i)
		}
	}
	each(len(places), func(n int) {
		i := places[n]
		damaged := bytes.Clone(data)
		damaged[i] ^= 1 << (i % 8)
		var faults []error
		b, err := openWith(damaged, trusting(k))
		if err != nil {
			faults = []error{err}
		} else {
			faults = b.Verify(t.Context(), nil)
			b.Close()
		}
		if problem := flipProblem(faults, int64(i)); problem != "" {
			t.Errorf("byte %d: %s", i, problem)
		}
	})
}

func TestSignaturesThatDoNotBelongAreRefused(t *testing.T) {
	k, other := newKey(t), newKey(t)
	all := members(t, newSample(t).signed(t, k))
	foreign, foreignKey := members(t, badSite(t).signed(t, k)), members(t, newSample(t).signed(t, other))
	rootName := strings.TrimRight(string(all[2][:100]), "\x00")
	renamed := func(m []byte) []byte { // the signature of another root, under the name of this one
		_, size, err := parseTarHeader(m[:tarBlock])
		if err != nil {
			t.Fatal(err)
		}
		return rawMember(rootName, string(m[tarBlock:tarBlock+size]))
	}
	tests := []struct {
		name string
		make func(m [][]byte) [][]byte
		want string
	}{
		{"another site's signature beside", func(m [][]byte) [][]byte {
			pair := [][]byte{m[2], foreign[2]}
			slices.SortFunc(pair, func(a, b []byte) int { return bytes.Compare(a[:100], b[:100]) })
			return slices.Concat(m[:2], pair, m[3:])
		}, "signature is damaged"},
		{"another site's signature instead", func(m [][]byte) [][]byte { m[2] = foreign[2]; return m }, "not signed"},
		{"another site's signature renamed", func(m [][]byte) [][]byte { m[2] = renamed(foreign[2]); return m }, "it is not what the key"},
		{"an unknown key's signature", func(m [][]byte) [][]byte { m[2] = foreignKey[2]; return m }, "which this program does not trust"},
		{"another site's root and blobs under this signature", func(m [][]byte) [][]byte {
			f := slices.Clone(foreign)
			f[2] = m[2]
			return f
		}, "not signed"},
		{"another site's root and blobs under this signature, renamed", func(m [][]byte) [][]byte {
			f := slices.Clone(foreign)
			_, size, _ := parseTarHeader(m[2][:tarBlock])
			f[2] = rawMember(strings.TrimRight(string(foreign[2][:100]), "\x00"), string(m[2][tarBlock:tarBlock+size]))
			return f
		}, "it is not what the key"},
		{"after the root", func(m [][]byte) [][]byte { m[2], m[3] = m[3], m[2]; return m }, "comes after blobs"},
		{"at the end", func(m [][]byte) [][]byte { return append(slices.Delete(m, 2, 3), all[2]) }, "comes after blobs"},
		{"twice", func(m [][]byte) [][]byte { return slices.Insert(m, 2, m[2]) }, "out of order"},
		{"before index.json", func(m [][]byte) [][]byte { m[1], m[2] = m[2], m[1]; return m }, "second member"},
		{"too long", func(m [][]byte) [][]byte {
			m[2] = rawMember(rootName, strings.Repeat("x", signature.MaxSize+1))
			return m
		}, "the limit is"},
		{"empty", func(m [][]byte) [][]byte { m[2] = rawMember(rootName, ""); return m }, "not a minisign signature"},
		{"upper-case name", func(m [][]byte) [][]byte {
			m[2] = rawMember(signatureDir+strings.Repeat("A", 64)+signatureSuffix, "x")
			return m
		}, "is not a blob"},
		{"another suffix", func(m [][]byte) [][]byte {
			m[2] = rawMember(strings.TrimSuffix(rootName, "sig"), "x")
			return m
		}, "is not a blob"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			made := append(bytes.Join(test.make(slices.Clone(all)), nil), make([]byte, tarEnd)...)
			if b, err := openWith(made, trusting(k)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
				if err == nil {
					b.Close()
				}
			}
		})
	}
}

func TestManySignaturesAreRefused(t *testing.T) {
	k := newKey(t)
	all := members(t, newSample(t).signed(t, k))
	var names []string
	for i := range MaxSignatures + 1 {
		names = append(names, signaturePath(DigestOf([]byte{byte(i)})))
	}
	slices.Sort(names)
	var many [][]byte
	for _, name := range names {
		many = append(many, rawMember(name, "x"))
	}
	made := append(bytes.Join(slices.Concat(all[:2], many, all[3:]), nil), make([]byte, tarEnd)...)
	if _, err := openWith(made, trusting(k)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("more than %d signatures", MaxSignatures)) {
		t.Errorf("%v", err)
	}
}

func TestASignatureWithAnotherCommentIsRefused(t *testing.T) {
	k := newKey(t)
	s := newSample(t)
	s.in.Sign = func(root []byte, _ string) ([]byte, error) { return k.Sign(root, "serial=2") }
	if _, err := Write(t.Context(), new(bytes.Buffer), s.in); err == nil || !strings.Contains(err.Error(), "not one of the root") {
		t.Errorf("Write: %v", err)
	}
	data := rebuild(t, func(p *pieces) {
		text, err := k.Sign(p.data[p.root], "serial=2")
		if err != nil {
			t.Fatal(err)
		}
		p.sig = text
	})
	var damage *DamageError
	if _, err := openWith(data, trusting(k)); !errors.As(err, &damage) || damage.Artifact != signatureName {
		t.Errorf("Open: %v", err)
	}
}

func TestASignatureIsCarriedAndLookedAtAgain(t *testing.T) {
	k := newKey(t)
	dir := &dirTarget{dir: t.TempDir()}
	b := mustOpen(t, newSample(t).signed(t, k))
	if err := b.Carry(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if n := len(dir.put); dir.put[n-1] != indexName || dir.put[n-2] != signaturePath(b.RootDigest) {
		t.Errorf("carried last: %q", dir.put[n-3:])
	}
	carried, err := openDir(dir.dir, trusting(k))
	if err != nil {
		t.Fatal(err)
	}
	defer carried.Close()
	if carried.Signer == nil || *carried.Signer != k.Public() {
		t.Errorf("signer %v", carried.Signer)
	}
	name := filepath.Join(dir.dir, signaturePath(b.RootDigest))
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
	var damage *DamageError
	if _, err := openDir(dir.dir, trusting(k)); !errors.As(err, &damage) || damage.Where != signaturePath(b.RootDigest) {
		t.Errorf("changed: %v", err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	var untrusted *UntrustedError
	if _, err := openDir(dir.dir, trusting(k)); !errors.As(err, &untrusted) {
		t.Errorf("removed: %v", err)
	}
}

func openDir(dir string, trust *Trust) (*Bundle, error) {
	all, err := OpenWith(dir, Options{Trust: trust})
	if err != nil {
		return nil, err
	}
	return TheRole(dir, all, "")
}

// TestTheRolesOfASiteFileAreSignedEachByItself: one of them without a signature is not let in.
func TestTheRolesOfASiteFileAreSignedEachByItself(t *testing.T) {
	k := newKey(t)
	roles := siteSample(t)
	for i := range roles {
		roles[i].Sign = k.Sign
	}
	open := func(data []byte, trust *Trust) ([]*Bundle, error) {
		return openArchive("site.bundle", bytes.NewReader(data), Appended{Size: int64(len(data))}, nil, Options{Trust: trust})
	}
	all, err := open(writeSite(t, roles), trusting(k))
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range all {
		var own bytes.Buffer
		if _, err := Write(t.Context(), &own, roles[i]); err != nil {
			t.Fatal(err)
		}
		if b.Signer == nil || *b.Signer != k.Public() || b.Size != int64(own.Len()) {
			t.Errorf("%s: signed by %v, %d bytes, its own file has %d", b.Role.Role, b.Signer, b.Size, own.Len())
		}
		b.Close()
	}
	roles[1].Sign = nil
	var untrusted *UntrustedError
	if _, err := open(writeSite(t, roles), trusting(k)); !errors.As(err, &untrusted) {
		t.Errorf("one of them is not signed: %v", err)
	}
	roles[1].Sign = newKey(t).Sign
	if _, err := open(writeSite(t, roles), trusting(k)); !errors.As(err, &untrusted) {
		t.Errorf("one of them is signed by another key: %v", err)
	}
}

// minisignRequired is set where a missing minisign is a fault and no reason to skip.
const minisignRequired = "OFFGRID_MINISIGN"

// TestMinisignVerifiesABundle types the commands of FORMAT.md.
func TestMinisignVerifiesABundle(t *testing.T) {
	if _, err := exec.LookPath("minisign"); err != nil {
		if os.Getenv(minisignRequired) == "required" {
			t.Fatal(err)
		}
		t.Skip("minisign is not installed")
	}
	k, dir := newKey(t), t.TempDir()
	for name, data := range map[string][]byte{"node.bundle": newSample(t).signed(t, k), "key.pub": k.Public().File()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```sh signature\n")
	commands, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("FORMAT.md has no commands for a signature")
	}
	run := func() (string, error) {
		cmd := exec.CommandContext(t.Context(), "sh", "-euc", commands)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := run()
	if err != nil || !strings.Contains(out, "Trusted comment: offgrid bundle cluster=0123456789abcdef0123456789abcdef role=node serial=1700000000") {
		t.Errorf("%v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "key.pub"), newKey(t).Public().File(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run(); err == nil {
		t.Errorf("another key verifies it:\n%s", out)
	}
}
