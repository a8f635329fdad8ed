package strictyaml

import (
	"strings"
	"testing"
)

func TestAllDocumentsOfAFileAreReadWithTheirPlaces(t *testing.T) {
	const text = `# head
--- # first
a: {b: [1, "two"]}
---
---
c: |
  --- not a mark
  text
d: null
--- {e: 5}
`
	all, err := Documents("f", []byte(text))
	if err != nil || len(all) != 3 {
		t.Fatalf("%d documents, %v", len(all), err)
	}
	if b := all[0].Field("a", "b"); all[0].Line != 3 || len(b.Items) != 2 || b.Items[1].Text != "two" || b.Items[1].Line != 3 || b.Items[1].Column != 12 {
		t.Errorf("first: %+v", b)
	}
	if got := all[1].String("c"); got != "--- not a mark\ntext\n" || all[1].Line != 6 || !all[1].Field("d").Null || all[1].Field("x", "y") != nil {
		t.Errorf("second: %q, line %d", got, all[1].Line)
	}
	if all[2].String("e") != "5" || all[2].Line != 10 {
		t.Errorf("third: %+v", all[2])
	}
}

func TestFaultsOfALaterDocumentHaveTheFilesLines(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1\n---\nb: 1\nb: 2\n": `f:4:1: b: key "b" stands here a second time; the first is in line 3`,
		"a: 1\n---\nb: *x\n":      "f:3:4: anchors",
		"a: 1\n---\n---\n[\n":     "f:4:",
	} {
		if _, err := Documents("f", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	if all, err := Documents("f", []byte(strings.Repeat("---\n", 1<<20))); err != nil || len(all) != 0 {
		t.Errorf("a million empty documents: %d, %v", len(all), err)
	}
}

func TestADocumentMayBeDeepButNotBottomless(t *testing.T) {
	for depth, ok := range map[int]bool{60: true, 200: false} {
		_, err := Documents("f", []byte(strings.Repeat("[", depth)+strings.Repeat("]", depth)))
		if (err == nil) != ok {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
}

func FuzzDocumentsNeverPanics(f *testing.F) {
	f.Add([]byte("a: 1\n---\nb: [x, {y: z}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := Documents("f", data)
		if err != nil && len(all) > 0 {
			t.Errorf("%d documents beside %v", len(all), err)
		}
	})
}
