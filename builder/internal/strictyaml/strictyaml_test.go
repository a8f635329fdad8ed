package strictyaml

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"offgrid/bundle"
)

type sample struct {
	Schema int           `yaml:"schema"`
	Name   string        `yaml:"name"`
	On     bool          `yaml:"on"`
	Date   time.Time     `yaml:"date"`
	Digest bundle.Digest `yaml:"digest"`
	Items  []item        `yaml:"items,omitempty"`
	Words  []string      `yaml:"words,omitempty"`
	Inner  *item         `yaml:"inner,omitempty"`
}

type item struct {
	ID   string            `yaml:"id"`
	Size int64             `yaml:"size,omitempty"`
	Tags map[string]string `yaml:"tags,omitempty"`
}

func TestAllFindingsAreNamedAtOnceWithTheirPlaces(t *testing.T) {
	text := `schema: one
name: x
nmae: y
name: z
on: yes
items:
  - id: a
    size: 12q
  - [1, 2]
  - {id: c, colour: red}
words: hello
digest: sha256:12
date: 2024-01-31 12:00:00
`
	var v sample
	src, err := Decode("f.yaml", []byte(text), &v)
	if src == nil {
		t.Fatal("no source beside the findings")
	}
	want := []string{
		`f.yaml:1:9: schema: "one" is not a whole number`,
		`f.yaml:3:1: nmae: unknown key "nmae"; known here: schema, name, on, date, digest, items, words, inner`,
		`f.yaml:4:1: name: key "name" stands here a second time; the first is in line 2`,
		`f.yaml:5:5: on: "yes" is neither true nor false`,
		`f.yaml:8:11: items[0].size: "12q" is not a whole number`,
		`f.yaml:9:5: items[1]: want keys with values here, not a list`,
		`f.yaml:10:13: items[2].colour: unknown key "colour"; known here: id, size, tags`,
		`f.yaml:11:8: words: want a list here, not the value "hello"`,
		`f.yaml:12:9: digest: digest "sha256:12": want "sha256:" and 64 lower-case hex digits`,
		`f.yaml:13:7: date: "2024-01-31 12:00:00" is not a time in UTC as in 2024-01-31T12:00:00Z`,
	}
	if got := strings.Split(err.Error(), "\n"); !reflect.DeepEqual(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if v.Name != "x" || v.Items[2].ID != "c" {
		t.Errorf("what is right was not read: %+v", v)
	}
}

func TestAbsentKeysKeepTheirDefaultsAndNumbersStayAsWrittenInStrings(t *testing.T) {
	v := sample{On: true, Words: []string{"default"}, Schema: 7}
	src, err := Decode("f", []byte("# top\nname: 1.20 # text\ninner: {id: 007}\nwords:\n"), &v)
	if err != nil {
		t.Fatal(err)
	}
	if v.Name != "1.20" || v.Inner.ID != "007" || !v.On || v.Schema != 7 || len(v.Words) != 1 {
		t.Errorf("got %+v", v)
	}
	if !src.Has("inner", "id") || src.Has("on") {
		t.Error("Has does not tell what the file names")
	}
	for _, c := range []struct {
		path      []any
		line, col int
	}{{[]any{"name"}, 2, 1}, {[]any{"inner", "id"}, 3, 9}, {[]any{"inner", "size"}, 3, 1}, {[]any{"items", 3}, 1, 1}} {
		if l, col := src.Position(c.path...); l != c.line || col != c.col {
			t.Errorf("Position(%v) = %d:%d, want %d:%d", c.path, l, col, c.line, c.col)
		}
	}
}

func TestWhatCanGrowOrNestIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"name: &a x\nwords: [*a]":               "anchors",
		"inner: {<<: {id: x}}":                  "anchors",
		"name: !!binary aGk=":                   "tags are not supported",
		"name: x\n---\nname: y":                 "a second document",
		"words: " + strings.Repeat("[", 1000):   "nested deeper than 32",
		"words:\n  " + strings.Repeat("- ", 99): "nested deeper than 32",
		"":                                      "the file is empty",
		"# only a comment\n":                    "the file is empty",
		"a\xff":                                 "not UTF-8",
		strings.Repeat("# 345678\n", 1<<20):     "the limit is",
		"name: [x":                              "not valid YAML",
		"name: x\n\tschema: 1":                  "not valid YAML",
		"- a":                                   "want keys with values",
	} {
		_, err := Decode("f", []byte(text), &sample{})
		var list *Problems
		if !errors.As(err, &list) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %q", text, err, want)
		}
	}
}

func TestWhatIsWrittenIsReadBackAndIsTheSameEveryTime(t *testing.T) {
	v := sample{
		Schema: 1, Name: "multi\nline: # \"x\" 'y'", On: true, Date: time.Date(2024, 1, 31, 12, 0, 0, 0, time.UTC),
		Digest: bundle.DigestOf(nil), Words: []string{"1.20", "true", "null", "~", "", " a ", "a: b", "- c", "#d", "0x1f", "é\u00a0"},
		Items: []item{{ID: "20.10.24", Size: 1 << 40, Tags: map[string]string{"b": "2", "a": "1"}}},
	}
	first, err := Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if again, _ := Marshal(v); string(again) != string(first) {
			t.Fatalf("written differently:\n%s\n%s", first, again)
		}
	}
	var back sample
	if _, err := Decode("f", first, &back); err != nil {
		t.Fatalf("%v in\n%s", err, first)
	}
	if !reflect.DeepEqual(back, v) {
		t.Errorf("got %+v\nwant %+v\nfrom\n%s", back, v, first)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "name: x\n", "items:\n- id: a\n  size: 1\n- {id: b}\n", "a: [", "? x\n: y", "name: |\n  a\n  b\n", "%YAML 1.2\n---\nname: x", "words: [a, , b]", "\"name\": 'x'"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v sample
		if _, err := Decode("f", data, &v); err != nil {
			return
		}
		out, err := Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var back sample
		if _, err := Decode("f", out, &back); err != nil {
			t.Fatalf("own output is refused: %v\n%q", err, out)
		}
		if back.Name != v.Name {
			t.Fatalf("wrote %q, read %q from %q", v.Name, back.Name, out)
		}
	})
}
