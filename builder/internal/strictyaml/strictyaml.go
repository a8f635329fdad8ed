// Package strictyaml reads and writes the YAML files that people edit or review: nothing unknown, nothing twice, and every
// finding of a file at once, each with its line and column.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits on what is taken in. A lock of a big site has some 500 entries of 400 bytes; no file of ours nests deeper than 8.
const (
	MaxSize  = 8 << 20 // bytes of one file
	MaxDepth = 32      // mappings and lists inside each other
	maxFound = 200     // problems listed before the rest is only counted
)

// Problem is one finding in a file.
type Problem struct {
	Line   int    // from 1; 0 when it concerns the file as a whole
	Column int    // from 1, in characters
	Path   string // "hosts[2].ip", "" for the file as a whole
	Text   string // what is wrong, in plain words
}

// Problems lists everything that is wrong with a file, in the order of its lines.
type Problems struct {
	Name  string // of the file, for people
	Items []Problem
	More  int // problems that are not listed
}

func (e *Problems) Error() string {
	lines := make([]string, 0, len(e.Items)+1)
	for _, p := range e.Items {
		lines = append(lines, p.Format(e.Name))
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("%s: and %d more", e.Name, e.More))
	}
	return strings.Join(lines, "\n")
}

// Format writes the problem as "name:line:column: path: text", leaving out what is not known.
func (p Problem) Format(name string) string {
	var b strings.Builder
	b.WriteString(name)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Source tells where in the file a value stands.
type Source struct {
	positions map[string]position
	unread    map[string]bool // paths whose value is of another kind than it should be
}

type position struct{ line, column int }

// Position returns the line and column of the key or list item at path, whose elements are keys (string) and list indexes
// (int): Position("hosts", 2, "ip"). When the file does not name it, the place of the nearest thing around it that the
// file does name is returned; 1, 1 in the end.
func (s *Source) Position(path ...any) (line, column int) {
	for n := len(path); s != nil && n > 0; n-- {
		if p, ok := s.positions[Path(path[:n]...)]; ok {
			return p.line, p.column
		}
	}
	return 1, 1
}

// Has reports whether the file itself names path.
func (s *Source) Has(path ...any) bool {
	if s == nil {
		return false
	}
	_, ok := s.positions[Path(path...)]
	return ok
}

// Path writes a path as people read it: "hosts[2].ip".
func Path(path ...any) string {
	var b strings.Builder
	for _, e := range path {
		switch e := e.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", e)
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			fmt.Fprint(&b, e)
		}
	}
	return b.String()
}

// Decode reads data into v, a pointer to a struct whose fields carry yaml tags. What the file does not name keeps the value
// it has, so defaults are set before. A scalar in a string field is taken as it is written (1.20 stays "1.20"). A *Problems
// carries all findings; then the Source is still there, unless the text is not YAML at all, and v holds what could be read.
func Decode(name string, data []byte, v any) (*Source, error) {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() || target.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("internal error: decoding %q: want a pointer to a struct, not %T", name, v)
	}
	body, problem := parse(data)
	if problem != nil {
		return nil, &Problems{Name: name, Items: []Problem{*problem}}
	}
	d := &decoder{source: &Source{positions: map[string]position{}, unread: map[string]bool{}}}
	if body == nil {
		d.wrong(nil, nil, "the file is empty")
	} else {
		d.value(body, target.Elem(), nil)
	}
	if len(d.problems) == 0 && d.more == 0 {
		return d.source, nil
	}
	SortProblems(d.problems)
	return d.source, &Problems{Name: name, Items: d.problems, More: d.more}
}

// SortProblems puts problems into the order of the file's lines.
func SortProblems(list []Problem) {
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
}

// parse returns the body of the file's only document; nil when it is empty.
func parse(data []byte) (ast.Node, *Problem) {
	bodies, problem := parseAll(data, MaxDepth)
	for i, body := range bodies {
		if i > 0 && body != nil {
			return nil, at(body.GetToken(), "a second document begins here; the file holds exactly one")
		}
	}
	if problem != nil || len(bodies) == 0 {
		return nil, problem
	}
	return bodies[0], nil
}

// parseAll returns the bodies of the file's documents; nil for empty ones.
func parseAll(data []byte, depth int) (bodies []ast.Node, problem *Problem) {
	// The parser is not ours and reads what people (and fuzzers) write: a bug in it must not take the program down.
	defer func() {
		if r := recover(); r != nil {
			bodies, problem = nil, &Problem{Text: fmt.Sprintf("this is not readable as YAML (%v)", r)}
		}
	}()
	if len(data) > MaxSize {
		return nil, &Problem{Text: fmt.Sprintf("the file has %d bytes; the limit is %d", len(data), MaxSize)}
	}
	if !utf8.Valid(data) {
		return nil, &Problem{Text: "the file is not UTF-8 text"}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // editors of Windows put it there
	tokens := lexer.Tokenize(string(data))
	if p := refuseTokens(tokens, depth); p != nil {
		return nil, p
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // found by the decoder, all of them
	if err != nil {
		return nil, parseProblem(err)
	}
	for _, doc := range file.Docs {
		bodies = append(bodies, doc.Body)
	}
	return bodies, nil
}

func parseProblem(err error) *Problem {
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) {
		return at(syntax.Token, "this is not valid YAML: "+syntax.Message)
	}
	return &Problem{Text: "this is not valid YAML: " + err.Error()}
}

func at(tk *token.Token, text string) *Problem {
	p := &Problem{Text: text}
	if tk != nil && tk.Position != nil {
		p.Line, p.Column = tk.Position.Line, tk.Position.Column
	}
	return p
}

// refuseTokens finds what must not reach the parser, which recurses: deep nesting, and what can make a small file big.
func refuseTokens(tokens token.Tokens, depth int) *Problem {
	flow := 0
	var columns []int // of the block structures that are open
	for _, tk := range tokens {
		switch tk.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			return at(tk, "anchors (&), aliases (*) and merge keys (<<) are not supported: write the value out")
		case token.TagType:
			return at(tk, fmt.Sprintf("tags are not supported: %q", tk.Value))
		case token.DirectiveType, token.MappingKeyType:
			return at(tk, fmt.Sprintf("%q is not supported here", tk.Value))
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingValueType:
			columns = openAt(columns, blockColumn(tk))
		}
		if flow+len(columns) > depth {
			return at(tk, fmt.Sprintf("nested deeper than %d levels", depth))
		}
	}
	return nil
}

// blockColumn is the column at which the structure of tk begins: a key's for a mapping, the dash's for a list.
func blockColumn(tk *token.Token) int {
	if tk.Type == token.MappingValueType && tk.Prev != nil && tk.Prev.Position != nil {
		tk = tk.Prev
	}
	if tk.Position == nil {
		return 0
	}
	return tk.Position.Column
}

func openAt(columns []int, column int) []int {
	for len(columns) > 0 && columns[len(columns)-1] >= column {
		columns = columns[:len(columns)-1]
	}
	return append(columns, column)
}
