package main

import (
	"bytes"
	"testing"

	"offgrid/cmd/internal/console"
	"offgrid/cmd/internal/docstest"
)

func TestEveryCommandOfTheDocumentsExists(t *testing.T) {
	commands := docstest.Commands(t, "../..", "install", "./install", "bin/install", "/var/lib/offgrid/install")
	for _, c := range commands {
		var out bytes.Buffer
		root := (&app{console: console.New(console.Options{Program: "install", In: &out, Out: &out, Err: &out}), deps: deps{out: &out}}).newRoot()
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
