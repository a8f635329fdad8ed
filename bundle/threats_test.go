package bundle

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testNames are the names of all tests of this module.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		data, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(data, -1) {
			names[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestEveryThreatHasATestThatIsThere(t *testing.T) {
	data, err := os.ReadFile("THREATS.md")
	if err != nil {
		t.Fatal(err)
	}
	names, rows, quoted := testNames(t), 0, regexp.MustCompile("`(Test\\w+)`")
	for line := range bytes.Lines(data) {
		text := string(line)
		if !strings.HasPrefix(text, "|") || strings.HasPrefix(text, "|---") || strings.HasPrefix(text, "| it could") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(strings.TrimSpace(text), "|"), "|")
		if len(cells) != 3 {
			t.Errorf("a row has %d cells, want 3: %s", len(cells), text)
			continue
		}
		shown := quoted.FindAllStringSubmatch(cells[2], -1)
		if len(shown) == 0 {
			t.Errorf("no test shows this: %s", text)
		}
		for _, m := range shown {
			if !names[m[1]] {
				t.Errorf("there is no test %s", m[1])
			}
		}
	}
	if rows < 20 {
		t.Errorf("%d threats were read, there are more", rows)
	}
}
