package words

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

func TestTheListIsThatOfBIP39(t *testing.T) {
	const want = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
	sum := sha256.Sum256([]byte(list))
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("sha256 %s, want %s", got, want)
	}
	all := strings.Fields(list)
	if len(all) != 2048 || !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != 2048 {
		t.Errorf("%d words", len(all))
	}
}

func TestAPassphraseIsSixWordsAndNeverTheSame(t *testing.T) {
	seen := map[string]bool{}
	places := map[string]bool{}
	for range 200 {
		p, err := Passphrase()
		if err != nil {
			t.Fatal(err)
		}
		chosen := strings.Split(p.Reveal(), "-")
		if len(chosen) != Count || seen[p.Reveal()] {
			t.Fatalf("%q", p.Reveal())
		}
		seen[p.Reveal()] = true
		for _, w := range chosen {
			if _, ok := slices.BinarySearch(strings.Fields(list), w); !ok {
				t.Errorf("%q is not in the list", w)
			}
			places[w] = true
		}
	}
	if len(places) < 600 { // of 2048, 1200 drawn: about 900 are seen
		t.Errorf("only %d words were ever chosen", len(places))
	}
}
