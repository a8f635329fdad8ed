package seal

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// quick is a work factor for tests.
const quick = 2

func pass(t testing.TB, text string) Passphrase {
	t.Helper()
	p, err := ParsePassphrase(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// hostKey is a machine's key pair as sshd keeps it.
type hostKey struct {
	public  string
	private []byte
}

func newHostKey(t testing.TB, private any) hostKey {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "root@host")
	if err != nil {
		t.Fatal(err)
	}
	return hostKey{strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))) + " root@host", pem.EncodeToMemory(block)}
}

func newEd25519(t testing.TB) hostKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newHostKey(t, private)
}

// rsaKeys are two, made once.
var rsaKeys = sync.OnceValue(func() (keys [2]*rsa.PrivateKey) {
	for i := range keys {
		keys[i], _ = rsa.GenerateKey(rand.Reader, minRSA)
	}
	return keys
})

func TestAKeyIsOpenedByEachOfItsWaysAndByNoOther(t *testing.T) {
	right := map[string]hostKey{"ed25519": newEd25519(t), "rsa": newHostKey(t, rsaKeys()[0])}
	others := map[string]hostKey{"another ed25519": newEd25519(t), "another rsa": newHostKey(t, rsaKeys()[1])}
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := key.Encrypt([]byte("TOPSECRET"))
	if err != nil || bytes.Contains(sealed, []byte("TOPSECRET")) {
		t.Fatalf("%q, %v", sealed, err)
	}
	opens := func(k *Key, err error) error {
		if err != nil {
			return err
		}
		text, err := k.Decrypt(sealed, 100)
		if err == nil && string(text) != "TOPSECRET" {
			err = fmt.Errorf("it holds %q", text)
		}
		return err
	}
	file, err := key.ForPassphrase(pass(t, "the right words"), quick)
	if err != nil {
		t.Fatal(err)
	}
	if err := opens(KeyFromPassphrase(file, pass(t, "the right words"))); err != nil {
		t.Errorf("the passphrase: %v", err)
	}
	if err := opens(KeyFromPassphrase(file, pass(t, "the wrong words"))); !errors.Is(err, ErrWrongKey) {
		t.Errorf("another passphrase: %v", err)
	}
	if _, err := KeyFromHostKey(file, right["rsa"].private); err == nil {
		t.Error("an SSH key opens what is for a passphrase")
	}
	for kind, h := range right {
		public, err := ParseHostKey(h.public)
		if err != nil {
			t.Fatal(err)
		}
		file, err := key.ForHostKey(public)
		if err != nil {
			t.Fatal(err)
		}
		if found, err := HostKeyType(file); err != nil || found != "ssh-"+kind {
			t.Errorf("%s: type %q, %v", kind, found, err)
		}
		if err := opens(KeyFromHostKey(file, h.private)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if _, err := KeyFromPassphrase(file, pass(t, "the right words")); err == nil {
			t.Errorf("%s: a passphrase opens what is for an SSH key", kind)
		}
		for name, other := range others {
			if err := opens(KeyFromHostKey(file, other.private)); !errors.Is(err, ErrWrongKey) {
				t.Errorf("%s with %s: %v", kind, name, err)
			}
		}
	}
	fresh, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := opens(fresh, nil); !errors.Is(err, ErrWrongKey) {
		t.Errorf("another fresh key: %v", err)
	}
}

func TestAFileThatIsCutOrHasAnotherByteIsNotOpened(t *testing.T) {
	p := pass(t, "the right words")
	file, err := Encrypt(bytes.Repeat([]byte("TOPSECRET"), 10), p, quick)
	if err != nil {
		t.Fatal(err)
	}
	for i := range file {
		spoiled := bytes.Clone(file)
		spoiled[i] ^= 1
		if data, err := Decrypt(spoiled, p, 1000); err == nil || strings.Contains(err.Error(), "TOPSECRET") || bytes.Contains(data, []byte("TOPSECRET")) {
			t.Errorf("byte %d flipped: %q, %v", i, data, err)
		}
		if _, err := Decrypt(file[:i], p, 1000); err == nil {
			t.Errorf("cut to %d bytes: no error", i)
		}
	}
	if _, err := Decrypt(append(bytes.Clone(file), 0), p, 1000); err == nil {
		t.Error("a byte more: no error")
	}
	if _, err := Decrypt(file, p, 89); err == nil || !strings.Contains(err.Error(), "more than 89 bytes") {
		t.Errorf("beyond the limit: %v", err)
	}
}

func TestAHugeWorkFactorIsRefusedWithoutTakingMemory(t *testing.T) {
	p := pass(t, "the right words")
	file, err := Encrypt([]byte("x"), p, quick)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"21", "30", "63", "99999999999999999999", "0", "-1", "+2", "02"} {
		line := []byte(" " + n + "\n")
		hostile := bytes.Replace(file, []byte(" 2\n"), line, 1)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := Decrypt(hostile, p, 100); err == nil {
			t.Errorf("work factor %s: no error", n)
		}
		if _, err := WorkFactor(hostile); err == nil && n != "+2" && n != "02" {
			t.Errorf("work factor %s is told as usable", n)
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
			t.Errorf("work factor %s: %d bytes were allocated", n, got)
		}
	}
	if n, err := WorkFactor(file); n != quick || err != nil {
		t.Errorf("work factor %d, %v", n, err)
	}
	if _, err := Encrypt(nil, p, MaxWorkFactor+1); err == nil {
		t.Error("a file was made that nobody reads")
	}
	if Memory(DefaultWorkFactor) != 256<<20 {
		t.Errorf("the default takes %d bytes", Memory(DefaultWorkFactor))
	}
}

