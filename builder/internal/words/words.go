// Package words makes passphrases of words that a person can read out, write down and type.
package words

import (
	"crypto/rand"
	_ "embed"
	"encoding/binary"
	"strings"

	"offgrid/bundle/seal"
)

// Of a passphrase: how many words, and how many bits of chance that is: each is one of 2048, 11 bits. Together with scrypt's
// work, one guess costs about a second and 256 MiB, so all of them are far out of reach.
const (
	Count = 6
	Bits  = Count * 11
)

// list is the English word list of BIP-39 (2048 words, none longer than 8 letters, told apart by their first 4).
//
//go:embed words.txt
var list string

// Passphrase makes one.
func Passphrase() (seal.Passphrase, error) {
	all := strings.Fields(list)
	var random [2 * Count]byte
	rand.Read(random[:]) // never fails: it ends the program instead
	chosen := make([]string, Count)
	for i := range chosen {
		chosen[i] = all[binary.BigEndian.Uint16(random[2*i:])%2048] // 65536 is 32 times 2048: no word comes more often
	}
	return seal.ParsePassphrase(strings.Join(chosen, "-"))
}
