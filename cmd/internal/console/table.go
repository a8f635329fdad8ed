package console

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	gap       = 2  // cells between two columns
	narrowest = 8  // of a column whose cells are folded
	worthNote = 24 // of the last column: a longer text that comes again and again goes below the table
	mostNotes = 12 // below one table: nobody looks up more
)

// grid is a table that is being laid out.
type grid struct {
	headers []string
	rows    [][]string
	widths  []int
	right   []bool
	notes   []string // below the table, "[1] ..." for each text that was taken out of the last column
}

// table formats rows under headers, two spaces between columns and none at the end of a line. No line is longer than limit
// cells, as far as that can be done: texts that come again and again in the last column are written once below the table,
// then the widest columns are folded. Nothing is left out. A limit of 0 means none.
func table(headers []string, rows [][]string, limit int) string {
	g := newGrid(headers, rows)
	if limit > 0 && g.width() > limit {
		g.takeNotes()
		g.narrow(limit)
	}
	var b strings.Builder
	g.write(&b, g.headers)
	for _, row := range g.rows {
		g.write(&b, row)
	}
	if len(g.notes) > 0 {
		b.WriteString("\n")
	}
	for i, note := range g.notes {
		mark := fmt.Sprintf("[%d] ", i+1)
		for _, line := range fold(note, max(narrowest, limit-len(mark))) {
			b.WriteString(mark + line + "\n")
			mark = strings.Repeat(" ", len(mark))
		}
	}
	return b.String()
}

func newGrid(headers []string, rows [][]string) *grid {
	g := &grid{headers: headers, widths: make([]int, len(headers)), right: make([]bool, len(headers))}
	plain := strings.NewReplacer("\n", "?", "\t", "?")
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = plain.Replace(clean(cell))
		}
		g.rows = append(g.rows, cells)
	}
	for i := range headers {
		g.right[i] = len(rows) > 0
		for _, row := range g.rows {
			g.right[i] = g.right[i] && row[i] != "" && row[i][0] >= '0' && row[i][0] <= '9' && isAmount(row[i])
		}
		g.measure(i)
	}
	return g
}

func (g *grid) measure(column int) {
	g.widths[column] = utf8.RuneCountInString(g.headers[column])
	for _, row := range g.rows {
		g.widths[column] = max(g.widths[column], utf8.RuneCountInString(row[column]))
	}
}

// width is that of the longest line, when cells are not folded.
func (g *grid) width() int {
	n := gap * (len(g.widths) - 1)
	for _, w := range g.widths {
		n += w
	}
	return n
}

// takeNotes writes each text of the last column once, when that is worth it.
func (g *grid) takeNotes() {
	last := len(g.headers) - 1
	number := map[string]int{}
	var texts []string
	for _, row := range g.rows {
		if text := row[last]; text != "" && number[text] == 0 {
			texts = append(texts, text)
			number[text] = len(texts)
		}
	}
	if g.widths[last] < worthNote || len(texts)*2 > len(g.rows) || len(texts) > mostNotes {
		return
	}
	for _, row := range g.rows {
		if row[last] != "" {
			row[last] = fmt.Sprintf("[%d]", number[row[last]])
		}
	}
	g.notes = texts
	g.measure(last)
}

// narrow takes from the widest column, again and again, until a line fits. Amounts are never folded.
func (g *grid) narrow(limit int) {
	for g.width() > limit {
		widest := -1
		for i, w := range g.widths {
			if !g.right[i] && w > narrowest && (widest < 0 || w > g.widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		g.widths[widest]--
	}
}

// write formats one row, on as many lines as its longest cell needs.
func (g *grid) write(b *strings.Builder, row []string) {
	folded := make([][]string, len(row))
	height := 1
	for i, cell := range row {
		folded[i] = fold(cell, g.widths[i])
		height = max(height, len(folded[i]))
	}
	for n := range height {
		var line strings.Builder
		for i, lines := range folded {
			if i > 0 {
				line.WriteString(strings.Repeat(" ", gap))
			}
			text := ""
			if n < len(lines) {
				text = lines[n]
			}
			pad := strings.Repeat(" ", max(0, g.widths[i]-utf8.RuneCountInString(text)))
			if g.right[i] {
				line.WriteString(pad + text)
			} else {
				line.WriteString(text + pad)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// fold breaks text into lines of at most width cells: at a space, else behind a sign within a name, else anywhere.
func fold(text string, width int) []string {
	var lines []string
	rest := []rune(text)
	for len(rest) > width {
		at := width
		if i := lastOf(rest[:width+1], " "); i > 0 {
			at = i
		} else if i := lastOf(rest[:width], "/-:,@=_"); i >= width/3 {
			at = i + 1
		}
		lines = append(lines, strings.TrimRight(string(rest[:at]), " "))
		rest = []rune(strings.TrimLeft(string(rest[at:]), " "))
	}
	return append(lines, string(rest))
}

// lastOf returns the index of the last rune that is one of signs, -1 when there is none.
func lastOf(text []rune, signs string) int {
	for i := len(text) - 1; i >= 0; i-- {
		if strings.ContainsRune(signs, text[i]) {
			return i
		}
	}
	return -1
}

// isAmount reports whether s is a number or a size such as "12.3 MB": versions and addresses have more than one dot.
func isAmount(s string) bool {
	number, unit, _ := strings.Cut(s, " ")
	if strings.Count(number, ".") > 1 || strings.Trim(number, "0123456789.") != "" {
		return false
	}
	return unit == "" || strings.HasSuffix(unit, "B")
}
