package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"offgrid/bundle/progress"
)

func newTest(in string, asJSON bool) (c *Console, out, errOut *bytes.Buffer) {
	out, errOut = &bytes.Buffer{}, &bytes.Buffer{}
	return New(Options{Program: "bundle", In: strings.NewReader(in), Out: out, Err: errOut, JSON: asJSON}), out, errOut
}

func wantText(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestTablesAreAlignedAndNumbersStandToTheRight(t *testing.T) {
	c, out, _ := newTest("", false)
	c.Table([]string{"NAME", "SIZE", "VERSION"}, [][]string{{"kubelet", "110.8 MB", "1.20.15"}, {"etcd", "9 B", "3.4.26"}})
	wantText(t, out.String(), ""+
		"NAME         SIZE  VERSION\n"+
		"kubelet  110.8 MB  1.20.15\n"+
		"etcd          9 B  3.4.26\n")
}

func TestANameFromAFileCannotDriveTheTerminal(t *testing.T) {
	c, out, errOut := newTest("", false)
	c.Table([]string{"NAME"}, [][]string{{"a\x1b[2Jb\nc"}})
	c.Say("read %s", "x\x07y")
	c.PrintError(errors.New("opening \x1b[31mz: no"))
	wantText(t, out.String(), "NAME\na?[2Jb?c\nread x?y\n")
	wantText(t, errOut.String(), "bundle: opening ?[31mz: no\n")
}

func TestAnErrorIsFollowedByItsHints(t *testing.T) {
	c, _, errOut := newTest("", false)
	c.PrintError(errors.New("reading bundle.lock: stale"), "run `bundle lock`")
	wantText(t, errOut.String(), "bundle: reading bundle.lock: stale\nhint: run `bundle lock`\n")
	c, _, errOut = newTest("", true)
	c.PrintError(errors.New("reading bundle.lock: stale"), "run `bundle lock`")
	wantText(t, errOut.String(), `{"error":"reading bundle.lock: stale","hints":["run `+"`bundle lock`"+`"]}`+"\n")
}

func TestAnswersAreReadFromAPipe(t *testing.T) {
	for input, want := range map[string]bool{"y\n": true, "YES\n": true, "yes": true, "n\n": false, "\n": false, "maybe\ny\n": true} {
		c, _, _ := newTest(input, false)
		got, err := c.Confirm(t.Context(), "Go on?")
		if err != nil || got != want {
			t.Errorf("answer %q: got %v, %v; want %v", input, got, err, want)
		}
	}
}

func TestTwoQuestionsShareOnePipe(t *testing.T) {
	c, _, errOut := newTest("y\nn\n", false)
	first, err1 := c.Confirm(t.Context(), "First?")
	second, err2 := c.Confirm(t.Context(), "Second?")
	if !first || second || err1 != nil || err2 != nil {
		t.Errorf("got %v, %v, %v, %v; want true, false", first, second, err1, err2)
	}
	wantText(t, errOut.String(), "First? [y/N] Second? [y/N] ")
}

func TestNoAnswerIsItsOwnError(t *testing.T) {
	for _, input := range []string{"", "maybe"} {
		c, _, _ := newTest(input, false)
		_, err := c.Confirm(t.Context(), "Go on?")
		var none *NoAnswerError
		if !errors.As(err, &none) || err.Error() != `asking "Go on?": the input ended without an answer` {
			t.Errorf("input %q: got %v", input, err)
		}
	}
}

func TestAnInterruptEndsAStandingQuestion(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	c := New(Options{Program: "install", In: r, Out: io.Discard, Err: writerFunc(func(p []byte) { cancel() })})
	if _, err := c.Confirm(ctx, "Go on?"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestALogGetsALinePerFinishedItemAndPerMilestone(t *testing.T) {
	c, _, errOut := newTest("", false)
	report := c.Progress()
	report(progress.Event{Phase: "fetch", Item: "etcd v3.4.26", Kind: progress.Start, Total: 17_000_000})
	report(progress.Event{Phase: "fetch", Item: "etcd v3.4.26", Kind: progress.Advance, Done: 5, Total: 17_000_000})
	report(progress.Event{Phase: "fetch", Item: "etcd v3.4.26", Kind: progress.Done, Done: 17_000_000, Total: 17_000_000})
	report(progress.Event{Phase: "fetch", Item: "kubelet", Kind: progress.Skip, Text: "in the store"})
	report(progress.Event{Phase: "apply", Item: "enable etcd", Kind: progress.Done})
	report(progress.Event{Phase: "fetch", Item: "docker-ce", Kind: progress.Warn, Text: "trying again"})
	report(progress.Event{Phase: "converge", Kind: progress.Wait, Text: "etcd02 (20.0.0.103)"})
	report(progress.Event{Phase: "converge", Kind: progress.Wait, Text: "etcd02 (20.0.0.103)"})
	report(progress.Event{Phase: "carry", Kind: progress.Note, Text: "the medium may be removed now"})
	c.Close()
	wantText(t, errOut.String(), ""+
		"fetch: etcd v3.4.26: done, 17.0 MB\n"+
		"apply: enable etcd: done\n"+
		"warning: docker-ce: trying again\n"+
		"waiting: etcd02 (20.0.0.103)\n"+
		"the medium may be removed now\n")
}

func TestProgressAsJSONIsOneObjectPerLine(t *testing.T) {
	c, out, errOut := newTest("", true)
	report := c.Progress()
	report(progress.Event{Phase: "fetch", Item: "etcd", Kind: progress.Start, Total: 9})
	report(progress.Event{Phase: "fetch", Item: "etcd", Kind: progress.Advance, Done: 3, Total: 9}) // within a second: not told
	report(progress.Event{Phase: "fetch", Item: "etcd", Kind: progress.Done, Done: 9, Total: 9})
	c.Say("for people")
	c.Table([]string{"A"}, [][]string{{"b"}})
	if err := c.PrintJSON(map[string]int{"n": 1}); err != nil {
		t.Fatal(err)
	}
	wantText(t, errOut.String(), ""+
		`{"event":"start","phase":"fetch","item":"etcd","total":9}`+"\n"+
		`{"event":"done","phase":"fetch","item":"etcd","done":9,"total":9}`+"\n")
	wantText(t, out.String(), `{"n":1}`+"\n")
	for line := range strings.Lines(errOut.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %q", line)
		}
	}
}

// newTestBars returns bars on a pretended terminal; nothing is drawn but by the test.
func newTestBars(width, height int) (*Console, *bars, *bytes.Buffer) {
	c, _, errOut := newTest("", false)
	b := newBars(c, width, height)
	b.started = true
	c.sink = b
	return c, b, errOut
}

func TestBarsAreBoundedInWidthAndNumber(t *testing.T) {
	for _, width := range []int{20, 40, 80, 132} {
		_, b, _ := newTestBars(width, 24)
		for _, item := range strings.Fields("kubernetes-server-with-a-very-long-name-indeed etcd a b c d e f g") {
			b.event(progress.Event{Phase: "fetch", Item: item, Kind: progress.Start, Total: 320_000_000})
			b.event(progress.Event{Phase: "fetch", Item: item, Kind: progress.Advance, Done: 123_000_000, Total: 320_000_000})
		}
		lines := b.lines()
		if len(lines) != maxBars+2 {
			t.Errorf("width %d: %d lines, want %d", width, len(lines), maxBars+2)
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n >= width {
				t.Errorf("width %d: line of %d cells: %q", width, n, line)
			}
		}
		if width == 80 && !strings.Contains(lines[0], "38% [") {
			t.Errorf("no bar in %q", lines[0])
		}
	}
}

func TestTheBarForAllCountsFinishedItems(t *testing.T) {
	_, b, _ := newTestBars(80, 24)
	for _, item := range []string{"a", "b", "c"} {
		b.event(progress.Event{Phase: "fetch", Item: item, Kind: progress.Start, Total: 100_000})
	}
	b.event(progress.Event{Phase: "fetch", Item: "a", Kind: progress.Done, Done: 100_000, Total: 100_000})
	b.event(progress.Event{Phase: "fetch", Item: "b", Kind: progress.Advance, Done: 50_000, Total: 100_000})
	lines := b.lines()
	last := lines[len(lines)-1]
	if !strings.HasPrefix(last, "all: 1 of 3") || !strings.Contains(last, "50%") {
		t.Errorf("got %q", last)
	}
}

func TestTextThatStaysIsWrittenAboveTheBars(t *testing.T) {
	c, b, errOut := newTestBars(80, 24)
	b.event(progress.Event{Phase: "fetch", Item: "a", Kind: progress.Start})
	b.draw()
	c.PrintError(errors.New("no"))
	b.draw()
	c.Close()
	b.draw() // after the end: nothing
	wantText(t, errOut.String(), ""+
		"fetch: a\x1b[K\n"+ // bar
		"\x1b[1F\x1b[J"+ // away
		"bundle: no\n"+
		"fetch: a\x1b[K\n"+
		"\x1b[1F\x1b[J")
}

func TestEventsFromManyGoroutinesAreFine(t *testing.T) {
	c, b, _ := newTestBars(80, 24)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			item := string(rune('a' + i))
			for n := range int64(100) {
				b.event(progress.Event{Phase: "fetch", Item: item, Kind: progress.Advance, Done: n, Total: 100})
				b.draw()
			}
			b.event(progress.Event{Phase: "fetch", Item: item, Kind: progress.Done, Done: 100, Total: 100})
			c.Say("%s", item)
		})
	}
	all.Wait()
	c.Close()
	if len(b.running) != 0 || b.done != 8 {
		t.Errorf("%d running, %d done; want 0, 8", len(b.running), b.done)
	}
}

func TestSizesAreInPowersOfTen(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_960: "1.0 MB", 320_100_000: "320.1 MB", 4_000_000_000: "4.0 GB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestABarCountsItsRateFromTheFirstEventAndNotFromItsFirstDrawing(t *testing.T) {
	c, _, _ := newTest("", false)
	b := newBars(c, 80, 24)
	defer close(b.stop)
	b.note(progress.Event{Phase: "seal", Item: "node.bundle", Kind: progress.Start, Total: 100e6})
	if r := b.running[0]; r.bar == nil || !r.bar.IsStarted() || !b.all.bar.IsStarted() {
		t.Error("the clock does not run yet")
	}
}
