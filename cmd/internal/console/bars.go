package console

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"offgrid/bundle/progress"
)

const (
	drawPeriod = 100 * time.Millisecond
	maxBars    = 6  // more running items are counted, not drawn
	nameWidth  = 30 // of an item, cells
	statsWidth = 34 // " 100% || (123.4 MB/567.8 MB, 12.3 MB/s)" without the bar itself
)

// bars is progress on a terminal: a bar per running item and one for all. Events only note numbers; a ticker draws, the
// whole block in one write, so that a slow terminal slows nothing but itself.
type bars struct {
	c             *Console
	width, height int

	drawn  int  // lines on the screen now; guarded by c.mu
	closed bool // guarded by c.mu
	stop   chan struct{}
	pace   *pace

	mu      sync.Mutex // never held while the terminal is written to: events must not wait for it
	running []*running // in the order in which they began
	all     running    // sums over every item seen
	done    int        // finished items
	seen    int
	started bool
}

// running is one item at work.
type running struct {
	key, name   string
	done, total int64
	bar         *progressbar.ProgressBar // nil while total is unknown
}

func newBars(c *Console, width, height int) *bars {
	return &bars{c: c, width: width, height: height, pace: newPace(), all: running{name: "all"}, stop: make(chan struct{})}
}

func (b *bars) event(e progress.Event) {
	if e.Kind == progress.Warn || e.Kind == progress.Note || e.Kind == progress.Wait {
		if b.pace.due(e, 0) {
			b.c.write(b.c.err, b.c.milestone(e)+"\n")
		}
		return
	}
	if b.note(e) {
		// An item without bytes is a step: people want to see that it was done.
		b.c.write(b.c.err, clean(join(e.Phase, e.Item))+": done\n")
	}
}

// note books e and reports whether it ended an item that has no size.
func (b *bars) note(e progress.Event) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := e.Phase + "\x00" + e.Item
	r := b.find(key)
	if e.Kind == progress.Skip || e.Kind == progress.Done {
		if r != nil {
			b.remove(r)
			b.all.done += max(r.total, r.done)
			b.done++
		}
		return e.Kind == progress.Done && e.Total == 0 && (r == nil || r.done == 0)
	}
	if r == nil {
		r = &running{key: key, name: clean(join(e.Phase, e.Item))}
		b.running = append(b.running, r)
		b.seen++
		b.begin()
	}
	r.done = e.Done
	if e.Total > r.total {
		b.all.total += e.Total - r.total
		r.total = e.Total
	}
	r.clock(b.width)
	b.all.clock(b.width)
	return false
}

func (b *bars) find(key string) *running {
	for _, r := range b.running {
		if r.key == key {
			return r
		}
	}
	return nil
}

func (b *bars) remove(r *running) {
	for i := range b.running {
		if b.running[i] == r {
			b.running = append(b.running[:i], b.running[i+1:]...)
			return
		}
	}
}

// begin starts the ticker with the first item. b.mu is held.
func (b *bars) begin() {
	if b.started {
		return
	}
	b.started = true
	go func() {
		ticker := time.NewTicker(drawPeriod)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				b.draw()
			case <-b.stop:
				return
			}
		}
	}()
}

// draw replaces the block of bars.
func (b *bars) draw() {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	if b.closed {
		return
	}
	lines := b.lines()
	var text strings.Builder
	text.WriteString(up(b.drawn))
	for _, line := range lines {
		text.WriteString(line + "\x1b[K\n")
	}
	if b.drawn > len(lines) {
		text.WriteString("\x1b[J")
	}
	b.drawn = len(lines)
	io.WriteString(b.c.err, text.String())
}

// lines is the block: no line is wider than the terminal, and the block is never higher.
func (b *bars) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.running) == 0 {
		return nil
	}
	shown := min(len(b.running), maxBars, max(1, b.height-4))
	var lines []string
	for _, r := range b.running[:shown] {
		lines = append(lines, r.line(r.done, b.width))
	}
	if more := len(b.running) - shown; more > 0 {
		lines = append(lines, cut(fmt.Sprintf("and %d more", more), b.width-1))
	}
	done := b.all.done
	for _, r := range b.running {
		done += min(r.done, max(r.total, r.done))
	}
	b.all.name = fmt.Sprintf("all: %d of %d", b.done, b.seen)
	if b.seen > 1 {
		lines = append(lines, b.all.line(done, b.width))
	}
	return lines
}

// line draws the item in at most width-1 cells: a full line would wrap on some terminals.
func (r *running) line(done int64, width int) string {
	name := fmt.Sprintf("%-*s", nameWidth, cut(r.name, nameWidth))
	if r.total < 2 {
		if done == 0 {
			return cut(r.name, width-1)
		}
		return cut(name+" "+Bytes(done), width-1)
	}
	r.clock(width)
	if r.bar.GetMax64() != r.total {
		r.bar.ChangeMax64(r.total)
	}
	// A bar that was full once never moves again, and the total may still grow: it stops one byte short.
	r.bar.Set64(min(done, r.total-1))
	r.bar.Describe(name)
	return cut(strings.Trim(r.bar.String(), "\r "), width-1)
}

// clock makes the bar, once. Its rate counts from then on, so that it is made with the first event and not when it is drawn.
func (r *running) clock(width int) {
	if r.bar != nil || r.total < 2 {
		return
	}
	r.bar = progressbar.NewOptions64(r.total,
		progressbar.OptionSetWriter(io.Discard), progressbar.OptionSetWidth(max(4, width-1-nameWidth-statsWidth)),
		progressbar.OptionShowBytes(true), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}))
	r.bar.StartWithoutRender()
}

// hide takes the block off the screen, for text that is to stay.
func (b *bars) hide() {
	if b.drawn == 0 {
		return
	}
	io.WriteString(b.c.err, up(b.drawn)+"\x1b[J")
	b.drawn = 0
}

func (b *bars) close() {
	b.hide()
	if !b.closed {
		b.closed = true
		close(b.stop)
	}
}

// up moves the cursor to the first column, n lines up.
func up(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dF", n)
}

// cut shortens s to width cells.
func cut(s string, width int) string {
	runes := []rune(s)
	if len(runes) <= width {
		return s
	}
	if width < 4 {
		return string(runes[:max(0, width)])
	}
	return string(runes[:width-3]) + "..."
}
