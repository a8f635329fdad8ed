package strictyaml

import (
	"bytes"
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Marshal writes v, a struct with yaml tags, in the order of its fields, two spaces a level, maps by key. Same value, same
// bytes, and Decode gives the same value back. The library's own encoder is not used: it drops blanks before a line's end.
func Marshal(v any) ([]byte, error) {
	value := reflect.Indirect(reflect.ValueOf(v))
	if value.Kind() != reflect.Struct {
		return nil, fmt.Errorf("internal error: writing YAML of %T, which is not a struct", v)
	}
	var e encoder
	if err := e.structure(value, 0, false); err != nil {
		return nil, fmt.Errorf("writing YAML of %T: %w", v, err)
	}
	return e.out.Bytes(), nil
}

type encoder struct{ out bytes.Buffer }

func (e *encoder) indent(level int) { e.out.WriteString(strings.Repeat("  ", level)) }

// structure writes the fields of v; inline: the first stands on the line of its dash.
func (e *encoder) structure(v reflect.Value, level int, inline bool) error {
	written := false
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || name == "" || name == "-" {
			continue
		}
		field := v.Field(i)
		if options == "omitempty" && isEmpty(field) {
			continue
		}
		if written || !inline {
			e.indent(level)
		}
		written = true
		e.out.WriteString(quote(name) + ":")
		if err := e.value(field, level); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if !written {
		if !inline {
			e.indent(level)
		}
		e.out.WriteString("{}\n")
	}
	return nil
}

// value writes v behind a key that stands at level.
func (e *encoder) value(v reflect.Value, level int) error {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			e.out.WriteString(" null\n")
			return nil
		}
		return e.value(v.Elem(), level)
	}
	text, isScalar, err := scalarOf(v)
	switch {
	case err != nil:
		return err
	case isScalar:
		e.out.WriteString(" " + text + "\n")
		return nil
	}
	switch v.Kind() {
	case reflect.Struct:
		e.out.WriteByte('\n')
		return e.structure(v, level+1, false)
	case reflect.Map:
		return e.mapOf(v, level)
	case reflect.Slice:
		return e.list(v, level)
	}
	return fmt.Errorf("internal error: no way to write a %s", v.Type())
}

func (e *encoder) list(v reflect.Value, level int) error {
	if v.Len() == 0 {
		e.out.WriteString(" []\n")
		return nil
	}
	e.out.WriteByte('\n')
	for i := range v.Len() {
		e.indent(level + 1)
		e.out.WriteByte('-')
		item := reflect.Indirect(v.Index(i))
		if !item.IsValid() {
			return fmt.Errorf("[%d]: an empty list item", i)
		}
		var err error
		if _, isScalar, _ := scalarOf(item); !isScalar && item.Kind() == reflect.Struct {
			e.out.WriteByte(' ')
			err = e.structure(item, level+2, true)
		} else {
			err = e.value(item, level+1)
		}
		if err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return nil
}

func (e *encoder) mapOf(v reflect.Value, level int) error {
	if v.Len() == 0 {
		e.out.WriteString(" {}\n")
		return nil
	}
	e.out.WriteByte('\n')
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, k := range keys {
		e.indent(level + 1)
		e.out.WriteString(quote(k.String()) + ":")
		if err := e.value(v.MapIndex(k), level+1); err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
	}
	return nil
}

// scalarOf returns the text of a value that is one YAML scalar.
func scalarOf(v reflect.Value) (string, bool, error) {
	switch x := v.Interface().(type) {
	case time.Time:
		return quote(x.UTC().Format(time.RFC3339Nano)), true, nil
	case encoding.TextMarshaler:
		text, err := x.MarshalText()
		return quote(string(text)), true, err
	}
	switch v.Kind() {
	case reflect.String:
		return quote(v.String()), true, nil
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), true, nil
	case reflect.Int, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), true, nil
	}
	return "", false, nil
}

func isEmpty(v reflect.Value) bool {
	if k := v.Kind(); k == reflect.Slice || k == reflect.Map {
		return v.Len() == 0
	}
	return v.IsZero()
}

// isPlain reports whether every YAML reader takes s, written without quotes, for that very string: words that begin with a
// letter or slash, and versions such as 20.10.24, which is no number to anybody.
func isPlain(s string) bool {
	if s == "" || strings.Trim(s, " :") != s || strings.Contains(s, ": ") || strings.Contains(s, "  ") {
		return false
	}
	for _, r := range s {
		if !strings.ContainsRune("/_.+@:=%^()- ", r) && (r > 'z' || !unicode.IsDigit(r) && !unicode.IsLetter(r)) {
			return false
		}
	}
	switch first := rune(s[0]); {
	case unicode.IsDigit(first):
		return strings.Count(s, ".") >= 2 && !strings.Contains(s, ":")
	case first != '/' && !unicode.IsLetter(first):
		return false
	}
	words := []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"}
	return !slices.Contains(words, strings.ToLower(s))
}

func quote(s string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r == 0xfeff || !unicode.IsPrint(r) && r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
