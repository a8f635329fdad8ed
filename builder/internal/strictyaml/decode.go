package strictyaml

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// decoder walks the syntax tree beside the Go type, so that one pass finds everything that is wrong.
type decoder struct {
	source   *Source
	problems []Problem
	more     int
	before   int // lines of the file before the document
}

func (d *decoder) add(tk *token.Token, path []any, format string, args ...any) {
	if len(d.problems) >= maxFound {
		d.more++
		return
	}
	p := at(tk, fmt.Sprintf(format, args...))
	if p.Line > 0 {
		p.Line += d.before
	}
	p.Path = Path(path...)
	d.problems = append(d.problems, *p)
}

// wrong is add for a value that is not read at all: what follows from it is no other finding.
func (d *decoder) wrong(tk *token.Token, path []any, format string, args ...any) {
	d.add(tk, path, format, args...)
	d.source.unread[Path(path...)] = true
}

func (d *decoder) mark(tk *token.Token, path []any) {
	if tk != nil && tk.Position != nil {
		d.source.positions[Path(path...)] = position{tk.Position.Line, tk.Position.Column}
	}
}

// value reads node into dst, which may hold a default. A null leaves it as it is.
func (d *decoder) value(node ast.Node, dst reflect.Value, path []any) {
	if node == nil || node.Type() == ast.NullType {
		return
	}
	if dst.Kind() == reflect.Pointer {
		fresh := reflect.New(dst.Type().Elem())
		d.value(node, fresh.Elem(), path)
		dst.Set(fresh)
		return
	}
	if isScalarType(dst) {
		d.scalar(node, dst, path)
		return
	}
	switch dst.Kind() {
	case reflect.Struct:
		if values, ok := d.mapping(node, path); ok {
			d.structure(values, dst, path)
		}
	case reflect.Map:
		if values, ok := d.mapping(node, path); ok {
			d.mapOf(values, dst, path)
		}
	case reflect.Slice:
		d.list(node, dst, path)
	default:
		d.add(node.GetToken(), path, "internal error: no way to read a %s", dst.Type())
	}
}

// isScalarType reports whether one YAML scalar fills a value of the type.
func isScalarType(dst reflect.Value) bool {
	if _, ok := dst.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return true
	}
	switch dst.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice:
		return false
	}
	return true
}

func (d *decoder) mapping(node ast.Node, path []any) ([]*ast.MappingValueNode, bool) {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	d.wrong(node.GetToken(), path, "want keys with values here, not %s", describe(node))
	return nil, false
}

func (d *decoder) structure(values []*ast.MappingValueNode, dst reflect.Value, path []any) {
	fields, known := fieldsOf(dst.Type())
	d.eachKey(values, path, func(key string, tk *token.Token, v ast.Node, here []any) {
		index, ok := fields[key]
		if !ok {
			d.add(tk, here, "unknown key %q; known here: %s", key, strings.Join(known, ", "))
			return
		}
		d.mark(tk, here)
		d.value(v, dst.Field(index), here)
	})
}

func (d *decoder) mapOf(values []*ast.MappingValueNode, dst reflect.Value, path []any) {
	if dst.Type().Key().Kind() != reflect.String {
		d.add(nil, path, "internal error: no way to read a %s", dst.Type())
		return
	}
	out := reflect.MakeMap(dst.Type())
	d.eachKey(values, path, func(key string, tk *token.Token, v ast.Node, here []any) {
		d.mark(tk, here)
		element := reflect.New(dst.Type().Elem()).Elem()
		d.value(v, element, here)
		out.SetMapIndex(reflect.ValueOf(key).Convert(dst.Type().Key()), element)
	})
	dst.Set(out)
}

