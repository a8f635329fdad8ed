// Package xmlscan reads long XML documents in little memory: elements, attributes and text. It knows no document types, no
// entities but the five of XML and numbers, and drops the prefixes of names.
package xmlscan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Kind is what Next has found.
type Kind uint8

// Kinds.
const (
	Start Kind = iota + 1
	End
	Text
)

// Limits on a document.
const (
	maxToken = 4 << 20 // bytes of a tag or of text between tags
	maxDepth = 64
	maxAttrs = 64
)

// Scanner reads a document. What it returns as bytes is good until the next call.
type Scanner struct {
	r       io.Reader
	buf     []byte
	at, end int
	err     error // of the reader
	name    []byte
	attrs   []attr
	text    []byte
	raw     bool   // the text is from CDATA
	open    []byte // names of open elements, one after the other
	lengths []int
	ending  bool // an empty element's end comes next
	rooted  bool
}

type attr struct{ name, value []byte }

// New returns a scanner of a document.
func New(r io.Reader) *Scanner { return &Scanner{r: r, buf: make([]byte, 128<<10)} }

// more reads on, keeping what is not used yet. It reports whether there is more.
func (s *Scanner) more() bool {
	if s.err != nil {
		return false
	}
	if s.at > 0 {
		copy(s.buf, s.buf[s.at:s.end])
		s.at, s.end = 0, s.end-s.at
	}
	if s.end == len(s.buf) {
		if s.end >= maxToken {
			s.err = fmt.Errorf("something in it is longer than %d bytes", maxToken)
			return false
		}
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	for range 100 {
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		s.err = err
		if n > 0 || err != nil {
			return n > 0
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// failed is the error when there is no more although there should be.
func (s *Scanner) failed() error {
	if errors.Is(s.err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return s.err
}

// find returns the place of a byte sequence after the current place, reading on as needed; relative to the current place.
func (s *Scanner) find(from int, sep string) (int, error) {
	for {
		if i := bytes.Index(s.buf[s.at+from:s.end], []byte(sep)); i >= 0 {
			return from + i, nil
		}
		from = max(from, s.end-s.at-len(sep)+1)
		if !s.more() {
			return 0, s.failed()
		}
	}
}

// Next finds the next element's start or end, or text. After the end of the document it returns io.EOF.
func (s *Scanner) Next() (Kind, error) {
	if s.ending {
		s.ending = false
		return End, s.pop(s.name)
	}
	for {
		for s.at == s.end {
			if !s.more() {
				if errors.Is(s.err, io.EOF) && s.rooted && len(s.lengths) == 0 {
					return 0, io.EOF
				}
				return 0, s.failed()
			}
		}
		if s.buf[s.at] != '<' {
			if err := s.characters(); err != nil {
				return 0, err
			}
			if len(s.lengths) > 0 {
				return Text, nil
			}
			if len(bytes.Trim(s.text, " \t\r\n\ufeff")) > 0 {
				return 0, errors.New("there is text outside the document")
			}
			continue
		}
		kind, err := s.tag()
		if err != nil || kind != 0 {
			return kind, err
		}
	}
}

// characters takes text up to the next tag.
func (s *Scanner) characters() error {
	for from := 0; ; {
		if i := bytes.IndexByte(s.buf[s.at+from:s.end], '<'); i >= 0 {
			s.text, s.raw = s.buf[s.at:s.at+from+i], false
			s.at += from + i
			return nil
		}
		from = s.end - s.at
		if !s.more() {
			if !errors.Is(s.err, io.EOF) || len(s.lengths) > 0 {
				return s.failed()
			}
			s.text, s.at = s.buf[s.at:s.end], s.end
			return nil
		}
	}
}

// tag takes what begins with "<". Kind 0: nothing of interest.
func (s *Scanner) tag() (Kind, error) {
	for s.end-s.at < 9 && s.more() { // as long as "<![CDATA["
	}
	head := s.buf[s.at:s.end]
	switch {
	case bytes.HasPrefix(head, []byte("<?")):
		return 0, s.skipTo(2, "?>")
	case bytes.HasPrefix(head, []byte("<!--")):
		return 0, s.skipTo(4, "-->")
	case bytes.HasPrefix(head, []byte("<![CDATA[")):
		n, err := s.find(9, "]]>")
		if err != nil {
			return 0, err
		}
		s.text, s.raw = s.buf[s.at+9:s.at+n], true
		s.at += n + 3
		if len(s.lengths) == 0 {
			return 0, errors.New("there is text outside the document")
		}
		return Text, nil
	case bytes.HasPrefix(head, []byte("<!")):
		return 0, errors.New("it declares a document type, which is not read")
	}
	n, err := s.tagEnd()
	if err != nil {
		return 0, err
	}
	inside := s.buf[s.at+1 : s.at+n]
	s.at += n + 1
	if len(inside) > 0 && inside[0] == '/' {
		return End, s.pop(bytes.TrimRight(inside[1:], " \t\r\n"))
	}
	return Start, s.start(inside)
}

func (s *Scanner) skipTo(from int, sep string) error {
	n, err := s.find(from, sep)
	s.at += n + len(sep)
	if err != nil {
		s.at = s.end
	}
	return err
}

// tagEnd finds ">" outside quotes.
func (s *Scanner) tagEnd() (int, error) {
	var quote byte
	for i := 1; ; i++ {
		for s.at+i >= s.end {
			if !s.more() {
				return 0, s.failed()
			}
		}
		switch c := s.buf[s.at+i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i, nil
		case c == '<':
			return 0, errors.New("a tag begins inside a tag")
		}
	}
}

// start reads a start tag's name and attributes.
func (s *Scanner) start(inside []byte) error {
	if len(s.lengths) == 0 && s.rooted {
		return errors.New("there is more after its end")
	}
	s.rooted = true
	if n := len(inside); n > 0 && inside[n-1] == '/' {
		s.ending = true
		inside = inside[:n-1]
	}
	name, rest := nameOf(inside)
	if len(name) == 0 {
		return errors.New("a tag has no name")
	}
	if len(s.lengths) >= maxDepth {
		return fmt.Errorf("its elements are nested more than %d deep", maxDepth)
	}
	s.open = append(s.open, name...)
	s.lengths = append(s.lengths, len(name))
	s.name, s.attrs = name, s.attrs[:0]
	for {
		trimmed := bytes.TrimLeft(rest, " \t\r\n")
		if len(trimmed) == 0 {
			return nil
		}
		if len(trimmed) == len(rest) || len(s.attrs) >= maxAttrs {
			return fmt.Errorf("the tag <%.40s> is not understood", name)
		}
		a, after := nameOf(trimmed)
		after = bytes.TrimLeft(after, " \t\r\n")
		if len(a) == 0 || len(after) < 3 || after[0] != '=' {
			return fmt.Errorf("an attribute of <%.40s> is not understood", name)
		}
		after = bytes.TrimLeft(after[1:], " \t\r\n")
		if len(after) < 2 || after[0] != '"' && after[0] != '\'' {
			return fmt.Errorf("an attribute of <%.40s> has no quotes", name)
		}
		end := bytes.IndexByte(after[1:], after[0])
		if end < 0 {
			return fmt.Errorf("an attribute of <%.40s> has no end", name)
		}
		s.attrs = append(s.attrs, attr{a, after[1 : 1+end]})
		rest = after[end+2:]
	}
}

// nameOf cuts a name off.
func nameOf(b []byte) (name, rest []byte) {
	n := 0
	for n < len(b) && (b[n] >= utf8.RuneSelf || b[n] == ':' || b[n] == '_' || b[n] == '-' || b[n] == '.' ||
		b[n] >= '0' && b[n] <= '9' || b[n] >= 'a' && b[n] <= 'z' || b[n] >= 'A' && b[n] <= 'Z') {
		n++
	}
	return b[:n], b[n:]
}

// pop closes an element.
func (s *Scanner) pop(name []byte) error {
	if len(s.lengths) == 0 {
		return errors.New("an element ends that was not begun")
	}
	n := s.lengths[len(s.lengths)-1]
	if want := s.open[len(s.open)-n:]; !bytes.Equal(want, name) {
		return fmt.Errorf("<%.40s> ends with </%.40s>", want, name)
	}
	s.name = name
	s.open, s.lengths = s.open[:len(s.open)-n], s.lengths[:len(s.lengths)-1]
	return nil
}

// Depth returns how many elements are open; the one that has just ended is not.
func (s *Scanner) Depth() int { return len(s.lengths) }

// Name returns the local name of the element that Next has found.
func (s *Scanner) Name() []byte { return local(s.name) }

func local(name []byte) []byte { return name[bytes.LastIndexByte(name, ':')+1:] }

// Attr returns an attribute of the element that Next has found, by its local name; nil when it has none.
func (s *Scanner) Attr(name string) ([]byte, error) {
	for _, a := range s.attrs {
		if string(local(a.name)) == name {
			return unescape(a.value)
		}
	}
	return nil, nil
}

// Text returns the text that Next has found.
func (s *Scanner) Text() ([]byte, error) {
	if s.raw {
		return s.text, nil
	}
	return unescape(s.text)
}

// Skip reads to the end of the element whose start Next has found.
func (s *Scanner) Skip() error {
	for depth := s.Depth() - 1; s.Depth() > depth; {
		if _, err := s.Next(); err != nil {
			return err
		}
	}
	return nil
}

// Content returns the text of the element whose start Next has found, and reads to its end.
func (s *Scanner) Content() ([]byte, error) {
	var content []byte
	for depth := s.Depth() - 1; s.Depth() > depth; {
		kind, err := s.Next()
		if err != nil {
			return nil, err
		}
		switch kind {
		case Start:
			return nil, fmt.Errorf("<%.40s> stands where there should be text", s.Name())
		case Text:
			t, err := s.Text()
			if err != nil {
				return nil, err
			}
			if len(content)+len(t) > maxToken {
				return nil, fmt.Errorf("something in it is longer than %d bytes", maxToken)
			}
			content = append(content, t...)
		}
	}
	return content, nil
}
