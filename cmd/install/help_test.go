package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"offgrid/cmd/internal/console"
)

func TestEveryCommandTellsItsExitCodesAndAnExampleInLinesThatFit(t *testing.T) {
	var out bytes.Buffer
	a := &app{console: console.New(console.Options{Program: "install", In: &out, Out: &out, Err: &out}), deps: deps{out: &out}}
	commands := 0
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		commands++
		if !strings.Contains(cmd.Long, exitText) || cmd.Example == "" || cmd.Short == "" {
			t.Errorf("%s: its help lacks the exit codes, an example or a summary", cmd.CommandPath())
		}
		out.Reset()
		if err := cmd.Help(); err != nil {
			t.Error(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("%s: a line of its help is %d characters long: %s", cmd.CommandPath(), n, line)
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	root := a.newRoot()
	root.SetOut(&out)
	walk(root)
	if commands < 15 {
		t.Errorf("%d commands were looked at", commands)
	}
}
