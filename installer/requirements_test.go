package installer

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"offgrid/bundle"
)

// readTree returns the text of all files of this repository whose names end so.
func readTree(t *testing.T, dir, suffix string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, suffix) {
			return err
		}
		data, err := os.ReadFile(path)
		all.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// healthNames are the names of all lines of the health check. Those that name a unit or a node begin so.
func healthNames() map[string]bool {
	names := map[string]bool{"node": true}
	s := &Session{}
	for _, role := range []string{bundle.RoleEtcd, bundle.RoleMaster, bundle.RoleNode} {
		r := RoleJob{Input: RoleInput{Index: pfIndex(role), Texts: map[string][]byte{"/opt/kubernetes/cfg/kube-scheduler": []byte("--port=10251")}},
			Plan: &Plan{Role: role, Host: pfHosts()[0]}}
		for _, l := range slices.Concat(s.etcdLooks(r), s.masterLooks(r), s.nodeLooks(r), s.certificateLooks(r)) {
			names[l.name] = true
		}
	}
	node, lb := RoleJob{Input: RoleInput{Index: pfIndex(bundle.RoleNode)}, Plan: &Plan{}}, RoleJob{Input: RoleInput{Index: pfIndex(bundle.RoleLB)}, Plan: &Plan{}}
	c := newClusterCheck(s, lb, true)
	for _, l := range slices.Concat(s.networkLooks(node), s.balancerLooks(lb), c.clusterLooks(), c.podLooks()) {
		name, _, _ := strings.Cut(l.name, " at 1") // the site's address is not part of a name
		name, _, _ = strings.Cut(name, " at 2")
		names[strings.TrimSuffix(name, " of 20.0.0.110")] = true
	}
	for _, unit := range []string{"etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager", "kubelet", "kube-proxy"} {
		names["service "+unit+".service"] = true
	}
	return names
}

// known says what words in backquotes may name.
func known(t *testing.T) func(word string) error {
	tests, sources := readTree(t, "..", "_test.go"), readTree(t, ".", ".go")
	kinds := UndoKinds()
	for _, kind := range []string{kindWait, kindApply, kindToken, kindMark, kindTry, kindBoot} {
		kinds[kind] = nil
	}
	health := healthNames()
	return func(word string) error {
		kind, name, ok := strings.Cut(word, ":")
		_, isStep := kinds[name]
		switch {
		case strings.HasPrefix(word, "Test"):
			if !strings.Contains(tests, "func "+word+"(") {
				return fmt.Errorf("there is no test %s", word)
			}
		case ok && kind == "step" && !isStep:
			return fmt.Errorf("there is no kind of step %q", name)
		case ok && kind == "finding" && !strings.Contains(sources, `("`+name+`",`):
			return fmt.Errorf("there is no finding %q", name)
		case ok && kind == "health" && !health[name]:
			return fmt.Errorf("there is no line %q in the health check", name)
		case ok && !strings.Contains(" step finding health ", " "+kind+" "):
			return fmt.Errorf("the word %q has no known kind", word)
		}
		return nil
	}
}

func TestEveryRequirementHasARowThatNamesWhatExists(t *testing.T) {
	data, err := os.ReadFile("REQUIREMENTS.md")
	if err != nil {
		t.Fatal(err)
	}
	text, check := string(data), known(t)
	next := 1
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "| R") {
			continue
		}
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			t.Errorf("row %q has %d cells, want 4", line, len(cells)-2)
			continue
		}
		if got, want := strings.TrimSpace(cells[1]), fmt.Sprintf("R%d", next); got != want {
			t.Fatalf("row %s where %s should be", got, want)
		}
		next++
		met, shown := strings.TrimSpace(cells[3]), strings.TrimSpace(cells[4])
		open := strings.HasPrefix(met, "not yet: ") || strings.HasPrefix(met, "not at all: ")
		if met == "" || shown == "" && !open {
			t.Errorf("R%d is neither met and shown nor explained", next-1)
		}
	}
	if next != 84 {
		t.Errorf("%d rows, want 83", next-1)
	}
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		word := m[1]
		if !strings.Contains(word, ":") && !strings.HasPrefix(word, "Test") || strings.HasSuffix(word, ":") {
			continue // the legend, a command, a path
		}
		if err := check(word); err != nil {
			t.Error(err)
		}
	}
}

func TestEveryFindingIsInTheListOfRequirementsAndHasACase(t *testing.T) {
	data, err := os.ReadFile("REQUIREMENTS.md")
	if err != nil {
		t.Fatal(err)
	}
	var cases strings.Builder
	for _, file := range []string{"preflight_table", "preflight_lb", "preflight_kernel", "install", "skew", "renewal", "delta", "authorities", "trust"} {
		cases.WriteString(readTree(t, ".", file+"_test.go"))
	}
	for _, m := range regexp.MustCompile(`(?:usage|conflict|warning)\("([a-z-]+)",`).FindAllStringSubmatch(readTree(t, ".", ".go"), -1) {
		if !strings.Contains(string(data), "`finding:"+m[1]+"`") {
			t.Errorf("the finding %q is not in REQUIREMENTS.md", m[1])
		}
		if !regexp.MustCompile(`"` + m[1] + `[ "]`).MatchString(cases.String()) {
			t.Errorf("no case makes a host with the finding %q", m[1])
		}
	}
}
