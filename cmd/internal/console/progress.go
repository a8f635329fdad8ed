package console

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"offgrid/bundle/progress"
)

// sink takes progress events.
type sink interface {
	event(progress.Event)
	hide()  // takes away what is drawn, until the next drawing; Console.mu is held
	close() // Console.mu is held
}

// Progress returns the function that shows what the libraries report.
func (c *Console) Progress() progress.Func { return c.sink.event }

// Bytes formats a size the way people buy sticks: in powers of ten.
func Bytes(n int64) string {
	const units = "kMGT"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1000, 0
	for value >= 999.95 && unit < len(units)-1 {
		value, unit = value/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", value, units[unit])
}

// milestone formats the events that stay on the screen; "" for the others.
func (c *Console) milestone(e progress.Event) string {
	text := join(e.Item, e.Text)
	switch e.Kind {
	case progress.Warn:
		var b strings.Builder
		c.labelled(&b, yellow, "warning:", text)
		return strings.TrimSuffix(b.String(), "\n")
	case progress.Note:
		return wrap(clean(text), c.errs)
	case progress.Wait:
		return wrap("waiting: "+clean(text), c.errs)
	}
	return ""
}

func join(item, text string) string {
	switch {
	case item == "":
		return text
	case text == "":
		return item
	}
	return item + ": " + text
}

// quietPeriod is how long a running item may stay silent in a log.
const quietPeriod = 10 * time.Second

// pace keeps down how often an item speaks.
type pace struct {
	mu   sync.Mutex
	last map[string]time.Time // by phase and item
	wait map[string]string    // last thing that an item waited for
}

func newPace() *pace {
	return &pace{last: map[string]time.Time{}, wait: map[string]string{}}
}

// due reports whether e should be shown: every event but an Advance within period of the item's last one, and a Wait for
// what the item is known to wait for.
func (p *pace) due(e progress.Event, period time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	key, now := e.Phase+"\x00"+e.Item, time.Now()
	switch e.Kind {
	case progress.Advance:
		if now.Sub(p.last[key]) < period {
			return false
		}
	case progress.Wait:
		if text, known := p.wait[key]; known && text == e.Text {
			return false
		}
		p.wait[key] = e.Text
	case progress.Done, progress.Skip:
		delete(p.last, key)
		delete(p.wait, key)
		return true
	}
	p.last[key] = now
	return true
}

// lines is progress for a log: what is finished, and what takes long.
type lines struct {
	c    *Console
	pace *pace
}

func newLines(c *Console) *lines { return &lines{c, newPace()} }

func (l *lines) event(e progress.Event) {
	if !l.pace.due(e, quietPeriod) {
		return
	}
	text := l.c.milestone(e)
	name := clean(join(e.Phase, e.Item))
	switch {
	case e.Kind == progress.Advance && e.Total > 0:
		text = fmt.Sprintf("%s: %d %% of %s", name, percent(e.Done, e.Total), Bytes(e.Total))
	case e.Kind == progress.Advance:
		text = fmt.Sprintf("%s: %s", name, Bytes(e.Done))
	case e.Kind == progress.Done && e.Total > 0:
		text = fmt.Sprintf("%s: done, %s", name, Bytes(e.Total))
	case e.Kind == progress.Done:
		text = name + ": done"
	}
	if text != "" {
		l.c.write(l.c.err, text+"\n")
	}
}

func (l *lines) hide()  {}
func (l *lines) close() {}

func percent(done, total int64) int64 { return min(100, int64(float64(done)/float64(total)*100)) }

// jsonSink is progress for a program.
type jsonSink struct {
	c    *Console
	pace *pace
}

func newJSONSink(c *Console) *jsonSink { return &jsonSink{c, newPace()} }

func (j *jsonSink) event(e progress.Event) {
	if !j.pace.due(e, time.Second) {
		return
	}
	line, err := json.Marshal(struct {
		Event string `json:"event"`
		Phase string `json:"phase"`
		Item  string `json:"item,omitempty"`
		Done  int64  `json:"done,omitempty"`
		Total int64  `json:"total,omitempty"`
		Text  string `json:"text,omitempty"`
	}{kindName(e.Kind), e.Phase, e.Item, e.Done, e.Total, e.Text})
	if err == nil {
		j.c.write(j.c.err, string(line)+"\n")
	}
}

func (j *jsonSink) hide()  {}
func (j *jsonSink) close() {}

func kindName(k progress.Kind) string {
	switch k {
	case progress.Start:
		return "start"
	case progress.Advance:
		return "advance"
	case progress.Done:
		return "done"
	case progress.Skip:
		return "skip"
	case progress.Warn:
		return "warn"
	case progress.Note:
		return "note"
	case progress.Wait:
		return "wait"
	}
	return fmt.Sprintf("kind %d", k)
}
