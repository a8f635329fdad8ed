package main

import (
	"bytes"
	"testing"

	"github.com/spf13/cobra"

	"offgrid/cmd/internal/console"
	"offgrid/cmd/internal/docstest"
)

func TestEveryCommandOfTheDocumentsExists(t *testing.T) {
	var out bytes.Buffer
	c := console.New(console.Options{Program: "install", In: &out, Out: &out, Err: &out})
	docstest.Check(t, "../..", func() *cobra.Command { return (&app{console: c, deps: deps{out: &out}}).newRoot() }, "install", "./install", "bin/install", "/var/lib/offgrid/install")
}
