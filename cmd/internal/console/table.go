package console

import (
	"strings"
	"unicode/utf8"
)

// table formats rows under headers, two spaces between columns and none at the end of a line.
func table(headers []string, rows [][]string) string {
	widths := make([]int, len(headers))
	right := make([]bool, len(headers))
	for i, header := range headers {
		widths[i] = utf8.RuneCountInString(header)
		right[i] = len(rows) > 0
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
			right[i] = right[i] && row[i] != "" && row[i][0] >= '0' && row[i][0] <= '9' && isAmount(row[i])
		}
	}
	var b strings.Builder
	line := func(cells []string) {
		var text strings.Builder
		for i, cell := range cells {
			if i > 0 {
				text.WriteString("  ")
			}
			cell = strings.NewReplacer("\n", "?", "\t", "?").Replace(clean(cell))
			pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell)))
			if right[i] {
				text.WriteString(pad + cell)
			} else {
				text.WriteString(cell + pad)
			}
		}
		b.WriteString(strings.TrimRight(text.String(), " ") + "\n")
	}
	line(headers)
	for _, row := range rows {
		line(row)
	}
	return b.String()
}

// isAmount reports whether s is a number or a size such as "12.3 MB": versions and addresses have more than one dot.
func isAmount(s string) bool {
	number, unit, _ := strings.Cut(s, " ")
	if strings.Count(number, ".") > 1 || strings.Trim(number, "0123456789.") != "" {
		return false
	}
	return unit == "" || strings.HasSuffix(unit, "B")
}
