package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// printed is what the suite prints: one test that passes, one that fails, one that is skipped without a word.
const printed = `I1123 22:00:00.000000 1 e2e.go:129] Starting e2e run
{"msg":"Test Suite starting","total":2,"completed":0,"skipped":0,"failed":0}

------------------------------
[sig-node] ConfigMap 
  should fail to create ConfigMap with empty key [Conformance]
  /src/test/e2e/framework/framework.go:640
{"msg":"not this one
•{"msg":"PASSED [sig-node] ConfigMap should fail to create ConfigMap with empty key [Conformance]","total":2,"completed":1,"skipped":0,"failed":0}

------------------------------
[sig-network] Services 
  should serve a basic endpoint from pods  [Conformance]
  /src/test/e2e/framework/framework.go:640
{"msg":"FAILED [sig-network] Services should serve a basic endpoint from pods  [Conformance]","total":2,"completed":1,"skipped":0,"failed":1,"failures":["x"]}

------------------------------
• Failure [12.345 seconds]
[sig-network] Services
/src/test/e2e/network/framework.go:23
  should serve a basic endpoint from pods  [Conformance] [It]
  /src/test/e2e/framework/framework.go:640

  Nov 23 22:00:00.000: service is not reachable
      at 10.0.0.7

  /src/test/e2e/network/service.go:700
------------------------------
SSS{"msg":"Test Suite completed","total":2,"completed":1,"skipped":0,"failed":1,"failures":["x"]}
`

