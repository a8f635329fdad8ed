package main

import (
	"fmt"
	"strings"
)

// A table is what is known of every conformance test.
type table struct {
	passed, failed, notRun []string // lines: time and runs, test; test and message; test and reason
}

func makeTable(tests []string, excluded map[string]string, last map[string]result) table {
	var t table
	for _, name := range tests {
		one, ran := last[name]
		why, out := excluded[name]
		switch {
		case out:
			t.notRun = append(t.notRun, fmt.Sprintf("%s\n        %s", name, why))
		case !ran:
			t.notRun = append(t.notRun, fmt.Sprintf("%s\n        not yet", name))
		case one.status == failed:
			t.failed = append(t.failed, fmt.Sprintf("%5ds  %s\n        %s\n        %s", int(one.took.Seconds()), name, one.message, one.log))
		case one.run > 1:
			t.passed = append(t.passed, fmt.Sprintf("%5ds  %s   (run %d)", int(one.took.Seconds()), name, one.run))
		default:
			t.passed = append(t.passed, fmt.Sprintf("%5ds  %s", int(one.took.Seconds()), name))
		}
	}
	return t
}

func (t table) counts() string {
	return fmt.Sprintf("%d conformance tests: %d passed, %d failed, %d not run\n",
		len(t.passed)+len(t.failed)+len(t.notRun), len(t.passed), len(t.failed), len(t.notRun))
}

// String is the whole table.
func (t table) String() string {
	var b strings.Builder
	b.WriteString(t.counts())
	for _, part := range []struct {
		title string
		lines []string
	}{{"failed", t.failed}, {"not run", t.notRun}, {"passed", t.passed}} {
		fmt.Fprintf(&b, "\n%s: %d\n", part.title, len(part.lines))
		for _, line := range part.lines {
			fmt.Fprintf(&b, "    %s\n", line)
		}
	}
	return b.String()
}

// summary is the table without what passed.
func (t table) summary() string {
	text := t.String()
	return text[:strings.LastIndex(text, "\npassed: ")]
}

func (t table) verdict() error {
	if len(t.failed) > 0 {
		return fmt.Errorf("%d tests failed", len(t.failed))
	}
	if len(t.notRun) > mostNotRun {
		return fmt.Errorf("%d tests were not run, want at most %d", len(t.notRun), mostNotRun)
	}
	return nil
}