// eachKey calls f for every key but those that stand twice.
func (d *decoder) eachKey(values []*ast.MappingValueNode, path []any, f func(string, *token.Token, ast.Node, []any)) {
	first := map[string]int{}
	for _, kv := range values {
		tk := kv.Key.GetToken()
		if _, plain := kv.Key.(ast.ScalarNode); !plain || tk == nil {
			d.add(tk, path, "a key must be a plain word")
			continue
		}
		key, _ := scalarText(kv.Key)
		here := append(slices.Clip(path), key)
		if line, twice := first[key]; twice {
			d.add(tk, here, "key %q stands here a second time; the first is in line %d", key, line)
			continue
		}
		first[key] = tk.Position.Line + d.before
		f(key, tk, kv.Value, here)
	}
}

func (d *decoder) list(node ast.Node, dst reflect.Value, path []any) {
	seq, ok := node.(*ast.SequenceNode)
	if !ok {
		d.wrong(node.GetToken(), path, "want a list here, not %s", describe(node))
		return
	}
	out := reflect.MakeSlice(dst.Type(), len(seq.Values), len(seq.Values))
	for i, v := range seq.Values {
		here := append(slices.Clip(path), i)
		if v == nil || v.Type() == ast.NullType {
			d.wrong(entryToken(seq, i), here, "an empty list item")
			continue
		}
		d.mark(firstToken(v), here)
		d.value(v, out.Index(i), here)
	}
	dst.Set(out)
}

// entryToken is the dash of an entry, or where the list begins.
func entryToken(seq *ast.SequenceNode, i int) *token.Token {
	if i < len(seq.Entries) && seq.Entries[i] != nil && seq.Entries[i].Start != nil {
		return seq.Entries[i].Start
	}
	return seq.GetToken()
}

// firstToken is where a node begins for the reader: the parser's own token of a mapping is its colon.
func firstToken(node ast.Node) *token.Token {
	switch n := node.(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 && !n.IsFlowStyle {
			return n.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	}
	return node.GetToken()
}

func (d *decoder) scalar(node ast.Node, dst reflect.Value, path []any) {
	text, ok := scalarText(node)
	if !ok {
		d.add(node.GetToken(), path, "want a single value here, not %s", describe(node))
		return
	}
	if err := setScalar(node, text, dst); err != nil {
		d.add(node.GetToken(), path, "%s", err)
	}
}

// scalarText is the scalar as it is written, quotes and escapes resolved.
func scalarText(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case ast.ScalarNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func setScalar(node ast.Node, text string, dst reflect.Value) error {
	if u, ok := dst.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if _, isTime := u.(*time.Time); isTime && !strings.HasSuffix(text, "Z") {
			return fmt.Errorf("%q is not a time in UTC as in 2024-01-31T12:00:00Z", text)
		}
		return u.UnmarshalText([]byte(text))
	}
	switch dst.Kind() {
	case reflect.String:
		dst.SetString(text)
	case reflect.Bool:
		if b, ok := node.(*ast.BoolNode); ok {
			dst.SetBool(b.Value)
			return nil
		}
		return fmt.Errorf("%q is neither true nor false", text)
	case reflect.Int, reflect.Int64, reflect.Int32:
		n, err := strconv.ParseInt(text, 10, dst.Type().Bits())
		if err != nil || node.Type() != ast.IntegerType {
			return fmt.Errorf("%q is not a whole number", text)
		}
		dst.SetInt(n)
	default:
		return fmt.Errorf("internal error: no way to read a %s", dst.Type())
	}
	return nil
}

// fieldsOf maps the yaml names of a struct's fields to their indexes, and lists them in their order.
func fieldsOf(t reflect.Type) (map[string]int, []string) {
	fields, known := map[string]int{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || name == "" || name == "-" {
			continue
		}
		fields[name] = i
		known = append(known, name)
	}
	return fields, known
}

func describe(node ast.Node) string {
	switch node.Type() {
	case ast.MappingType, ast.MappingValueType:
		return "keys with values"
	case ast.SequenceType:
		return "a list"
	}
	if text, ok := scalarText(node); ok {
		return fmt.Sprintf("the value %q", text)
	}
	return "this"
}