func parseAll(t *testing.T, text string) []result {
	t.Helper()
	var got []result
	p := parser{done: func(r result) error { got = append(got, r); return nil }}
	if err := p.read(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestAFailureComesWithItsReason(t *testing.T) {
	want := []result{
		{name: "[sig-node] ConfigMap should fail to create ConfigMap with empty key [Conformance]", status: passed},
		{name: "[sig-network] Services should serve a basic endpoint from pods  [Conformance]", status: failed,
			message: "Nov 23 22:00:00.000: service is not reachable at 10.0.0.7"},
	}
	if got := parseAll(t, printed); !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v\nwant %+v", got, want)
	}
}

func TestAFailureIsKnownAlsoWhenItsReasonIsCutOff(t *testing.T) {
	cut := printed[:strings.Index(printed, "  Nov 23 22:00:00.000")]
	got := parseAll(t, cut)
	if len(got) != 2 || got[1].status != failed {
		t.Errorf("read %+v, want the second test failed", got)
	}
}

func TestTheTestThatRunsIsKnownByItsAnnouncement(t *testing.T) {
	const name = "[sig-network] Services should serve a basic endpoint from pods  [Conformance]"
	g := group{left: []string{name}}
	before, _, _ := strings.Cut(printed, `{"msg":"FAILED`)
	var out bytes.Buffer
	if _, err := out.ReadFrom(&announced{in: strings.NewReader(before), group: &g}); err != nil {
		t.Fatal(err)
	}
	if g.running != name {
		t.Errorf("running is %q, want %q", g.running, name)
	}
	if out.String() != before {
		t.Error("what the suite prints was changed on the way")
	}
}

func TestTheFocusIsOnTheseTestsOnly(t *testing.T) {
	re := regexp.MustCompile(focusOn([]string{"[a] reads (x+y) [Conformance]", "[b] writes"}))
	for name, want := range map[string]bool{
		"Kubernetes e2e suite [a] reads (x+y) [Conformance]": true,
		"Kubernetes e2e suite [b] writes":                    true,
		"Kubernetes e2e suite [b] writes twice":              false,
		"Kubernetes e2e suite [a] reads (xxy) [Conformance]": false,
	} {
		if re.MatchString(name) != want {
			t.Errorf("%q is in focus: %v, want %v", name, !want, want)
		}
	}
}

func TestResultsOutliveALineThatWasCutOff(t *testing.T) {
	name := filepath.Join(t.TempDir(), "results")
	r, err := openResults(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []result{
		{name: "a", status: failed, took: 3 * time.Second, log: "1.log", message: "two\nlines\tand a tab"},
		{name: "b", status: passed},
		{name: "a", status: passed, took: 5 * time.Second, log: "2.log"},
	} {
		if err := r.write(one); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("passed\t3\t1.l"); err != nil {
		t.Fatal(err)
	}
	f.Close()

	if r, err = openResults(name); err != nil {
		t.Fatal(err)
	}
	defer r.close()
	want := map[string]result{
		"a": {name: "a", status: passed, took: 5 * time.Second, log: "2.log", run: 2},
		"b": {name: "b", status: passed, run: 1},
	}
	if got := r.last(); !reflect.DeepEqual(got, want) {
		t.Errorf("known are %+v\nwant %+v", got, want)
	}
	data, _ := os.ReadFile(name)
	if want := "failed\t3\t1.log\ta\ttwo lines and a tab\npassed\t0\t\tb\t\npassed\t5\t2.log\ta\t\n"; string(data) != want {
		t.Errorf("the file is %q, want %q", data, want)
	}
}

func TestAnExcludedTestNeedsAReasonAndExists(t *testing.T) {
	name := filepath.Join(t.TempDir(), "excluded")
	for text, want := range map[string]string{
		"# why\na\tno image x\n": "",
		"a\n":                    "want a test, a tab and a reason",
		"c\tno image x\n":        `no conformance test "c"`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := readExcluded(name, []string{"a", "b"})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("reading %q: %v, want %q", text, err, want)
		}
	}
}

func TestTheTableCountsEveryTestOnce(t *testing.T) {
	table := makeTable([]string{"a", "b", "c", "d"}, map[string]string{"c": "no image x"}, map[string]result{
		"a": {name: "a", status: passed, took: 3 * time.Second, run: 2},
		"b": {name: "b", status: failed, took: 4 * time.Second, run: 1, log: "1.log", message: "why"},
		"c": {name: "c", status: passed},
	})
	want := `4 conformance tests: 1 passed, 1 failed, 2 not run

failed: 1
        4s  b
        why
        1.log

not run: 2
    c
        no image x
    d
        not yet

passed: 1
        3s  a   (run 2)
`
	if got := table.String(); got != want {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
	if err := table.verdict(); err == nil {
		t.Error("a table with a failure is good, want an error")
	}
}

func TestGroupsHaveEveryTestOnceAndNeighboursApart(t *testing.T) {
	got := deal([]string{"a1", "a2", "a3", "b1", "b2"}, 2)
	if want := [][]string{{"a1", "b1"}, {"a2", "b2"}, {"a3"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("groups are %q, want %q", got, want)
	}
	if got := deal(nil, 2); len(got) != 0 {
		t.Errorf("no tests make groups %q, want none", got)
	}
}

// fakeSuite is a script in place of e2e.test: it passes the tests that its focus has, in the given order, and sleeps on "hangs".
const fakeSuite = `#!/bin/sh
for a in "$@"; do case $a in -ginkgo.focus=*) focus=${a#-ginkgo.focus=} ;; esac; done
for t in 'a [Serial]' b hangs c; do
	t="of x $t"
	echo "Kubernetes $t" | grep -Eq "$(printf %s "$focus" | sed 's/\\Q//g')" || continue
	printf -- '------------------------------\nof x \n  %s\n  source\n' "${t#of x }"
	if [ "$t" = "of x hangs" ]; then exec sleep 60; fi
	printf '{"msg":"PASSED %s","total":1}\n' "$t"
done
`

func TestATestThatHangsFailsAndTheOthersGoOn(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "e2e.test"), []byte(fakeSuite), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	r, err := openResults(filepath.Join(dir, "results"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	var out bytes.Buffer
	s := scheduler{options: options{parts: dir, state: dir, group: 4, workers: 1, limit: time.Second}, results: r, out: &out, started: time.Now()}
	if err := s.run(context.Background(), []string{"of x a [Serial]", "of x b", "of x hangs", "of x c"}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for name, one := range r.last() {
		got = append(got, name+": "+one.status+" "+one.message)
	}
	slices.Sort(got)
	want := []string{"of x a [Serial]: passed ", "of x b: passed ", "of x c: passed ", "of x hangs: failed did not end within 1s"}
	if !slices.Equal(got, want) {
		t.Errorf("results are %q, want %q\n%s", got, want, out.String())
	}
}
