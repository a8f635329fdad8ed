package signature

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// BlockSize is the size of an installer's block of trusted keys in bytes, MaxTrusted the number of keys that it may hold: a
// handful, one for each key that signs and some to come.
const (
	BlockSize  = 2048
	MaxTrusted = 16
)

// blockHead begins a block. It is put together at run time: otherwise a program that looks for it would hold it twice.
func blockHead() string {
	return fmt.Sprintf("%-63s\n", fmt.Sprintf("[%s: public keys whose signatures this installer trusts]", "offgrid"))
}

// Block makes the block that holds the keys, each once: the head, a line for each key, ascending, "-" up to the last byte, which is a
// newline.
func Block(keys []PublicKey) ([]byte, error) {
	var lines []string
	for _, k := range keys {
		lines = append(lines, k.String()+"\n")
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	if len(lines) > MaxTrusted {
		return nil, fmt.Errorf("%d keys are more than the limit of %d", len(lines), MaxTrusted)
	}
	text := blockHead() + strings.Join(lines, "")
	return []byte(text + strings.Repeat("-", BlockSize-1-len(text)) + "\n"), nil
}

// ParseBlock reads a block. Any text that Block does not make is an error.
func ParseBlock(block []byte) ([]PublicKey, error) {
	text, ok := strings.CutPrefix(string(block), blockHead())
	if !ok || len(block) != BlockSize {
		return nil, errors.New("it is not a block of trusted keys")
	}
	var keys []PublicKey
	for len(text) > publicLine && text[publicLine] == '\n' && text[0] != '-' {
		k, err := ParsePublicKey(text[:publicLine])
		if err != nil {
			return nil, err
		}
		keys, text = append(keys, k), text[publicLine+1:]
	}
	again, err := Block(keys)
	if err == nil && !bytes.Equal(again, block) {
		err = errors.New("it is not as it was written")
	}
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// PatchProgram writes the keys into a program's block, in place. The program must hold exactly one block, whatever keys are in it.
func PatchProgram(program []byte, keys []PublicKey) error {
	at, err := findBlock(program)
	if err != nil {
		return err
	}
	block, err := Block(keys)
	if err == nil {
		copy(program[at:], block)
	}
	return err
}

// TrustedBy returns the keys in a program's block: those whose signatures it trusts.
func TrustedBy(program []byte) ([]PublicKey, error) {
	at, err := findBlock(program)
	if err != nil {
		return nil, err
	}
	return ParseBlock(program[at : at+BlockSize])
}

// findBlock returns where a program's block begins.
func findBlock(program []byte) (int, error) {
	head := []byte(blockHead())
	at := bytes.Index(program, head)
	switch {
	case at < 0:
		return 0, errors.New("it has no block for trusted keys: it is of another release")
	case bytes.Contains(program[at+1:], head):
		return 0, errors.New("it has more than one block for trusted keys")
	case len(program)-at < BlockSize:
		return 0, errors.New("its block of trusted keys is cut short")
	}
	if _, err := ParseBlock(program[at : at+BlockSize]); err != nil {
		return 0, fmt.Errorf("its block of trusted keys is damaged: %w", err)
	}
	return at, nil
}
