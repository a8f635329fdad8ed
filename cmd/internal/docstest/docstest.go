// Package docstest finds the commands that the documents tell people to type, so that tests can see whether they exist.
package docstest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Command is a command line in a document.
type Command struct {
	Place string // file:line
	Args  []string
}

// Commands returns every command of the program, under any of its names, in the documents of the repository at root: lines of
// code blocks, and code within text.
func Commands(t testing.TB, root string, names ...string) []Command {
	t.Helper()
	var found []Command
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

func inText(file, text string, names []string) []Command {
	var found []Command
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
				found = append(found, Command{fmt.Sprintf("%s:%d", file, number), args})
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
