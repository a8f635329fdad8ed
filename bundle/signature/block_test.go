package signature

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func block(t testing.TB, keys ...PublicKey) []byte {
	t.Helper()
	b, err := Block(keys)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestABlockHoldsItsKeysInOneForm(t *testing.T) {
	var keys []PublicKey
	for range MaxTrusted {
		keys = append(keys, generate(t).Public())
	}
	for n := range keys {
		b := block(t, keys[:n]...)
		got, err := ParseBlock(b)
		if err != nil || len(b) != BlockSize || len(got) != n {
			t.Fatalf("%d keys: %d bytes, %d keys, %v", n, len(b), len(got), err)
		}
		back := slices.Clone(keys[:n])
		slices.Reverse(back)
		if !bytes.Equal(b, block(t, append(back, back...)...)) {
			t.Errorf("%d keys in another order, and twice, give another block", n)
		}
		for _, k := range got {
			if !slices.Contains(keys[:n], k) {
				t.Errorf("a key that nobody put there: %s", k)
			}
		}
	}
	if _, err := Block(append(keys, generate(t).Public())); err == nil {
		t.Error("there is no limit")
	}
	b := block(t, keys[0], keys[1])
	for i := range b {
		changed := bytes.Clone(b)
		changed[i] ^= 1
		if got, err := ParseBlock(changed); err == nil && (slices.Contains(got, keys[0]) && slices.Contains(got, keys[1])) {
			t.Errorf("byte %d may be changed unnoticed", i)
		}
	}
	for _, size := range []int{0, 10, BlockSize - 1} {
		if _, err := ParseBlock(b[:size]); err == nil {
			t.Errorf("%d bytes of it are read", size)
		}
	}
}

func TestAProgramIsPatchedInItsOneBlockAndNowhereElse(t *testing.T) {
	k := generate(t).Public()
	before, after := bytes.Repeat([]byte("code"), 1000), bytes.Repeat([]byte("data"), 500)
	program := slices.Concat(before, block(t), after)
	for range 2 { // one that was patched is patched anew
		if err := PatchProgram(program, []PublicKey{k}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(program, slices.Concat(before, block(t, k), after)) {
			t.Fatal("it was changed elsewhere, or not")
		}
		if got, err := TrustedBy(program); err != nil || !slices.Equal(got, []PublicKey{k}) {
			t.Fatalf("it says that it trusts %v, %v; %v was written", got, err, k)
		}
	}
	for want, bad := range map[string][]byte{
		"no block":  slices.Concat(before, after),
		"more than": slices.Concat(before, block(t), block(t), after),
		"cut short": slices.Concat(before, block(t)[:BlockSize-1]),
		"damaged":   slices.Concat(before, []byte(blockHead()), after),
	} {
		was := bytes.Clone(bad)
		if err := PatchProgram(bad, nil); err == nil || !strings.Contains(err.Error(), want) || !bytes.Equal(was, bad) {
			t.Errorf("got %v, want %q in it and nothing changed", err, want)
		}
	}
}

// FuzzParseBlock: whatever is read is what Block makes of the keys.
func FuzzParseBlock(f *testing.F) {
	f.Add(block(f))
	f.Add(block(f, generate(f).Public(), generate(f).Public()))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := ParseBlock(data)
		if err != nil {
			return
		}
		if again, err := Block(keys); err != nil || !bytes.Equal(again, data) {
			t.Errorf("written again it differs: %v", err)
		}
	})
}
