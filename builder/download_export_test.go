package builder

import (
	"bytes"
	"io"
)

// ParseSums is parseSums for the tests.
func ParseSums(list []byte, file string, digits int) (string, error) {
	return parseSums(list, file, digits)
}

// Search reports whether the searcher finds text in body, read by so many bytes.
func Search(body []byte, text string, size int) bool {
	s := &searcher{r: bytes.NewReader(body), text: []byte(text), advance: func(int64) {}}
	buf := make([]byte, size)
	for {
		if _, err := s.Read(buf); err == io.EOF {
			return s.found()
		}
	}
}
