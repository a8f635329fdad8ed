// Package docstest sees whether the commands that the documents tell people to type exist.
package docstest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// least is how many commands there must be, or the documents are no longer found.
const least = 15

// Check fails for every command of the program, under any of its names, in the documents of the repository at root that the
// program does not have, or that has other flags: in lines of code blocks, and in code within text.
func Check(t *testing.T, root string, program func() *cobra.Command, names ...string) {
	t.Helper()
	all := commands(t, root, names)
	for _, c := range all {
		top := program()
		cmd, rest, err := top.Find(c.args)
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err == nil && cmd == top && len(cmd.Flags().Args()) > 0 {
			t.Errorf("%s: there is no command %q", c.place, c.args)
		}
		if err != nil {
			t.Errorf("%s: %q: %v", c.place, c.args, err)
		}
	}
	if len(all) < least {
		t.Errorf("only %d commands were found", len(all))
	}
}

// command is a command line in a document.
type command struct {
	place string // file:line
	args  []string
}

func commands(t *testing.T, root string, names []string) []command {
	t.Helper()
	var found []command
	for _, pattern := range []string{"*.md", "*/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if slices.Contains([]string{"FORMAT.md", "JOURNAL.md", "CHANGELOG.md"}, filepath.Base(file)) {
				continue // what a file holds, and what once was
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, inText(filepath.Base(file), string(data), names)...)
		}
	}
	return found
}

func inText(file, text string, names []string) []command {
	var found []command
	span, fenced, number := regexp.MustCompile("`([^`]+)`"), false, 0
	for line := range strings.Lines(text) {
		number++
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
			continue
		}
		code := []string{line}
		if !fenced {
			code = nil
			for _, m := range span.FindAllStringSubmatch(line, -1) {
				code = append(code, m[1])
			}
		}
		for _, c := range code {
			for _, args := range inCode(c, names) {
				found = append(found, command{fmt.Sprintf("%s:%d", file, number), args})
			}
		}
	}
	return found
}

// inCode takes the program's commands out of a line of shell: what follows "#" or ">" is none of theirs.
func inCode(code string, names []string) [][]string {
	var found [][]string
	for _, part := range regexp.MustCompile(`&&|;|\|`).Split(code, -1) {
		words := strings.Fields(part)
		if len(words) == 0 || !slices.Contains(names, words[0]) {
			continue
		}
		end := slices.IndexFunc(words, func(w string) bool { return w == "..." || strings.HasPrefix(w, "#") || strings.HasPrefix(w, ">") })
		if end < 0 {
			end = len(words)
		}
		found = append(found, words[1:end])
	}
	return found
}
