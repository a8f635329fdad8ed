package main

import (
	"bytes"
	"os"
	"testing"

	"offgrid/bundle/signature"
)

func TestAProgramAsItIsCompiledTrustsNobodyAndHasOnePlaceForKeys(t *testing.T) {
	keys, err := signature.ParseBlock([]byte(trustedBlock))
	if err != nil || len(keys) != 0 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	self, err := os.Executable() // it embeds the same block
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	key, err := signature.Generate()
	if err != nil {
		t.Fatal(err)
	}
	patched := bytes.Clone(program)
	if err := signature.PatchProgram(patched, []signature.PublicKey{key.Public()}); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(program, []byte(trustedBlock))
	if !bytes.Equal(patched[:at], program[:at]) || !bytes.Equal(patched[at+signature.BlockSize:], program[at+signature.BlockSize:]) {
		t.Error("something else of the program was changed")
	}
	a := &app{deps: deps{trusted: string(patched[at : at+signature.BlockSize])}}
	if trust, err := a.trust(); err != nil || len(trust.Keys) != 1 || trust.Keys[0] != key.Public() {
		t.Errorf("it trusts %v, %v", trust.Keys, err)
	}
	a.trusted = a.trusted[:200] + "x" + a.trusted[201:]
	if _, err := a.trust(); err == nil {
		t.Error("a changed block is read")
	}
}
