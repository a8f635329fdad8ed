// Package console is how the two commands speak with a person or a program: progress, tables, questions and errors.
//
// Results go to Out. Everything about the work in hand goes to Err: bars on a terminal, plain lines elsewhere, one JSON
// object per line when JSON is asked for. Nothing here is ever in the path of data.
package console

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// Options says where a Console reads and writes.
type Options struct {
	Program  string // begins every error: "bundle"
	In       io.Reader
	Out, Err io.Writer
	JSON     bool // results, progress and errors are JSON
	// Secret reads a line without showing it; nil: from In, when that is a terminal.
	Secret func(ctx context.Context) (string, error)
}

// Console is one conversation. Its methods may be called from several goroutines.
type Console struct {
	program string
	json    bool
	color   bool // on Err
	width   int  // of Out in cells; 0: it is no terminal, and nobody minds long lines
	errs    int  // of Err, the same way
	in      *bufio.Reader
	secret  func(context.Context) (string, error) // nil: nobody can be asked

	mu  sync.Mutex // guards the writers and what is drawn, so that bars and lines do not mix
	out io.Writer
	err io.Writer

	sink sink // what becomes of progress events
}

// New makes a Console. Close it before the process ends.
func New(o Options) *Console {
	c := &Console{program: o.Program, json: o.JSON, in: bufio.NewReader(o.In), out: o.Out, err: o.Err, secret: o.Secret}
	if c.secret == nil {
		c.secret = hidden(o.In)
	}
	width, height, tty := terminal(o.Err)
	c.width, c.errs = columns(o.Out), columns(o.Err)
	c.color = tty && os.Getenv("NO_COLOR") == "" && !o.JSON
	switch {
	case o.JSON:
		c.sink = newJSONSink(c)
	case tty:
		c.sink = newBars(c, width, height)
	default:
		c.sink = newLines(c)
	}
	return c
}

// terminal reports the size of the terminal that w is, and whether it is one that understands cursor movements.
func terminal(w io.Writer) (width, height int, ok bool) {
	f, isFile := w.(interface{ Fd() uintptr })
	if !isFile || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return 0, 0, false
	}
	// The old Windows console does not read escape sequences; Windows Terminal does, and says who it is.
	if runtime.GOOS == "windows" && os.Getenv("WT_SESSION") == "" {
		return 0, 0, false
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 1 {
		return 80, 24, true
	}
	return width, height, true
}

// columns returns the width of the terminal that w is, 0 when it is none.
func columns(w io.Writer) int {
	f, isFile := w.(interface{ Fd() uintptr })
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 1 {
		return 80
	}
	return width
}

// Close removes the bars and stops drawing. Calling it again does nothing.
func (c *Console) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sink.close()
}

// JSON reports whether results are wanted as JSON.
func (c *Console) JSON() bool { return c.json }

// Say prints one line for people on Out. With JSON it is silent: PrintJSON has the result.
func (c *Console) Say(format string, args ...any) {
	if c.json {
		return
	}
	c.write(c.out, wrap(clean(fmt.Sprintf(format, args...)), c.width)+"\n")
}

// PrintJSON prints v on Out as one line of JSON.
func (c *Console) PrintJSON(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("internal error: result as JSON: %w", err)
	}
	c.write(c.out, string(line)+"\n")
	return nil
}

// PrintError prints err on Err as "program: text", and each hint below it. With JSON it is one object.
func (c *Console) PrintError(err error, hints ...string) {
	if c.json {
		line, _ := json.Marshal(struct {
			Error string   `json:"error"`
			Hints []string `json:"hints,omitempty"`
		}{err.Error(), hints})
		c.write(c.err, string(line)+"\n")
		return
	}
	var b strings.Builder
	c.labelled(&b, red, c.program+":", err.Error())
	for _, hint := range hints {
		c.labelled(&b, bold, "hint:", hint)
	}
	c.write(c.err, b.String())
}

// labelled adds a line for Err that begins with a coloured label.
func (c *Console) labelled(b *strings.Builder, color, label, text string) {
	text = wrap(label+" "+clean(text), c.errs)
	b.WriteString(c.paint(color, label) + strings.TrimPrefix(text, label) + "\n")
}

// wrap breaks the lines of text at spaces so that they fit a terminal of width cells; 0 means that there is none. A long
// word, such as an address, stays whole: it can be copied.
func wrap(text string, width int) string {
	if width <= 0 {
		return text
	}
	var b strings.Builder
	at := 0
	for i, word := range strings.SplitAfter(text, " ") {
		// A word may hold line ends of its own.
		first, _, _ := strings.Cut(word, "\n")
		if n := utf8.RuneCountInString(strings.TrimRight(first, " ")); i > 0 && at > 0 && at+n > width-1 && n > 0 {
			b.WriteString("\n")
			at = 0
		}
		b.WriteString(word)
		if end := strings.LastIndexByte(word, '\n'); end >= 0 {
			at, word = 0, word[end+1:]
		}
		at += utf8.RuneCountInString(word)
	}
	return b.String()
}

// Table prints rows under headers with aligned columns on Out. A column whose cells all begin with a digit is aligned to
// the right. On a terminal lines are kept to its width; a file or a pipe gets each row on one line, whole. With JSON it is
// silent.
func (c *Console) Table(headers []string, rows [][]string) {
	if c.json {
		return
	}
	c.write(c.out, table(headers, rows, max(0, c.width-1))) // a full line would wrap on some terminals
}

// write puts text on w with the bars out of the way.
func (c *Console) write(w io.Writer, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sink.hide()
	io.WriteString(w, text) // a closed pipe is no reason to stop the work
}

// Escape sequences of the few colours in use.
const (
	bold   = "\x1b[1m"
	red    = "\x1b[1;31m"
	yellow = "\x1b[33m"
	reset  = "\x1b[0m"
)

func (c *Console) paint(color, text string) string {
	if !c.color {
		return text
	}
	return color + text + reset
}

// clean replaces control characters: names come out of files that nobody has vouched for, and must not drive a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return '?'
		}
		return r
	}, s)
}
