package strictyaml

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// maxDocumentDepth bounds what Documents takes in: definitions of custom resources nest some thirty levels deep.
const maxDocumentDepth = 100

// Node is one value of a document that is read without a Go type for it.
type Node struct {
	Line   int // where it begins, from 1
	Column int // from 1, in characters
	Text   string
	Scalar bool
	Null   bool
	Keys   []string // of a mapping, in the file's order
	Fields map[string]*Node
	Items  []*Node // of a list
}

// Field returns the value below the keys; nil when there is none.
func (n *Node) Field(keys ...string) *Node {
	for _, key := range keys {
		if n == nil {
			return nil
		}
		n = n.Fields[key]
	}
	return n
}

// String returns the text of the scalar below the keys, "" when there is none.
func (n *Node) String(keys ...string) string {
	if f := n.Field(keys...); f != nil {
		return f.Text
	}
	return ""
}

// Documents reads all documents of a file, empty ones left out. The error is a *Problems.
func Documents(name string, data []byte) ([]*Node, error) {
	d := &decoder{source: &Source{positions: map[string]position{}, unread: map[string]bool{}}}
	var all []*Node
	for _, text := range split(string(data)) {
		if strings.TrimSpace(text.content) == "" {
			continue
		}
		bodies, problem := parseAll([]byte(text.content), maxDocumentDepth)
		if problem != nil {
			if problem.Line > 0 {
				problem.Line += text.before
			}
			return nil, &Problems{Name: name, Items: []Problem{*problem}}
		}
		d.before = text.before
		for _, body := range bodies {
			if body != nil && body.Type() != ast.NullType && body.Type() != ast.CommentType {
				all = append(all, d.node(body, nil))
			}
		}
	}
	if len(d.problems) > 0 {
		SortProblems(d.problems)
		return nil, &Problems{Name: name, Items: d.problems, More: d.more}
	}
	return all, nil
}

// document is the text of one document and how many lines stand before it in the file.
type document struct {
	content string
	before  int
}

// split cuts a file into its documents. The parser itself loses a document that follows an empty one.
func split(data string) []document {
	var all []document
	var content strings.Builder
	number, before := 0, 0
	for line := range strings.Lines(data) {
		if rest, ok := strings.CutPrefix(line, "---"); ok && (rest == "" || strings.ContainsAny(rest[:1], " \t\r\n")) {
			all = append(all, document{content.String(), before})
			content.Reset()
			before = number
			line = "   " + rest
		}
		content.WriteString(line)
		number++
	}
	return append(all, document{content.String(), before})
}

func (d *decoder) node(from ast.Node, path []any) *Node {
	n := &Node{}
	if from == nil {
		n.Null = true
		return n
	}
	if tk := firstToken(from); tk != nil && tk.Position != nil {
		n.Line, n.Column = tk.Position.Line+d.before, tk.Position.Column
	}
	switch v := from.(type) {
	case *ast.NullNode:
		n.Null = true
	case *ast.SequenceNode:
		for i, item := range v.Values {
			n.Items = append(n.Items, d.node(item, append(path[:len(path):len(path)], i)))
		}
	case *ast.MappingNode, *ast.MappingValueNode:
		n.Fields = map[string]*Node{}
		values, _ := d.mapping(from, path)
		d.eachKey(values, path, func(key string, _ *token.Token, value ast.Node, here []any) {
			n.Keys = append(n.Keys, key)
			n.Fields[key] = d.node(value, here)
		})
	default:
		text, ok := scalarText(from)
		if !ok {
			d.add(from.GetToken(), path, "want a value, a list or keys with values, not %s", describe(from))
		}
		n.Text, n.Scalar = text, true
	}
	return n
}