func TestALineThatIsNoUsableHostKeyIsRefusedByName(t *testing.T) {
	good := newEd25519(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip(err) // a Go that refuses to make one
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	blob := strings.Fields(good.public)[1]
	for _, test := range []struct{ name, line, want string }{
		{"empty", "", "not a public key"},
		{"a type alone", "ssh-ed25519", "not a public key"},
		{"options before it", "no-pty " + good.public, "type \"no-pty\" cannot be sealed for"},
		{"an elliptic one", newHostKey(t, curve).public, "type \"ecdsa-sha2-nistp256\" cannot be sealed for"},
		{"another type in the line", "ssh-rsa " + blob, "not of the type"},
		{"no base64", "ssh-ed25519 AAAA*", "not base64"},
		{"cut", "ssh-ed25519 " + blob[:len(blob)-8], "damaged"},
		{"a weak one", newHostKey(t, weak).public, "1024 bits"},
		{"two lines", good.public + "\n" + good.public, "not one line"},
		{"the private one", strings.ReplaceAll(string(good.private), "\n", " "), "private key"},
		{"too long", good.public + strings.Repeat("x", MaxHostKeyLine), "not one line"},
	} {
		if _, err := ParseHostKey(test.line); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q in it", test.name, err, test.want)
		}
	}
	a, errA := ParseHostKey(good.public)
	b, errB := ParseHostKey("ssh-ed25519  " + blob)
	if errA != nil || errB != nil || a.Line != b.Line {
		t.Errorf("%q and %q, %v, %v", a.Line, b.Line, errA, errB)
	}
}

func TestAPassphraseIsNeverShown(t *testing.T) {
	p := pass(t, "TOPSECRET words")
	text, err := json.Marshal(map[string]any{"p": p})
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%v %+v %#v %s %q %x %d %v %s", p, p, p, p, p, p, p, &p, text)
	if strings.Contains(shown, "TOPSECRET") || strings.Contains(shown, fmt.Sprintf("%x", "TOPSECRET")) {
		t.Error(shown)
	}
}

func TestAPassphraseIsOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"two of them\nand more": "two of them", "\ufefffrom an editor\r\n": "from an editor", "  with space  ": "with space", "no newline at all": "no newline at all",
	} {
		r := strings.NewReader(text)
		p, err := ReadPassphrase(r)
		if err != nil || p.Reveal() != want {
			t.Errorf("%q: %q, %v", text, p.Reveal(), err)
		}
		if _, rest, ok := strings.Cut(text, "\n"); ok && r.Len() != len(rest) {
			t.Errorf("%q: %d bytes are left, want %d", text, r.Len(), len(rest))
		}
	}
	for _, text := range []string{"", "\n", "short", "with a tab\tin it", "not \xff utf-8 text", strings.Repeat("x", MaxPassphrase+1), strings.Repeat("x", 1<<20)} {
		var bad *PassphraseError
		if _, err := ReadPassphrase(strings.NewReader(text)); !errors.As(err, &bad) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	p := pass(f, "the right words")
	key, err := NewKey()
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := key.Encrypt([]byte("x"))
	if err != nil {
		f.Fatal(err)
	}
	file, err := key.ForPassphrase(p, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(file)
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := WorkFactor(data); err != nil || n <= 4 { // more only takes longer
			if _, err := KeyFromPassphrase(data, p); err == nil && n == 0 {
				t.Error("it was opened and has no work factor")
			}
		}
		if _, err := key.Decrypt(data, 100); err == nil && !bytes.HasPrefix(data, []byte("age-encryption.org/v1\n-> X25519 ")) {
			t.Errorf("opened: %q", data)
		}
		HostKeyType(data)
		ParseHostKey(string(data))
	})
}
