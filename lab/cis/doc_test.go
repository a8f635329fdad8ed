package cis

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// benchmark is every item, in kube-bench's numbering of cis-1.20.
const benchmark = "1.1.1-1.1.21, 1.2.1-1.2.34, 1.3.1-1.3.7, 1.4.1-1.4.2, 2.1-2.7, 3.1.1, 3.2.1-3.2.2, 4.1.1-4.1.10, 4.2.1-4.2.13, " +
	"5.1.1-5.1.8, 5.2.1-5.2.9, 5.3.1-5.3.2, 5.4.1-5.4.2, 5.5.1, 5.7.1-5.7.4"

// expand makes "1.1.1-1.1.3, 2.1" a list of items.
func expand(t *testing.T, text string) []string {
	t.Helper()
	var all []string
	for part := range strings.SplitSeq(text, ",") {
		from, to, ok := strings.Cut(strings.TrimSpace(part), "-")
		if !ok {
			to = from
		}
		at := strings.LastIndex(from, ".") + 1
		first, err1 := strconv.Atoi(from[at:])
		last, err2 := strconv.Atoi(strings.TrimPrefix(to, from[:at]))
		if err1 != nil || err2 != nil || last < first {
			t.Fatalf("%q is no list of items", part)
		}
		for n := first; n <= last; n++ {
			all = append(all, fmt.Sprintf("%s%d", from[:at], n))
		}
	}
	return all
}

func TestEveryItemOfTheBenchmarkIsCheckedOrExplained(t *testing.T) {
	data, err := os.ReadFile("../../installer/HARDENING.md")
	if err != nil {
		t.Fatal(err)
	}
	checked := map[string]bool{}
	for _, c := range Checks() {
		checked[c.ID] = true
	}
	met, rest, ok := strings.Cut(string(data), "## Not met")
	if !ok {
		t.Fatal("the document has no part about what is not met")
	}
	seen := map[string]bool{}
	for part, want := range map[string]bool{met: true, rest: false} {
		for line := range strings.Lines(part) {
			cells := strings.Split(line, "|")
			if len(cells) != 4 || !strings.ContainsAny(cells[1], "123456789") {
				continue
			}
			for _, id := range expand(t, cells[1]) {
				if seen[id] {
					t.Errorf("%s has two rows", id)
				}
				seen[id] = true
				if checked[id] != want {
					t.Errorf("%s: the document says that it is met: %v; there is a check: %v", id, want, checked[id])
				}
			}
		}
	}
	all := expand(t, benchmark)
	for _, id := range all {
		if !seen[id] {
			t.Errorf("%s is neither met nor explained", id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(seen)) {
		if !slices.Contains(all, id) {
			t.Errorf("%s is no item of the benchmark", id)
		}
	}
}
