package builder

import (
	"bytes"
	"io"
)

// advanceEvery is how many bytes lie between two Advance events of the encoder.
const advanceEvery = 8 << 20

// searcher looks for a text in what passes through it.
type searcher struct {
	r       io.Reader
	text    []byte
	hit     bool
	tail    []byte // the end of what passed, one byte shorter than the text
	passed  int64
	advance func(int64)
}

func (s *searcher) found() bool { return s.hit || len(s.text) == 0 }

// Read implements io.Reader.
func (s *searcher) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if (s.passed+int64(n))/advanceEvery > s.passed/advanceEvery {
		s.advance(s.passed + int64(n))
	}
	s.passed += int64(n)
	if !s.found() && n > 0 {
		s.look(p[:n])
	}
	return n, err
}

func (s *searcher) look(p []byte) {
	keep := len(s.text) - 1
	// The seam: the kept end and as much of the new beginning.
	seam := append(s.tail, p[:min(keep, len(p))]...)
	s.hit = bytes.Contains(seam, s.text) || bytes.Contains(p, s.text)
	if len(p) >= keep {
		s.tail = append(s.tail[:0], p[len(p)-keep:]...)
	} else {
		s.tail = append([]byte(nil), seam[max(0, len(seam)-keep):]...)
	}
}
