package installer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"offgrid/installer/host"
)

const kindBlock = "block"

// BlockStep keeps some lines between two marks in a file that belongs to somebody else, such as /etc/hosts. The rest of
// the file is not touched.
type BlockStep struct {
	Path  string
	Name  string   // names the block in its marks; no white space
	Lines []string // without newlines
}

// ID implements Step.
func (s *BlockStep) ID() string { return kindBlock + ":" + s.Path + ":" + s.Name }

// Line implements Step.
func (s *BlockStep) Line() Line {
	return Line{Verb: "add to", Object: s.Path, Why: fmt.Sprintf("%d lines between the marks %q", len(s.Lines), "offgrid "+s.Name)}
}

// Check implements Step.
func (s *BlockStep) Check(_ context.Context, h host.Host) (Status, error) {
	return checkEdit(h, s.Path, s.change)
}

// Before implements Undoer.
func (s *BlockStep) Before(_ context.Context, h host.Host, _ bool) (json.RawMessage, error) {
	return beforeEdit(h, s.Path, s.change, nil)
}

// Do implements Step.
func (s *BlockStep) Do(_ context.Context, h host.Host) error { return doEdit(h, s.Path, s.change) }

// change puts the block where it is, or at the end.
func (s *BlockStep) change(now []byte) ([]byte, error) {
	first, last := blockMarks(s.Name)
	block := first + "\n" + strings.Join(append(s.Lines[:len(s.Lines):len(s.Lines)], last), "\n") + "\n"
	before, after, found := cutBlock(now, s.Name)
	if !found {
		before = endLine(now)
	}
	return bytes.Join([][]byte{before, []byte(block), after}, nil), nil
}

// blockMarks returns the lines around a block.
func blockMarks(name string) (first, last string) {
	return "# offgrid " + name + " begin", "# offgrid " + name + " end"
}

// cutBlock returns what is before and after a block. A block that does not end is taken for a mark alone: what follows it
// is not known to be ours.
func cutBlock(text []byte, name string) (before, after []byte, found bool) {
	first, last := blockMarks(name)
	begin, at := -1, 0
	beginEnd := 0
	for _, line := range textLines(text) {
		end := at + len(line)
		switch string(bytes.TrimSpace(line)) {
		case first:
			begin, beginEnd = at, end
		case last:
			if begin >= 0 {
				return text[:begin], text[end:], true
			}
		}
		at = end
	}
	if begin >= 0 {
		return text[:begin], text[beginEnd:], true
	}
	return text, nil, false
}

// undoBlock takes the block out.
func undoBlock(_ context.Context, u Undoing) error {
	path, name, _ := strings.Cut(u.Object, ":")
	return undoEdit(u, path, func(now []byte, _ json.RawMessage) ([]byte, error) {
		before, after, found := cutBlock(now, name)
		if !found {
			return now, nil
		}
		return append(bytes.Clone(before), after...), nil
	})
}
