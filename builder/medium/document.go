package medium

import (
	"fmt"
	"html"
	"strings"
	"unicode/utf8"
)

// document is a text for people that becomes plain text of 80 columns and HTML for a printer.
type document struct {
	title string
	items []item
}

type item struct {
	kind string // "section", "para", "command", "output", "table"
	text string
	head []string
	rows [][]string
}

func (d *document) section(title string) {
	d.items = append(d.items, item{kind: "section", text: title})
}
func (d *document) para(format string, args ...any)   { d.add("para", format, args) }
func (d *document) command(text string)               { d.items = append(d.items, item{kind: "command", text: text}) }
func (d *document) output(format string, args ...any) { d.add("output", format, args) }
func (d *document) table(head []string, rows [][]string) {
	d.items = append(d.items, item{kind: "table", head: head, rows: rows})
}

func (d *document) add(kind, format string, args []any) {
	text := format
	if len(args) > 0 {
		text = fmt.Sprintf(format, args...)
	}
	d.items = append(d.items, item{kind: kind, text: text})
}

// columns is the width of the plain text.
const columns = 80

func (s *sheet) text() string { return s.document().plain() }
func (s *sheet) html() string { return s.document().html() }

func (d document) plain() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", d.title, strings.Repeat("=", utf8.RuneCountInString(d.title)))
	for _, it := range d.items {
		b.WriteString("\n")
		switch it.kind {
		case "section":
			fmt.Fprintf(&b, "%s\n%s\n", it.text, strings.Repeat("-", utf8.RuneCountInString(it.text)))
		case "para":
			for _, line := range fold(it.text, columns) {
				b.WriteString(line + "\n")
			}
		case "command":
			b.WriteString("    # " + it.text + "\n")
		case "output":
			b.WriteString("    " + it.text + "\n")
		case "table":
			plainTable(&b, it)
		}
	}
	return b.String()
}

// fold breaks a text at blanks. A word that is longer than the width stays whole.
func fold(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}

// plainTable writes a table. Its last column is folded when it is too wide, or goes to a line of its own.
func plainTable(b *strings.Builder, it item) {
	last := len(it.head) - 1
	widths := make([]int, len(it.head))
	for _, row := range append([][]string{it.head}, it.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	if it.head[0] == "code" { // the middle column is a text, too
		widths[1] = min(widths[1], 32)
	}
	used := 0
	for _, w := range widths[:last] {
		used += w + 2
	}
	rest := columns - used
	for _, row := range append([][]string{it.head}, it.rows...) {
		cells := make([][]string, len(row))
		lines := 1
		for i, cell := range row {
			width := widths[i]
			if i == last {
				width = max(rest, 16)
			}
			cells[i] = fold(cell, width)
			lines = max(lines, len(cells[i]))
		}
		for n := range lines {
			line := ""
			for i := range cells {
				cell := ""
				if n < len(cells[i]) {
					cell = cells[i][n]
				}
				line += cell + strings.Repeat(" ", max(widths[i]-utf8.RuneCountInString(cell), 0)+2)
			}
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
}

// style makes the page fit for paper: A4, black, commands that do not break in two.
const style = `
@page { size: A4; margin: 15mm; }
body { font: 10.5pt/1.35 sans-serif; color: #000; background: #fff; max-width: 180mm; margin: 0 auto; padding: 4mm; }
h1 { font-size: 17pt; margin: 0 0 2mm; } h2 { font-size: 12.5pt; margin: 6mm 0 1mm; border-bottom: 1px solid #000; page-break-after: avoid; }
p { margin: 1.5mm 0; } table { border-collapse: collapse; width: 100%; margin: 2mm 0; }
th, td { border: 1px solid #999; padding: 1mm 1.5mm; text-align: left; vertical-align: top; } th { background: #eee; }
tr, pre { page-break-inside: avoid; } thead { display: table-header-group; }
pre, code { font: 9.5pt monospace; } pre { margin: 1.5mm 0; padding: 1.5mm 2mm; border: 1px solid #999; white-space: pre-wrap; overflow-wrap: anywhere; }
pre.output { border-style: dashed; } td.tick { width: 6mm; }
`

func (d document) html() string {
	var b strings.Builder
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>%s</title>\n<style>%s</style>\n</head>\n<body>\n<h1>%s</h1>\n", html.EscapeString(d.title), style, html.EscapeString(d.title))
	for _, it := range d.items {
		text := html.EscapeString(it.text)
		switch it.kind {
		case "section":
			fmt.Fprintf(&b, "<h2>%s</h2>\n", text)
		case "para":
			fmt.Fprintf(&b, "<p>%s</p>\n", text)
		case "command":
			fmt.Fprintf(&b, "<pre># %s</pre>\n", text)
		case "output":
			fmt.Fprintf(&b, "<pre class=\"output\">%s</pre>\n", text)
		case "table":
			htmlTable(&b, it)
		}
	}
	b.WriteString("</body>\n</html>\n")
	return b.String()
}

func htmlTable(b *strings.Builder, it item) {
	tick := it.head[0] == "" // lines to be ticked off
	b.WriteString("<table>\n<thead><tr>")
	for _, cell := range it.head {
		fmt.Fprintf(b, "<th>%s</th>", html.EscapeString(cell))
	}
	if tick {
		b.WriteString("<th>done</th>")
	}
	b.WriteString("</tr></thead>\n<tbody>\n")
	for _, row := range it.rows {
		b.WriteString("<tr>")
		for i, cell := range row {
			text := html.EscapeString(cell)
			if strings.HasPrefix(it.head[i], "type") || it.head[i] == "fingerprint" || it.head[i] == "file" {
				text = "<code>" + text + "</code>"
			}
			fmt.Fprintf(b, "<td>%s</td>", text)
		}
		if tick {
			b.WriteString("<td class=\"tick\"></td>")
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</tbody>\n</table>\n")
}
