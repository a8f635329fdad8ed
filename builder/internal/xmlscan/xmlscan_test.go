package xmlscan_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"offgrid/builder/internal/xmlscan"
)

// events writes a document as our scanner sees it; text that lies side by side is one.
func events(r io.Reader) (string, error) {
	var b, text strings.Builder
	s := xmlscan.New(r)
	flush := func() {
		if text.Len() > 0 {
			fmt.Fprintf(&b, "%q ", text.String())
			text.Reset()
		}
	}
	for {
		kind, err := s.Next()
		if errors.Is(err, io.EOF) {
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
		switch kind {
		case xmlscan.Start:
			flush()
			v, err := s.Attr("a")
			if err != nil {
				return b.String(), err
			}
			fmt.Fprintf(&b, "<%s a=%q> ", s.Name(), v)
		case xmlscan.End:
			flush()
			fmt.Fprintf(&b, "</%s> ", s.Name())
		case xmlscan.Text:
			t, err := s.Text()
			if err != nil {
				return b.String(), err
			}
			text.Write(t)
		}
	}
}

func TestElementsAttributesAndTextAreRead(t *testing.T) {
	const doc = "<?xml version=\"1.0\"?>\n<!-- c > -->\n<x:root a='1 &lt; &#x32;>' b=\"\"><e a = \"&quot;\"/>t&amp;u<![CDATA[<&]]><y\n/></x:root>\n"
	const want = `<root a="1 < 2>"> <e a="\""> </e> "t&u<&" <y a=""> </y> </root> `
	for name, r := range map[string]io.Reader{"whole": strings.NewReader(doc), "byte by byte": iotest.OneByteReader(strings.NewReader(doc))} {
		if got, err := events(r); err != nil || got != want {
			t.Errorf("%s: got %s, %v\nwant %s", name, got, err, want)
		}
	}
}

func TestWhatIsNoDocumentIsRefused(t *testing.T) {
	for doc, want := range map[string]string{
		"":                                     "unexpected EOF",
		"<a>":                                  "unexpected EOF",
		"<a></b>":                              "<a> ends with </b>",
		"</a>":                                 "an element ends that was not begun",
		"<a/><b/>":                             "there is more after its end",
		"<a/>x":                                "there is text outside the document",
		"<a x=1/>":                             "an attribute of <a> is not understood",
		"<a>&lol;</a>":                         "&lol; is not known",
		"<a>&#xD800;</a>":                      "&#xD800; is not known",
		"<!DOCTYPE a [<!ENTITY l 'lol'>]><a/>": "it declares a document type, which is not read",
		"<a <b/>":                              "a tag begins inside a tag",
		strings.Repeat("<a>", 65):              "its elements are nested more than 64 deep",
		"<a>" + strings.Repeat("x", 5<<20):     "something in it is longer than 4194304 bytes",
		"<a " + strings.Repeat("b='c' ", 65) + "/>": "the tag <a> is not understood",
	} {
		if _, err := events(strings.NewReader(doc)); err == nil || err.Error() != want {
			t.Errorf("%.60s: got %v, want %s", doc, err, want)
		}
	}
}

// What we read, the standard library reads in the same way.
func FuzzAgainstTheStandardLibrary(f *testing.F) {
	for _, s := range []string{"<a b='c'>d&lt;<e/></a>", "<?xml version='1.0'?><a><![CDATA[x]]></a>", "<x:a a='&#65;'/>", "<a>\r\n</a>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		got, err := events(strings.NewReader(doc))
		if err != nil || strings.ContainsAny(doc, "\r") { // line ends are made one kind there, which does not matter here
			return
		}
		var b, text strings.Builder
		d := xml.NewDecoder(strings.NewReader(doc))
		flush := func() {
			if text.Len() > 0 {
				fmt.Fprintf(&b, "%q ", text.String())
				text.Reset()
			}
		}
		for {
			token, err := d.RawToken()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return // it is stricter about characters
			}
			switch token := token.(type) {
			case xml.StartElement:
				flush()
				value := ""
				for k := len(token.Attr) - 1; k >= 0; k-- {
					if token.Attr[k].Name.Local == "a" {
						value = token.Attr[k].Value
					}
				}
				fmt.Fprintf(&b, "<%s a=%q> ", token.Name.Local, value)
			case xml.EndElement:
				flush()
				fmt.Fprintf(&b, "</%s> ", token.Name.Local)
			case xml.CharData:
				text.Write(token)
			}
		}
		if strings.Contains(doc, ":") { // it reads names with several colons in another way
			return
		}
		want := strings.TrimLeft(b.String(), " ")
		if i := strings.IndexByte(want, '<'); i > 0 { // white space before the document
			want = want[i:]
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", doc, got, want)
		}
	})
}
