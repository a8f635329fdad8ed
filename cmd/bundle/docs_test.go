package main

import (
	"bytes"
	"testing"

	"offgrid/cmd/internal/console"
	"offgrid/cmd/internal/docstest"
)

func TestEveryCommandOfTheDocumentsExists(t *testing.T) {
	commands := docstest.Commands(t, "../..", "bundle", "bin/bundle")
	for _, c := range commands {
		var out bytes.Buffer
		root := newRoot(&app{console: console.New(console.Options{Program: "bundle", In: &out, Out: &out, Err: &out}), out: &out})
		cmd, rest, err := root.Find(c.Args)
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err == nil && cmd == root && len(cmd.Flags().Args()) > 0 {
			t.Errorf("%s: there is no command %q", c.Place, c.Args)
		}
		if err != nil {
			t.Errorf("%s: %q: %v", c.Place, c.Args, err)
		}
	}
	if len(commands) < 15 {
		t.Errorf("only %d commands were found", len(commands))
	}
}
