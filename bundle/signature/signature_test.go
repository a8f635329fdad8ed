package signature

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// minisignRequired is set where a missing minisign is a fault and no reason to skip.
const minisignRequired = "OFFGRID_MINISIGN"

func minisignProgram(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("minisign")
	if err != nil && os.Getenv(minisignRequired) == "required" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip("minisign is not installed")
	}
	return path
}

func generate(t testing.TB) SecretKey {
	t.Helper()
	k, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t testing.TB, k SecretKey, message, comment string) []byte {
	t.Helper()
	text, err := k.Sign([]byte(message), comment)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func writeFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestMinisignVerifiesWhatIsSignedHere(t *testing.T) {
	program, dir, k := minisignProgram(t), t.TempDir(), generate(t)
	message := writeFile(t, filepath.Join(dir, "message"), []byte("the root\n"))
	signed := writeFile(t, filepath.Join(dir, "any.minisig"), sign(t, k, "the root\n", "offgrid bundle cluster=1 role=node serial=2"))
	key := writeFile(t, filepath.Join(dir, "key.pub"), k.Public().File())
	verify := func() (string, error) {
		out, err := exec.CommandContext(t.Context(), program, "-Vm", message, "-x", signed, "-p", key).CombinedOutput()
		return string(out), err
	}
	out, err := verify()
	if err != nil || !strings.Contains(out, "Trusted comment: offgrid bundle cluster=1 role=node serial=2") {
		t.Fatalf("minisign -V: %v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), program, "-Vm", message, "-x", signed, "-P", k.Public().String()).CombinedOutput(); err != nil {
		t.Errorf("with the key as text: %v\n%s", err, out)
	}
	writeFile(t, message, []byte("another root\n"))
	if out, err := verify(); err == nil {
		t.Errorf("minisign accepts another message:\n%s", out)
	}
}

func TestKeysGoToMinisignAndBack(t *testing.T) {
	program, dir := minisignProgram(t), t.TempDir()
	message := writeFile(t, filepath.Join(dir, "message"), []byte("hello\n"))
	k := generate(t)
	file, err := k.File("")
	if err != nil {
		t.Fatal(err)
	}
	ours := writeFile(t, filepath.Join(dir, "ours.key"), file)
	if out, err := exec.CommandContext(t.Context(), program, "-Sm", message, "-s", ours, "-x", filepath.Join(dir, "a.minisig")).CombinedOutput(); err != nil {
		t.Fatalf("minisign does not sign with our key: %v\n%s", err, out)
	}
	theirs := filepath.Join(dir, "theirs.key")
	if out, err := exec.CommandContext(t.Context(), program, "-GW", "-p", filepath.Join(dir, "theirs.pub"), "-s", theirs).CombinedOutput(); err != nil {
		t.Fatalf("minisign -G: %v\n%s", err, out)
	}
	data, err := os.ReadFile(theirs)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ParseSecretKey(data, "")
	if err != nil {
		t.Fatal(err)
	}
	pub, err := os.ReadFile(filepath.Join(dir, "theirs.pub"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := ParsePublicKey(string(pub))
	if err != nil || public != read.Public() || !strings.Contains(string(pub), public.ID()) {
		t.Errorf("public key %s with ID %s, error %v, want that of\n%s", public, public.ID(), err, pub)
	}
	// Their signature is theirs, but not in our form: nothing but what Sign writes is read.
	text, err := os.ReadFile(filepath.Join(dir, "a.minisig"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(text); err == nil {
		t.Error("a signature in another form is read")
	}
}

func TestASignatureIsOneMessagesAndOneKeysAndAlwaysTheSame(t *testing.T) {
	k, other := generate(t), generate(t)
	text := sign(t, k, "message", "comment")
	if !bytes.Equal(text, sign(t, k, "message", "comment")) {
		t.Error("signing twice gives two signatures")
	}
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if s.KeyID != k.Public().ID() || s.Comment != "comment" || !bytes.Equal(s.Bytes(), text) {
		t.Errorf("parsed %+v", s)
	}
	for name, ok := range map[string]bool{
		"its message and key": s.Verify(k.Public(), []byte("message")),
		"another message":     !s.Verify(k.Public(), []byte("messagf")),
		"no message":          !s.Verify(k.Public(), nil),
		"another key":         !s.Verify(other.Public(), []byte("message")),
		"no key":              !s.Verify(PublicKey{}, []byte("message")),
	} {
		if !ok {
			t.Errorf("%s: wrong answer", name)
		}
	}
	for _, comment := range []string{"", "two\nlines", "umlaut ä", strings.Repeat("x", maxComment+1)} {
		if _, err := k.Sign(nil, comment); err == nil {
			t.Errorf("comment %.20q is signed", comment)
		}
	}
}

func TestEveryChangedByteOfASignatureIsNoticed(t *testing.T) {
	k := generate(t)
	text := sign(t, k, "message", "offgrid bundle cluster=0123456789abcdef0123456789abcdef role=node serial=1700000000")
	for i := range text {
		for _, bit := range []byte{1, 0x20, 0x80} {
			changed := bytes.Clone(text)
			changed[i] ^= bit
			s, err := Parse(changed)
			if err == nil && (s.KeyID != k.Public().ID() || s.Verify(k.Public(), []byte("message"))) {
				t.Fatalf("byte %d as %q passes", i, changed[i])
			}
		}
	}
	for _, n := range []int{0, 1, len(text) / 2, len(text) - 1} {
		if _, err := Parse(text[:n]); err == nil {
			t.Errorf("%d bytes of it are read", n)
		}
	}
	for _, more := range []string{"\n", " ", "x", "\r\n"} {
		if _, err := Parse(append(bytes.Clone(text), more...)); err == nil {
			t.Errorf("%q behind it is let pass", more)
		}
	}
}

func TestSecretKeysAreReadBackAndNeverShown(t *testing.T) {
	k := generate(t)
	file, err := k.File("")
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseSecretKey(file, "not asked for")
	if err != nil || again.Public() != k.Public() || Protected(file) {
		t.Errorf("read back: %v, protected %v", err, Protected(file))
	}
	if shown := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); shown != "secret key secret key secret key secret key" {
		t.Errorf("it prints as %s", shown)
	}
	line := strings.TrimSpace(strings.SplitN(string(file), "\n", 2)[1])
	raw, err := base64.StdEncoding.DecodeString(line)
	if err != nil {
		t.Fatal(err)
	}
	raw[62] ^= 1 // the seed: the public half is another key's now
	wrong := "untrusted comment: x\n" + base64.StdEncoding.EncodeToString(raw) + "\n"
	if _, err := ParseSecretKey([]byte(wrong), ""); err == nil || !strings.Contains(err.Error(), "do not belong together") {
		t.Errorf("halves of two keys: %v", err)
	}
	for _, text := range []string{"", "x", "untrusted comment: x\n", string(k.Public().File()), strings.Repeat("x", maxKeyFile+1)} {
		if _, err := ParseSecretKey([]byte(text), ""); err == nil {
			t.Errorf("%.40q is read as a secret key", text)
		}
	}
}

// cheapKey is a key file whose passphrase is "correct horse", protected at little cost: what minisign writes takes 1 GiB.
const cheapKey = "untrusted comment: minisign encrypted secret key\n" +
	"RWRTY0IyAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8AgAAAAAAAAAAAAAEAAAAAshMi52OANSFDnKBb3KYQOFq/K3EifVPvwPGvSIHsJ83Pj4QTZ40n" +
	"k8TLkZDilM+GUP+avB81X/9KuHl0WFDSb+Ci76QIXYWZdx/NKVizd+/iEqIwVpXDGUTH2uWzUzqiZay57WxTUHU=\n"

func TestAProtectedKeyOpensWithItsPassphraseAlone(t *testing.T) {
	if !Protected([]byte(cheapKey)) {
		t.Error("it does not say that it is protected")
	}
	for _, wrong := range []string{"", "wrong horse", "correct horse ", strings.Repeat("x", maxPassphrase+1)} {
		if _, err := ParseSecretKey([]byte(cheapKey), wrong); err == nil || len(wrong) < 20 && !errors.Is(err, ErrPassphrase) {
			t.Errorf("with the passphrase %.20q: %v", wrong, err)
		}
	}
	k, err := ParseSecretKey([]byte(cheapKey), "correct horse")
	if err != nil || k.Public().String() != "RWStshZvNwG/v6u8DNq4YivBxqWugoEiYZWFrEyzlkHkoXy/oZakh8ay" {
		t.Errorf("with its own: %v", err)
	}
}

// The cost is minisign's own: 1 GiB and some seconds, a minute with the race detector.
func TestAKeyIsProtectedAtMinisignsCost(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("takes 1 GiB and long")
	}
	k := generate(t)
	file, err := k.File("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseSecretKey(file, "correct horse")
	if err != nil || again.Public() != k.Public() || !Protected(file) {
		t.Errorf("read back: %v", err)
	}
}

func TestPublicKeysHaveOneForm(t *testing.T) {
	k := generate(t).Public()
	for _, text := range []string{k.String(), k.String() + "\n", string(k.File())} {
		if got, err := ParsePublicKey(text); err != nil || got != k {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", k.String()[1:], k.String() + "A", "X" + k.String()[1:], strings.ToLower(k.String()), "a\n" + k.String(),
		"untrusted comment: x\nuntrusted comment: y\n" + k.String(), strings.Repeat("A", publicLine), strings.Repeat(" ", maxKeyFile+1)} {
		if _, err := ParsePublicKey(text); err == nil {
			t.Errorf("%q is read as a public key", text)
		}
	}
}

func ExampleFingerprint() {
	fmt.Println(Fingerprint([32]byte{0x3a, 0x7e, 0x5f, 0x2a, 0x4d, 0x5d, 0x1c, 0x3f, 0x4b, 0x6a, 0x79}))
	// Output: 3a7e 5f2a 4d5d 1c3f 4b6a
}

// FuzzParse: whatever is read has one form, and no key that did not sign it verifies it.
func FuzzParse(f *testing.F) {
	k, other := generate(f), generate(f).Public()
	good := sign(f, k, "message", "comment")
	f.Add(good)
	f.Add(bytes.Replace(good, []byte("\n"), []byte("\r\n"), 1))
	f.Add([]byte("untrusted comment: \n\ntrusted comment: \n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Bytes(), text) || s.Verify(other, []byte("message")) {
			t.Errorf("%q", text)
		}
	})
}
